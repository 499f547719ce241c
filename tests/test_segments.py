"""The programs of the engine: what an accelerator runs, on this CPU, and how many epochs either form computes."""

import functools
import gc
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from ae_jax import batching, corruptions, sharing, training, trials
from ae_jax.batching import microbatches
from ae_jax.engine import Settings
from ae_jax.lanes import DIVERGED, DONE, lane_grid, stack_splits
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder, denoising
from ae_jax.training import Batch
from ae_jax.types import Plan, hparams
from tests import scripted

MODEL = conv_autoencoder(2, (2, 3), None)
SPLITS = stack_splits([(np.arange(0, 128), np.arange(128, 160))])


@pytest.fixture
def as_on_an_accelerator(monkeypatch):
    """All lanes and all microbatches at once, on this CPU."""
    jax.clear_caches()  # the choice is made when a program is traced
    monkeypatch.setattr(sharing, "one_by_one", lambda: False)
    yield
    jax.clear_caches()


def counting(objective, counted):
    """``objective`` that notes each training step it takes, and those that a lane's select throws away."""

    def loss(params, key, batch, hparams, train):
        if train:
            jax.debug.callback(lambda epochs: counted.append(int(epochs)), hparams.epochs)
        return objective.loss(params, key, batch, hparams, train)

    return objective._replace(loss=loss, separable=False)


def test_an_epoch_without_an_active_lane_is_not_computed(data, as_on_an_accelerator):
    """One step an epoch, a segment of 8: lanes of 1 and 3 epochs take 3 together, and both pay for each of them."""
    counted = []
    lanes = lane_grid(epochs=[1, 3])
    run = trials.run_lanes(counting(autoencoder(MODEL), counted), Plan(128), lanes, data, SPLITS, Settings(segment=8))
    jax.effects_barrier()
    assert run.epochs.tolist() == [1, 3]
    assert sorted(counted) == [1, 1, 1, 3, 3, 3]


def test_one_by_one_only_active_lanes_are_computed(data):
    counted = []
    settings = Settings(segment=8, lanes_per_call=2)
    run = trials.run_lanes(
        counting(autoencoder(MODEL), counted), Plan(128), lane_grid(epochs=[1, 3]), data, SPLITS, settings
    )
    jax.effects_barrier()
    assert run.epochs.tolist() == [1, 3]
    assert sorted(counted) == [1, 3, 3, 3]


def test_the_accelerators_form_draws_the_same_numbers(data, monkeypatch):
    """Dropout and noise of a step do not depend on who computes it: curves to 1e-4, a diverging lane among them."""
    objective = denoising(MODEL, corruptions.gaussian)
    lanes = lane_grid(hparams(dropout=0.3, noise=0.5), learning_rate=[1e-3, 1e38, 1e-2], epochs=5)
    train = functools.partial(trials.run_lanes, objective, Plan(64), lanes, data, SPLITS, Settings(segment=3))
    one_by_one = train()
    jax.clear_caches()
    with monkeypatch.context() as patch:
        patch.setattr(sharing, "one_by_one", lambda: False)
        at_once = train()
    jax.clear_caches()
    assert one_by_one.status.tolist() == at_once.status.tolist() == [DONE, DIVERGED, DONE]
    for mine, other in zip(one_by_one.curves, at_once.curves, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4)


@pytest.mark.parametrize("dropout", [None, 0.4])
def test_every_division_gives_the_gradient_of_the_core(data, dropout):
    """The core takes all microbatches at once, ``sharing`` one after another: with masks of the same bits."""
    objective, numbers = autoencoder(MODEL), hparams(dropout=dropout)
    params = jax.jit(objective.init)(jax.random.key(1))
    batch = Batch(data.images[:96] / 255.0, data.labels[:96])
    arguments = objective, params, jax.random.key(2), batch, numbers
    assert microbatches(objective, params, 96) == 2
    (loss, gradients), (expected, of_core) = (
        jax.jit(division.gradient, static_argnums=0)(*arguments) for division in (sharing.division(), batching.WHOLE)
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7), gradients, of_core)
    if dropout is not None:
        undivided = objective._replace(separable=False)
        other_masks, _ = jax.jit(batching.gradient, static_argnums=0)(undivided, *arguments[1:])
        assert abs(other_masks - expected) > 1e-5


def test_the_core_does_not_know_where_it_runs():
    """Read as a student would: no word of cores, caches, backends or meshes."""
    words = Path(training.__file__).read_text()
    for word in ("backend", "cache", " core", "mesh", "device_count", "psum", "shard"):
        assert word not in words, word


def test_two_hundred_segments_trace_once_and_hold_nothing_back(data):
    """As many arrays live on the device after the last segment as after the tenth, and hardly more memory in use."""
    epochs, traced, held = 200, [], []
    group = scripted.group(np.ones((2, epochs)))

    def loss(*arguments):
        traced.append(arguments[-1])
        return group.objective.loss(*arguments)

    def report(progress):
        if progress.epoch % 10 == 0:
            gc.collect()
            in_use = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            held.append((len(jax.live_arrays()), sum(array.nbytes for array in jax.live_arrays()), in_use))

    counted = group._replace(objective=group.objective._replace(loss=loss))
    settings = Settings(segment=1, lanes_per_call=2)
    gc.freeze()  # what was there before need not be looked through every time
    try:
        (run,) = trials.run_groups([counted], data, scripted.SPLITS, settings, trials.Monitor(report))
    finally:
        gc.unfreeze()
    assert run.epochs.tolist() == [epochs, epochs] and len(held) == epochs // 10
    assert len(traced) == len({*traced}) * traced.count(True) and traced.count(True) <= 2, traced
    arrays, sizes, in_use = zip(*held, strict=True)
    assert len({*arrays}) == len({*sizes}) == 1, (arrays, sizes)
    assert in_use[-1] - in_use[0] < 20 * 2**20, in_use
