"""Runs: lanes in the shape they were made in, views of them, and what evaluation gives for each."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import calls, evaluation, latent, trials
from ae_jax.calls import Calls
from ae_jax.lanes import DIVERGED, DONE, HALVED, OWN_TRIAL, Group, lane_grid, make_lanes, stack_splits
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.runs import map_runs
from ae_jax.types import Plan, UsageError, hparams
from tests.made import apply

SPLITS = stack_splits([(np.arange(0, 120), np.arange(120, 160))])
PLAN = Plan(batch_size=16)


@pytest.fixture(scope="module")
def grid(objective, data):
    """Two rates, the second of which diverges at once, by two seeds."""
    lanes = lane_grid(learning_rate=[1e-2, 1e38], seed=[3, 4], epochs=2)
    return trials.run_lanes(objective, PLAN, lanes, data, SPLITS)


@pytest.fixture(scope="module")
def images(data):
    return data.images[:20] / 255.0


def test_lanes_of_a_grid():
    lanes = lane_grid(hparams(l2=[0.0, 0.1]), seed=range(3), noise=[0.5], epochs=4)
    assert lanes.shape == (2, 3, 1)
    np.testing.assert_allclose(lanes.hparams.l2[:, 0, 0], [0.0, 0.1])
    assert lanes.seed[1, :, 0].tolist() == [0, 1, 2] and (lanes.seed[0] == lanes.seed[1]).all()
    assert (lanes.hparams.epochs == 4).all() and (lanes.hparams.noise == 0.5).all()
    assert (lanes.trial == OWN_TRIAL).all()
    assert lane_grid(seed=3).shape == () and lane_grid(hparams(dropout=None)).hparams.dropout == 0.0
    with pytest.raises(UsageError, match="seed is not allowed as an axis"):
        lane_grid(seed=[[1, 2]])
    with pytest.raises(UsageError, match="unknown hyper-parameter rate"):
        lane_grid(rate=[1, 2])


def test_hyper_parameters_are_their_own():
    """Whatever happens to the array that they were made from, of whichever dtype."""
    given = {"learning_rate": np.float32([1e-3, 1e-2]), "epochs": np.int32([3, 4]), "l2": np.float64(0.1)}
    numbers, lanes = hparams(**given), lane_grid(hparams(**given), seed=[0, 1])
    for values in ("learning_rate", "epochs"):
        given[values][:] = 7
    np.testing.assert_allclose(numbers.learning_rate, [1e-3, 1e-2])
    np.testing.assert_array_equal(numbers.epochs, [3, 4])
    np.testing.assert_allclose(lanes.hparams.learning_rate, [[1e-3] * 2, [1e-2] * 2])
    assert all(leaf.dtype in (np.float32, np.int32) for leaf in jax.tree.leaves(numbers))


def test_lanes_broadcast():
    lanes = make_lanes(hparams(l2=np.array([[0.0], [0.1]])), seed=[5, 6, 7], split=[0, 1, 2])
    assert lanes.shape == (2, 3) and lanes.split.tolist() == [[0, 1, 2]] * 2
    np.testing.assert_allclose(lanes.hparams.l2, [[0.0] * 3, [0.1] * 3])


def test_a_run_has_the_shape_of_its_lanes(grid):
    assert grid.shape == grid.status.shape == grid.loss.shape == grid.epochs.shape == (2, 2)
    assert grid.curves.train_loss.shape == (2, 2, 2)
    assert all(leaf.shape[:2] == (2, 2) for leaf in jax.tree.leaves(grid.params))
    assert grid.status.tolist() == [[DONE, DONE], [DIVERGED, DIVERGED]]
    np.testing.assert_array_equal(grid.loss[0], grid.curves.validation_loss[0, :, -1])


def test_a_part_of_a_run_is_indexed_as_an_array_would_be(grid):
    numbers = np.arange(4).reshape(2, 2)
    labelled = dataclasses.replace(grid, loss=numbers)
    for index in (0, (0, 1), (slice(None), 0), np.array([1, 0]), (..., 1), numbers > 1):
        part = labelled[index]
        np.testing.assert_array_equal(part.loss, numbers[index])
        assert part.shape == numbers[index].shape == part.lanes.hparams.l2.shape
        for leaf, all_lanes in zip(jax.tree.leaves(part.params), jax.tree.leaves(grid.params), strict=True):
            flat = all_lanes.reshape(4, *all_lanes.shape[2:])
            np.testing.assert_array_equal(leaf, flat[numbers[index]])


def test_the_best_lane_is_the_one_that_validation_chose(grid):
    best = grid.best
    assert best.shape == () and best.loss == grid.loss.min()
    assert best.lanes.seed == [3, 4][int(grid.loss[0].argmin())]
    assert dataclasses.replace(grid, loss=np.array([[3.0, 2.0], [0.1, 0.2]])).best.lanes.seed == 4  # diverged ones last
    halved = np.array([[DONE, HALVED], [HALVED, DIVERGED]])
    assert dataclasses.replace(grid, status=halved).best.lanes.seed == 3
    with pytest.raises(UsageError, match="every lane diverged"):
        _ = grid[1].best
    assert best.best.loss == best.loss


def test_results_lead_with_the_shape_and_are_nan_where_a_lane_diverged(grid, images):
    errors = evaluation.reconstruction_errors(grid, images, images)
    assert errors.shape == (2, 2, 20) and np.isnan(errors[1]).all()
    for lane in ((0, 0), (0, 1)):
        params = jax.tree.map(lambda leaf, lane=lane: leaf[lane], grid.params)
        expected = np.square(np.asarray(apply(grid.model, params, images)) - np.asarray(images)).mean((1, 2, 3))
        np.testing.assert_allclose(errors[lane], expected, rtol=1e-5)
        np.testing.assert_allclose(evaluation.reconstruction_errors(grid[lane], images, images), expected, rtol=1e-5)
    codes = latent.encode(grid, images)
    assert codes.shape == (2, 2, 20, 2) and np.isnan(codes[1]).all()
    assert latent.decode(grid[0], codes[0]).shape == (2, 20, 28, 28, 1)
    assert latent.decode(grid[0, 1], codes[0, 1]).shape == (20, 28, 28, 1)


def test_integers_of_a_diverged_lane_are_minus_one(grid, images):
    brightest = grid.map(_brightest, images)
    assert brightest.dtype.kind == "i" and (brightest[1] == -1).all() and (brightest[0] >= 0).all()


def _brightest(objective, params, images):
    return objective.model.apply(params, images).reshape(len(images), -1).argmax(-1)


def test_several_runs_of_other_code_sizes_are_one_program(data, images):
    """Evaluated together as the widest, each as it is alone."""
    objectives = [autoencoder(dense_autoencoder(d, widths=(16,))) for d in (3, 1, 2)]
    objectives.append(autoencoder(dense_autoencoder(2, widths=(12,))))
    lanes = lane_grid(seed=[0, 1], epochs=1)
    groups = [Group(str(i), objective, PLAN, lanes) for i, objective in enumerate(objectives)]
    runs = trials.run_groups(groups, data, SPLITS)
    traced = []

    def error(objective, params, images):
        traced.append(objective)
        return jnp.square(objective.model.apply(params, images) - images).mean()

    together = map_runs(error, runs, images)
    assert traced == [objectives[0], objectives[3]]
    for run, errors in zip(runs, together, strict=True):
        np.testing.assert_allclose(errors, run.map(error, images), rtol=1e-5)


def test_a_call_takes_as_many_lanes_as_the_device_has_memory_for(grid, images, monkeypatch):
    """A device with room for half of what four lanes need; then one that is out of memory above one lane."""
    reference = evaluation.reconstruction_error(grid, images, images)
    sizes = []
    compiled = Calls.compiled

    def watched(self, size, arguments):
        sizes.append(size)
        return compiled(self, size, arguments)

    monkeypatch.setattr(Calls, "compiled", watched)
    monkeypatch.setattr(Calls, "_fitting", lambda self, size, program: min(size, 2))
    np.testing.assert_allclose(evaluation.reconstruction_error(grid, images, images), reference, rtol=1e-5)
    assert sizes == [4, 2, 2]

    def small(self, size, arguments):
        sizes.append(size)
        if size > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte")
        return compiled(self, size, arguments)

    sizes.clear()
    monkeypatch.setattr(Calls, "compiled", small)
    with pytest.warns(UserWarning, match="lanes do not fit the device"):
        errors = evaluation.reconstruction_error(grid, images, images)
    np.testing.assert_allclose(errors, reference, rtol=1e-5)
    assert sizes == [4, 2, 1, 1, 1, 1]


def test_memory_of_a_device_is_shared_out(monkeypatch):
    """150 bytes for three lanes and a device that tells of 100: two fit; a device that tells nothing takes all."""

    class Device:
        def memory_stats(self):
            return {"bytes_limit": 100}

    monkeypatch.setattr(calls, "USABLE_MEMORY", 1.0)
    monkeypatch.setattr(calls, "device_bytes", lambda program: 150)
    assert Calls(None, 3, device=Device())._fitting(3, None) == 2
    assert Calls(None, 4, abreast=4, device=Device())._fitting(4, None) == 4  # one for each device at the least
    assert Calls(None, 3)._fitting(3, None) == 3
    warnings.simplefilter("error")
    assert [Calls(None, 8, abreast=2).size(n) for n in (1, 2, 3, 4, 5, 9)] == [2, 2, 4, 4, 8, 8]


def test_no_lane_is_no_run(grid):
    with pytest.raises(UsageError, match="no lane is chosen of 4; give an index that finds some"):
        grid[grid.loss < 0]
