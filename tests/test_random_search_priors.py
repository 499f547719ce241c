"""Choices whose values are not all numbers: depths of networks, and kinds that NumPy would make strings of."""

import jax
import numpy as np
import pytest

from ae_jax import random_search, trials
from ae_jax.lanes import stack_splits
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan


@pytest.mark.parametrize(
    "values",
    [[(8, 16), (8, 16, 32)], [(8, 16), (4, 8)], [(8,)], [1, "a"], [None, 64], ["adam", None], [(8, "a"), 3]],
    ids=str,
)
def test_choices_keep_their_values(values):
    drawn = random_search.choice(values)(jax.random.key(0), 40)
    assert drawn.shape == (40,)
    assert {(type(value), value) for value in drawn.tolist()} == {(type(value), value) for value in values}


def test_lists_are_taken_for_tuples():
    assert set(random_search.choice([[8], [8, 16]])(jax.random.key(0), 40).tolist()) == {(8,), (8, 16)}
    assert random_search.constant([4, 8])(jax.random.key(0), 1).tolist() == [(4, 8)]


@pytest.mark.parametrize("value", [(4, 8), (4,), (), None, 3, 0.5, "adam"], ids=str)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_constants_keep_their_value(value, n):
    drawn = random_search.constant(value)(jax.random.key(0), n)
    assert drawn.shape == (n,) and drawn.tolist() == [value] * n


@pytest.mark.parametrize(
    "values",
    [[1, 2, 3], [1, 2.5], [1e-5, 1e-4], [True, False], [True, 2], ["adam", "sgd"], np.float32([1, 2]), range(4)],
    ids=str,
)
def test_plain_choices_are_drawn_as_ever(values):
    """Value for value and dtype for dtype what NumPy makes of the list, at the indices that the key draws."""
    key, p = jax.random.key(3), np.full(len(values), 1 / len(values))
    expected = np.asarray(values)[np.asarray(jax.random.choice(key, len(values), (50,), p=p))]
    drawn = random_search.choice(values)(key, 50)
    assert drawn.dtype == expected.dtype
    np.testing.assert_array_equal(drawn, expected)
    assert random_search.constant(values[0])(key, 2).dtype == np.full(2, values[0]).dtype


def build(channels=(4,)):
    return autoencoder(conv_autoencoder(2, channels, 4)), Plan(16)


def test_a_search_over_depth_is_planned():
    drawn = random_search.sample(jax.random.key(0), {"channels": random_search.choice([(2,), (2, 3)])}, 4)
    plan = random_search.plan_search(drawn, build)
    assert {group.name for group in plan.groups} == {"channels=(2,)", "channels=(2, 3)"}
    for group in plan.groups:
        assert group.objective is build(drawn["channels"][group.lanes.trial[0, 0]])[0]
    fixed = random_search.plan_search(random_search.sample(jax.random.key(0), {"channels": (2, 3)}, 2), build)
    assert str(fixed) == "2 trials in 1 program"


def test_a_search_over_depth_trains(data):
    """Dense networks, which compile fast."""
    space = {"widths": random_search.choice([(4,), (8, 4)]), "learning_rate": random_search.log_uniform(1e-3, 1e-2)}
    drawn = random_search.sample(jax.random.key(0), space, 4)
    plan = random_search.plan_search(drawn, lambda widths: (autoencoder(dense_autoencoder(2, widths)), Plan(16)))
    assert len(plan.groups) == 2
    splits = stack_splits([(np.arange(0, 64), np.arange(64, 80))])
    outcome = random_search.collect(plan, trials.run_groups(plan.groups, data, splits))
    assert np.isfinite(outcome.loss).all()
