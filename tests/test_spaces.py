"""The searches' trials before they are trained: what is drawn, what is trained beside it, what the options change."""

import numpy as np
import pytest

from ae_jax import random_search as drawing
from ae_jax.types import Dataset, UsageError
from experiments import common, random_search, reports, search_trials, spaces


def setup_of(study, **options):
    """The full budget of a study on MNIST, without its images."""
    chosen = random_search.Options(dataset="mnist", budget="full", study=study, **options)
    mnist = Dataset("mnist", *[np.zeros(1)] * 4, "digest")
    return common.Setup(chosen, spaces.BUDGETS[study]["full"]["mnist"], mnist, "", 0.0)


@pytest.mark.parametrize("study", spaces.PROTOCOLS)
def test_what_is_trained_beside_a_search_changes_none_of_its_trials(study):
    """The trials are those of the priors alone, and so are the seeds of their lanes, fold by fold."""
    setup, protocol = setup_of(study), spaces.PROTOCOLS[study]
    found = search_trials.planned(setup)
    space = protocol.space(setup.budget.epochs, setup.budget.batch_size)
    alone = drawing.sample(setup.key, space, spaces.FULL_TRIALS[study])
    assert found.drawn == spaces.FULL_TRIALS[study] and found.search.trials.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_array_equal(found.search.trials[name][: found.drawn], values)
    for group in found.search.groups:
        lanes = group.lanes
        np.testing.assert_array_equal(lanes.seed, lanes.trial * protocol.folds + np.arange(protocol.folds))


def test_the_report_s_best_and_other_penalties_are_trials_of_their_own():
    found = search_trials.planned(setup_of("B3"))
    beside = {name: values[found.drawn :] for name, values in found.search.trials.items()}
    best = {"batch_size": 128, "learning_rate": 0.006, "latent": 48, "dropout": 0.0775, "l2": 5e-5, "epochs": 40}
    assert {name: values[0] for name, values in beside.items()} == best
    assert beside["l2"].tolist() == [5e-5, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1] and beside["epochs"].tolist()[1:] == [10] * 5
    assert len(set(beside["latent"])) == len(set(beside["batch_size"])) == 1  # one program
    assert not search_trials.planned(setup_of("B3", halving=(3, 3))).beside


def test_options_change_what_is_drawn_and_what_is_trained():
    found = search_trials.planned(setup_of("C1", latent=(3, 7), dropout=(0.1, 0.5), noise=0.5)).search
    drawn = {name: set(values[:50].tolist()) for name, values in found.trials.items()}
    assert (drawn["latent"], drawn["dropout"], drawn["noise"]) == ({3, 7}, {0.1, 0.5}, {0.5})
    assert {group.objective.recipe.builder for group in found.groups} == {"objectives.denoising"}
    assert search_trials.title(setup_of("C1", noise=0.5).options) == "C1, noise 0.5"
    with pytest.raises(UsageError, match="--noise 0.5: study B7 has no denoiser"):
        search_trials.planned(setup_of("B7", noise=0.5))
    with pytest.raises(UsageError, match="--dropout: study B7 has none"):
        search_trials.planned(setup_of("B7", dropout=(0.1, 0.5)))


@pytest.mark.parametrize(
    ("study", "options", "comparable"),
    [
        ("C1", {"dropout": (0.1, 0.5)}, True),  # as the report's list may be read
        ("C1", {"dropout": (0.1, 0.3)}, False),
        ("B3", {"dropout": (0.1, 0.5)}, False),
        ("C1", {"latent": (2, 4)}, False),
        ("C1", {"noise": 0.5}, False),
    ],
)
def test_another_search_than_the_report_s_is_not_comparable(study, options, comparable):
    setup = setup_of(study, **options)
    assert common.comparable(setup, *search_trials.deviations(setup.options)) is comparable


def test_the_notebook_s_denoisers_have_a_number_for_every_size():
    for by_level in reports.a.DENOISERS.values():
        assert all(errors.keys() == set(reports.a.LATENT) for errors in by_level.values())
    assert reports.a.DENOISERS["Gaussian", "occluded_alike"][0.5][16] == 0.1439
