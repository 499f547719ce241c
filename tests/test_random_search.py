"""Priors against their distributions, and the sorting of trials into groups and back."""

import jax
import numpy as np
import pytest
from scipy import stats

from ae_jax import random_search, trials
from ae_jax.engine import Halving, Settings
from ae_jax.lanes import DIVERGED, DONE, HALVED, stack_splits
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError
from tests import scripted

SPACE = {
    "learning_rate": random_search.log_uniform(1e-4, 1e-1),
    "dropout": random_search.uniform(0.0, 0.25),
    "epochs": random_search.choice([1, 2, 3], p=[0.5, 0.3, 0.2]),
    "latent": random_search.integer_uniform(2, 5),
    "batch_size": random_search.constant(16),
}


def build(latent=2, batch_size=32):
    return autoencoder(dense_autoencoder(latent, (8,))), Plan(batch_size, "adam")


@pytest.mark.parametrize(
    "prior,expected",
    [
        (random_search.uniform(0.0, 0.25), stats.uniform(0, 0.25)),
        (random_search.uniform(-3.0, 5.0), stats.uniform(-3, 8)),
        (random_search.log_uniform(1e-4, 1e-1), stats.loguniform(1e-4, 1e-1)),
        (random_search.log_uniform(2.0, 3.0), stats.loguniform(2, 3)),
    ],
)
def test_continuous_priors_are_scipys(prior, expected):
    """Kolmogorov-Smirnov at the 0.1 % level, on a fixed key; both ends are reached and none is passed."""
    drawn = prior(jax.random.key(0), 4000)
    low, high = expected.support()
    assert stats.kstest(drawn, expected.cdf).pvalue > 1e-3
    assert drawn.dtype == np.float64 and low <= drawn.min() and drawn.max() <= high


@pytest.mark.parametrize(
    "prior,shares",
    [
        (random_search.integer_uniform(2, 5), {2: 0.25, 3: 0.25, 4: 0.25, 5: 0.25}),
        (random_search.integer_uniform(7, 7), {7: 1.0}),
        (random_search.choice([1, 2, 3], p=[0.5, 0.3, 0.2]), {1: 0.5, 2: 0.3, 3: 0.2}),
        (random_search.choice(["adam", "sgd"]), {"adam": 0.5, "sgd": 0.5}),
        (random_search.constant(16), {16: 1.0}),
    ],
)
def test_discrete_priors_take_their_values_as_often_as_they_should(prior, shares):
    """Chi-square at the 0.1 % level; no value besides."""
    values, counts = np.unique(prior(jax.random.key(0), 4000), return_counts=True)
    assert values.tolist() == sorted(shares)
    expected = [4000 * shares[value] for value in values.tolist()]
    assert len(shares) == 1 or stats.chisquare(counts, expected).pvalue > 1e-3


def test_hyper_parameters_are_drawn_independently():
    """Equal priors too; rank correlations of 4,000 draws have a deviation of 0.016."""
    drawn = random_search.sample(
        jax.random.key(0), {name: random_search.uniform(0.0, 1.0) for name in "abc"} | SPACE, 4000
    )
    varying = [values for values in drawn.values() if len(np.unique(values)) > 1]
    correlation = stats.spearmanr(np.array(varying), axis=1).statistic
    assert correlation.shape == (7, 7)
    assert np.abs(correlation - np.eye(7)).max() < 0.07


def test_sampling_is_reproducible_and_blind_to_order():
    first = random_search.sample(jax.random.key(1), SPACE, 5)
    again = random_search.sample(jax.random.key(1), dict(reversed(SPACE.items())), 5)
    other = random_search.sample(jax.random.key(2), SPACE, 5)
    for name in SPACE:
        np.testing.assert_array_equal(first[name], again[name])
    assert not any(np.array_equal(first[name], other[name]) for name in SPACE.keys() - {"batch_size"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: random_search.uniform(1.0, 1.0),
        lambda: random_search.uniform(0.0, np.inf),
        lambda: random_search.log_uniform(0.0, 1.0),
        lambda: random_search.log_uniform(1.0, 0.1),
        lambda: random_search.integer_uniform(3, 2),
        lambda: random_search.integer_uniform(0.5, 2),
        lambda: random_search.choice([]),
        lambda: random_search.choice([1, 2], p=[0.5, 0.6]),
        lambda: random_search.choice([1, 2], p=[1.0]),
        lambda: random_search.choice([1, 2], p=[-0.5, 1.5]),
        lambda: random_search.sample(jax.random.key(0), SPACE, 0),
    ],
)
def test_impossible_priors_are_refused(make):
    with pytest.raises(UsageError, match="is not allowed: it takes"):
        make()


@pytest.mark.parametrize(
    "make,low,high",
    [
        (lambda: random_search.uniform(-random_search.LARGEST_FLOAT, 0.0), -random_search.LARGEST_FLOAT, 0.0),
        (lambda: random_search.log_uniform(1e-30, random_search.LARGEST_FLOAT), 1e-30, random_search.LARGEST_FLOAT),
        (lambda: random_search.integer_uniform(-(2**31 - 1), 2**31 - 2), -(2**31 - 1), 2**31 - 2),
        (lambda: random_search.choice([1, 2], p=[0.0, 1.0]), 2, 2),
    ],
)
def test_the_widest_priors_are_allowed(make, low, high):
    drawn = make()(jax.random.key(0), 100)
    assert np.isfinite(drawn).all() and low <= drawn.min() <= drawn.max() <= high


@pytest.mark.parametrize(
    "value,words", [(0.0123456, "0.01235"), (1e-5, "1e-05"), (3, "3"), ("adam", "adam"), ((4, 8), "(4, 8)")]
)
def test_people_read_four_digits(value, words):
    assert random_search.short(value) == words


def test_numbers_become_lanes_and_shapes_become_groups():
    drawn = {
        "learning_rate": np.array([1e-3, 2e-3, 3e-3, 4e-3]),
        "latent": np.array([2, 3, 2, 3]),
        "batch_size": np.array([16, 16, 16, 32]),
    }
    plan = random_search.plan_search(drawn, build, seed=100, folds=2)
    assert str(plan) == "4 trials x 2 folds in 2 programs"  # the two of batch 16 share one
    sizes = {group.name: group.lanes.trial.tolist() for group in plan.groups}
    assert sizes == {
        "latent=2, batch_size=16": [[0, 0], [2, 2]],
        "latent=3, batch_size=16": [[1, 1]],
        "latent=3, batch_size=32": [[3, 3]],
    }
    first = plan.groups[0]
    np.testing.assert_allclose(first.lanes.hparams.learning_rate, [[1e-3, 1e-3], [3e-3, 3e-3]])
    assert first.lanes.split.tolist() == [[0, 1], [0, 1]]
    assert first.lanes.seed.tolist() == [[100, 101], [104, 105]]
    assert first.objective is build(2, 16)[0]
    alone = random_search.plan_search(drawn, build)
    assert [group.lanes.seed.ravel().tolist() for group in alone.groups] == [[0, 2], [1], [3]]  # from 0, a fold each


def test_shapes_may_be_tuples():
    space = {"channels": random_search.choice([(4, 8), (8, 16)]), "learning_rate": 1e-3}
    drawn = random_search.sample(jax.random.key(0), space, 6)
    assert set(drawn["channels"]) == {(4, 8), (8, 16)}
    assert set(drawn["learning_rate"]) == {1e-3}
    plan = random_search.plan_search(drawn, lambda channels: build(latent=len(channels)))
    assert {group.name for group in plan.groups} == {"channels=(4, 8)", "channels=(8, 16)"}


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="unknown hyper-parameter latnt: choose among batch_size, dropout"):
        random_search.plan_search({"latnt": np.array([2])}, build)


def test_a_search_without_shapes_is_one_program():
    plan = random_search.plan_search({"learning_rate": np.array([1e-3, 2e-3])}, build)
    assert str(plan) == "2 trials in 1 program"


def test_results_come_back_by_trial_and_the_diverged_rank_last(data):
    drawn = {
        "learning_rate": np.array([1e-5, 1e-2, 1e38, 1e-3]),
        "latent": np.array([2, 3, 2, 3]),
        "batch_size": np.full(4, 16),
        "epochs": np.array([2, 4, 3, 4]),
    }
    plan = random_search.plan_search(drawn, build, folds=2)
    splits = stack_splits([(np.arange(0, 120), np.arange(120, 160)), (np.arange(40, 160), np.arange(0, 40))])
    runs = trials.run_groups(plan.groups, data, splits)
    outcome = random_search.collect(plan, runs)
    assert outcome.train_loss.shape == (4, 2, 4)
    assert outcome.epochs.tolist() == [[2, 2], [4, 4], [1, 1], [4, 4]]
    for curves in outcome.train_loss, outcome.validation_loss:
        assert np.isnan(curves[0, :, 2:]).all() and np.isnan(curves[2, :, 1:]).all()
        assert np.isfinite(curves[0, :, :2]).all() and np.isfinite(curves[[1, 3]]).all()
    assert outcome.ranking.tolist() == [1, 3, 0, 2]
    assert outcome.loss[2] == np.inf
    np.testing.assert_allclose(outcome.loss[1], outcome.validation_loss[1, :, 3].mean(), rtol=1e-6)
    run = random_search.trial_run(runs, 3)
    assert run.name == "latent=3" and run.shape == (2,)  # its two folds
    np.testing.assert_array_equal(run.loss, outcome.fold_loss[3])
    np.testing.assert_array_equal(random_search.trial_run(runs, 0).loss, outcome.fold_loss[0])
    with pytest.raises(UsageError, match="trial 9"):
        random_search.trial_run(runs, 9)


def test_halved_trials_rank_behind_those_that_went_on_and_before_the_diverged(data):
    """However low their losses were: trial 1 was better at its end than any other is."""
    table = [[3, 8, 8, 8], [4, 4, 0, 0], [2, 9, 9, 9], [1, np.nan, 0, 0], [5, 5, 0, 0], [np.nan, 0, 0, 0]]
    group = scripted.group(table)
    plan = random_search.Planned({"learning_rate": np.ones(6)}, [group], folds=1)
    settings = Settings(halving=Halving(1, 2))  # three of five go on at epoch 1, one of the two left at 2
    outcome = random_search.collect(plan, trials.run_groups([group], data, scripted.SPLITS, settings))
    assert outcome.status[:, 0].tolist() == [HALVED, HALVED, DONE, DIVERGED, HALVED, DIVERGED]
    assert outcome.epochs[:, 0].tolist() == [2, 1, 4, 2, 1, 1]
    assert outcome.loss.tolist() == [8, 4, 9, np.inf, 5, np.inf]
    assert outcome.ranking.tolist() == [2, 1, 4, 0, 3, 5]
