"""Priors against their distributions, and the sorting of trials into groups and back."""

import jax
import numpy as np
import pytest
from scipy import stats

from ae_jax import search, trials
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError

SPACE = {
    "learning_rate": search.log_uniform(1e-4, 1e-1),
    "dropout": search.uniform(0.0, 0.25),
    "epochs": search.choice([1, 2, 3], p=[0.5, 0.3, 0.2]),
    "latent": search.integer_uniform(2, 5),
    "batch_size": search.constant(16),
}


def build(latent=2, batch_size=32):
    return autoencoder(dense_autoencoder(latent, (8,))), Plan(batch_size, "adam")


def test_priors_have_their_distributions():
    """Kolmogorov-Smirnov and chi-square at the 0.1 % level, on fixed keys."""
    drawn = search.sample(jax.random.key(0), SPACE, 4000)
    log_rate = np.log(drawn["learning_rate"])
    assert stats.kstest(log_rate, stats.uniform(np.log(1e-4), np.log(1e3)).cdf).pvalue > 1e-3
    assert stats.kstest(drawn["dropout"], stats.uniform(0, 0.25).cdf).pvalue > 1e-3
    assert stats.chisquare(np.bincount(drawn["epochs"])[1:], [2000, 1200, 800]).pvalue > 1e-3
    assert stats.chisquare(np.bincount(drawn["latent"])[2:]).pvalue > 1e-3
    assert set(drawn["batch_size"]) == {16}
    assert abs(stats.spearmanr(drawn["learning_rate"], drawn["dropout"]).statistic) < 0.06


def test_sampling_is_reproducible_and_blind_to_order():
    first = search.sample(jax.random.key(1), SPACE, 5)
    again = search.sample(jax.random.key(1), dict(reversed(SPACE.items())), 5)
    other = search.sample(jax.random.key(2), SPACE, 5)
    for name in SPACE:
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first["learning_rate"], other["learning_rate"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: search.uniform(1.0, 1.0),
        lambda: search.uniform(0.0, np.inf),
        lambda: search.log_uniform(0.0, 1.0),
        lambda: search.log_uniform(1.0, 0.1),
        lambda: search.integer_uniform(3, 2),
        lambda: search.integer_uniform(0.5, 2),
        lambda: search.choice([]),
        lambda: search.choice([1, 2], p=[0.5, 0.6]),
        lambda: search.choice([1, 2], p=[1.0]),
        lambda: search.choice([1, 2], p=[-0.5, 1.5]),
        lambda: search.sample(jax.random.key(0), SPACE, 0),
    ],
)
def test_impossible_priors_are_refused(make):
    with pytest.raises(UsageError, match="is not allowed: it takes"):
        make()


def test_numbers_become_lanes_and_shapes_become_groups():
    drawn = {
        "learning_rate": np.array([1e-3, 2e-3, 3e-3, 4e-3]),
        "latent": np.array([2, 3, 2, 3]),
        "batch_size": np.array([16, 16, 16, 32]),
    }
    plan = search.plan_search(drawn, build, seed=100, folds=2)
    assert str(plan) == "4 trials x 2 folds in 2 programs"  # the two of batch 16 share one
    sizes = {group.name: group.lanes.trial.tolist() for group in plan.groups}
    assert sizes == {
        "latent=2, batch_size=16": [0, 0, 2, 2],
        "latent=3, batch_size=16": [1, 1],
        "latent=3, batch_size=32": [3, 3],
    }
    first = plan.groups[0]
    np.testing.assert_allclose(first.lanes.hparams.learning_rate, [1e-3, 1e-3, 3e-3, 3e-3])
    assert first.lanes.split.tolist() == [0, 1, 0, 1]
    assert first.lanes.seed.tolist() == [100, 101, 104, 105]
    assert first.objective is build(2, 16)[0]


def test_shapes_may_be_tuples():
    space = {"channels": search.choice([(4, 8), (8, 16)]), "learning_rate": 1e-3}
    drawn = search.sample(jax.random.key(0), space, 6)
    assert set(drawn["channels"]) == {(4, 8), (8, 16)}
    assert set(drawn["learning_rate"]) == {1e-3}
    plan = search.plan_search(drawn, lambda channels: build(latent=len(channels)))
    assert {group.name for group in plan.groups} == {"channels=(4, 8)", "channels=(8, 16)"}


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="unknown hyper-parameter latnt: choose among batch_size, dropout"):
        search.plan_search({"latnt": np.array([2])}, build)


def test_a_search_without_shapes_is_one_program():
    plan = search.plan_search({"learning_rate": np.array([1e-3, 2e-3])}, build)
    assert str(plan) == "2 trials in 1 program"


def test_results_come_back_by_trial_and_the_diverged_rank_last(data):
    drawn = {
        "learning_rate": np.array([1e-5, 1e-2, np.inf, 1e-3]),
        "latent": np.array([2, 3, 2, 3]),
        "batch_size": np.full(4, 16),
        "epochs": np.array([2, 4, 3, 4]),
    }
    plan = search.plan_search(drawn, build, folds=2)
    splits = trials.stack_splits([(np.arange(0, 120), np.arange(120, 160)), (np.arange(40, 160), np.arange(0, 40))])
    runs = trials.run_groups(plan.groups, data, splits)
    outcome = search.collect(plan, runs)
    assert outcome.train_loss.shape == (4, 2, 4)
    assert outcome.epochs.tolist() == [[2, 2], [4, 4], [1, 1], [4, 4]]
    assert outcome.ranking.tolist() == [1, 3, 0, 2]
    assert outcome.score[2] == np.inf
    np.testing.assert_allclose(outcome.score[1], outcome.validation_loss[1, :, 3].mean(), rtol=1e-6)
    number, lanes = search.trial_lanes(plan, 3)
    assert plan.groups[number].name == "latent=3"
    assert lanes.tolist() == [2, 3]  # its two folds, behind those of trial 1
    with pytest.raises(UsageError, match="trial 9"):
        search.trial_lanes(plan, 9)
