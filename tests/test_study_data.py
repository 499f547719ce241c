"""The data sets that studies run on: whose budget each has, what captions call it, that none compares but MNIST."""

import dataclasses
import typing

import numpy as np
import pytest

from ae_jax import data
from experiments import baseline, common, reports

CHOICES = typing.get_args(typing.get_type_hints(common.Options)["dataset"])


@pytest.fixture
def prepared(monkeypatch, blobs):
    """The baseline's setup of a data set, of a few images in its place."""
    labels = np.ones(40, np.uint8)
    monkeypatch.setattr(data, "load", lambda name, _: data._dataset(name, blobs[:40], labels, blobs[:40], labels))

    def prepare(dataset, budget):
        options = dataclasses.replace(baseline.Options(), dataset=dataset, budget=budget)
        return common.prepare(options, "baseline", baseline.BUDGETS)

    return prepare


def test_every_choice_is_a_known_data_set():
    assert set(CHOICES) <= data.TITLES.keys() and {"fashion_mnist", "kmnist"} <= set(CHOICES)


@pytest.mark.parametrize("dataset", ["fashion_mnist", "kmnist"])
def test_data_sets_of_mnist_s_size_have_its_budget_and_compare_with_nothing(prepared, dataset):
    assert prepared(dataset, "quick").budget == prepared("mnist", "quick").budget != prepared("digits", "quick").budget
    assert not common.comparable(prepared(dataset, "full")) and common.comparable(prepared("mnist", "full"))
    assert reports.best(reports.a.BEST, dataset) == reports.a.BEST


def test_captions_name_the_data_set(prepared):
    captions = {name: common.describe(prepared(name, "quick")).split(",")[0] for name in CHOICES}
    assert captions == {
        "mnist": "MNIST",
        "digits": "embedded digits (not MNIST)",
        "fashion_mnist": "Fashion-MNIST (not MNIST)",
        "kmnist": "Kuzushiji-MNIST (not MNIST)",
    }
