"""Checkpoints belong to one search, from Python as from the command line; and trials are counted over all groups."""

import json

import jax
import numpy as np
import pytest

from ae_jax import distributions, trials, variational
from ae_jax.engine import Halving, Settings
from ae_jax.lanes import DONE, HALVED, Group, lane_grid, stack_splits
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import NUMBERS, HParams, Plan, UsageError, hparams
from ae_jax.vae import dense_vae

PLAN, SPLITS = Plan(batch_size=16), stack_splits([(np.arange(0, 32), np.arange(32, 48))])
VAE = dense_vae(1, (4,))


def free_bits(nats):
    return variational.free_bits(VAE, distributions.bernoulli(distributions.grey), nats)


@pytest.fixture
def search(data, tmp_path):
    """``search(objective, ...)`` trains two lanes with checkpoints, or is stopped after its first call."""

    def call(objective, plan=PLAN, lanes=None, stop=False, data=data, **settings):
        lanes = lane_grid(seed=[0, 1], epochs=2) if lanes is None else lanes
        reports = []
        monitor = trials.Monitor(reports.append, should_stop=lambda: stop and bool(reports))
        settings = Settings(segment=1, checkpoint_folder=tmp_path / "of" / "mine", **settings)
        return trials.run_lanes(objective, plan, lanes, data, SPLITS, settings, monitor), len(reports)

    return call


@pytest.fixture
def stopped(search):
    with pytest.raises(trials.Interrupted):
        search(free_bits(0.5), stop=True)
    return search


def test_another_precision_of_matrix_products_is_another_search(stopped):
    with jax.default_matmul_precision("bfloat16"), pytest.raises(UsageError, match="precision of matrix products was"):
        stopped(free_bits(0.5), resume=True)


@pytest.mark.parametrize(
    ("setting", "told"),
    [(lambda: jax.default_prng_impl("rbg"), "random numbers"), (lambda: jax.threefry_partitionable(False), "THREEFRY")],
)
def test_other_random_numbers_are_another_search(stopped, setting, told):
    with setting(), pytest.raises(UsageError, match=f"{told}.* was .* and is now"):
        stopped(free_bits(0.5), resume=True)


def test_from_python_a_folder_is_made_and_gone_on_with(stopped, data):
    run, calls = stopped(free_bits(0.5))
    assert (run.status == DONE).all() and calls == 3  # of two lanes by two segments, one was there
    lanes = lane_grid(seed=[0, 1], epochs=2)
    expected = trials.run_lanes(free_bits(0.5), PLAN, lanes, data, SPLITS, Settings(segment=1))
    np.testing.assert_array_equal(run.loss, expected.loss)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"objective": free_bits(0.25)}, "search: nats was 0.5 and is now 0.25; use"),
        ({"plan": Plan(batch_size=8)}, "search: batch_size was 16 and is now 8; use"),
        ({"lanes": lane_grid(seed=[0, 2], epochs=2)}, "search: seed was 0, 1 and is now 0, 2; use"),
        ({"lanes": lane_grid(seed=[0, 1], epochs=3)}, "search: epochs was 2 and is now 3; use"),
        (
            {"lanes": lane_grid(learning_rate=0.01, penalty=[1, 2], epochs=2)},
            "learning_rate was 0.001 and is now 0.01; penalty was 1 and is now 1, 2; seed was 0, 1 and is now 0; use",
        ),
        ({"lanes": lane_grid(seed=range(60), epochs=2)}, "seed was 0, 1 and is now 60 values, 0, 1, 2, 3, 4, ...; use"),
        ({"lanes": lane_grid(seed=[1, 0], epochs=2)}, "seed was 0, 1 and is now 1, 0; use"),
        ({"patience": 3}, "patience was None and is now 3"),
        ({"keep_best": True}, "keep_best was False and is now True"),
        ({"halving": Halving(1, 2)}, r"halving was None and is now \[1, 2\]"),
        ({"identity": {"mine": 1}}, "mine was None and is now 1"),
        ({"resume": False}, "give resume=True"),
    ],
)
def test_checkpoints_of_another_search_are_refused(stopped, changed, message):
    """Edit a constant of the objective, such as free bits: numbers of two searches must not mix."""
    with pytest.raises(UsageError, match=message):
        stopped(**{"objective": free_bits(0.5)} | changed)


def test_checkpoints_without_the_details_of_their_search_are_as_good(stopped, tmp_path):
    path = tmp_path / "of" / "mine" / "search.json"
    older = json.loads(path.read_text())
    assert older.pop("details")
    path.write_text(json.dumps(older))
    with pytest.raises(UsageError, match="search: lanes was '"):
        stopped(free_bits(0.5), lanes=lane_grid(seed=[0, 1], epochs=3))
    assert stopped(free_bits(0.5))[1] == 3


def test_checkpoints_of_other_data_are_refused(stopped, data):
    with pytest.raises(UsageError, match="data was '"):
        stopped(free_bits(0.5), data=data._replace(images=data.images.at[0].set(7)))
    fewer = jax.tree.map(lambda leaf: leaf[:50], data)
    with pytest.raises(UsageError, match="images was 200 of 28 x 28 x 1, uint8 and is now 50 of"):
        stopped(free_bits(0.5), data=fewer)


def test_halving_judges_the_lanes_of_all_groups_as_trials_of_their_own(data):
    """Two groups of two lanes each, no trial named: four trials, of which the best goes on."""
    groups = [
        Group(
            f"width {width}",
            autoencoder(dense_autoencoder(1, (width,))),
            PLAN,
            lane_grid(learning_rate=rates, epochs=2),
        )
        for width, rates in ((4, [1e-5, 1e-2]), (5, [2e-5, 3e-5]))
    ]
    runs = trials.run_groups(groups, data, SPLITS, Settings(halving=Halving(1, 4)))
    assert [run.status.tolist() for run in runs] == [[HALVED, DONE], [HALVED, HALVED]]
    assert sorted(np.concatenate([run.lanes.trial for run in runs]).tolist()) == [0, 1, 2, 3]


def test_the_table_of_hyper_parameters_is_all_there_is():
    """Constructor, defaults and checks follow from the fields of ``HParams``."""
    assert list(NUMBERS) == list(HParams._fields)
    for name, leaf in hparams()._asdict().items():
        assert leaf == NUMBERS[name].default and leaf.dtype == NUMBERS[name].dtype
        assert NUMBERS[name].meaning.endswith(".")
        with pytest.raises(UsageError, match=rf"{name} -1 is not allowed: it must be {NUMBERS[name].allowed.words}"):
            hparams(**{name: [1 if name == "epochs" else 0.5, -1]})
    with pytest.raises(UsageError, match="unknown hyper-parameter rate: choose among learning_rate"):
        hparams(rate=1)
    with pytest.raises(UsageError, match="l2 nan is not allowed"):
        hparams(l2=np.nan)
    assert hparams(dropout=None, l2=[0, 1]).dropout is None
    assert hparams(dropout=None, l2=[0, 1]).epochs.shape == (2,)
