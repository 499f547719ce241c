"""Tables of trials: what is written is what is read back, in order and digit by digit."""

import csv

import numpy as np
import pytest

from ae_jax import results
from ae_jax.lanes import DIVERGED, DONE, HALVED
from ae_jax.types import UsageError
from experiments import tables

# Three trials of two folds; the ranking is not their order, and the rates have all digits of a float64.
ARRAYS = {
    "trial_learning_rate": np.array([1 / 3, 1e-4, 0.1]),
    "trial_latent": np.array([8, 2, 4]),
    "trial_optimizer": np.array(["adam", "sgd", "adam"]),
    "trial_epochs": np.array([5, 5, 5]),
    "ranking": np.array([2, 0, 1]),
    "status": np.array([[DONE, HALVED], [DONE, DIVERGED], [DONE, DONE]]),
    "epochs": np.array([[5, 2], [5, 1], [5, 5]]),
    "fold_score": np.array([[0.3, 0.1], [0.2, np.inf], [0.1, 0.2]], np.float32),
    "score": np.array([0.2, np.inf, 0.15], np.float32),
}


def build(latent, optimizer):
    """Names what selects a program."""


@pytest.fixture
def table(tmp_path):
    return tables.write_csv(tmp_path / "trials.csv", tables.trial_rows(ARRAYS))


def read(path, **options):
    return tables.read_trials(path, build, **{"fixed": {}, "required": ()} | options)


def test_an_export_has_a_row_for_each_trial_the_best_first(table):
    rows = list(csv.DictReader(table.open()))
    assert [row["trial"] for row in rows] == ["2", "0", "1"]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert [row["status"] for row in rows] == ["done", "halved", "diverged"]
    assert [row["epochs_trained"] for row in rows] == ["5", "5", "5"]
    assert rows[1] | {"learning_rate": "0.3333333333333333", "latent": "8", "optimizer": "adam"} == rows[1]
    assert [float(row["score"]) for row in rows] == [np.float32(0.15), np.float32(0.2), np.inf]
    assert [float(row["fold_1"]) for row in rows] == [np.float32(0.2), np.float32(0.1), np.inf]


def test_an_export_is_read_back_to_the_last_digit(table):
    """In the order of the file, results left out, whole numbers whole."""
    trials = read(table)
    assert trials.keys() == {"learning_rate", "latent", "optimizer", "epochs"}
    for name, values in trials.items():
        np.testing.assert_array_equal(values, ARRAYS[f"trial_{name}"][ARRAYS["ranking"]])
        assert values.dtype.kind == ARRAYS[f"trial_{name}"].dtype.kind


def test_a_saved_search_is_read_in_the_order_of_its_trials(tmp_path):
    path = tmp_path / "search.npz"
    results.save(path, ARRAYS, {"study": "random_search", "config": {}})
    for name, values in read(path).items():
        np.testing.assert_array_equal(values, ARRAYS[f"trial_{name}"])


def test_columns_that_a_file_leaves_out_are_filled_and_its_own_win(table):
    trials = read(table, fixed={"l2": 0.5, "epochs": 99}, required={"l2", "epochs"}, limit=2)
    assert trials["l2"].tolist() == [0.5, 0.5] and trials["epochs"].tolist() == [5, 5]
    np.testing.assert_array_equal(trials["learning_rate"], [0.1, 1 / 3])
    with pytest.raises(UsageError, match="no column dropout"):
        read(table, required={"dropout"})
    with pytest.raises(UsageError, match="has a column epochs: leave out"):
        read(table, refuse={"epochs", "batch_size"})


def test_numbers_that_are_the_same_in_all_trials_do_not_vary():
    assert tables.varying_numbers(ARRAYS).keys() == {"learning_rate", "latent"}
