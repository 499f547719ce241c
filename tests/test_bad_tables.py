"""Tables of trials as users write them: what is wrong is named by line and column."""

from pathlib import Path

import numpy as np
import pytest

from ae_jax import results
from ae_jax.random_search import column
from ae_jax.types import Dataset, UsageError
from experiments import (
    command_line,
    common,
    latent_sweep,
    random_search,
    search_trials,
    smoothness,
    spaces,
    study,
    tables,
)

HEADER = "learning_rate,l2,dropout,epochs,latent"
REQUIRED = ("learning_rate", "l2", "dropout", "epochs", "latent")


def read(path):
    return tables.read_trials(path, spaces.build, {}, REQUIRED)


def refusal(path) -> str:
    with pytest.raises(UsageError) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 500
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{HEADER}\n0.01,0,0,1,2,7\n", ", line 2: 6 cells under 5 columns"),
        (f"{HEADER}\n0.01,0,0,1,2\n\n0.01,0,0,1,2,\n", ", line 4: 6 cells under 5 columns"),
        (f"{HEADER},l2\n0.01,0,0,1,2,5\n", ", line 1: more than one column l2"),
        (f"{HEADER}\n0.01,0,0,99999999999,2\n", ", line 2: epochs 99999999999 is not allowed: give a whole"),
        (f"{HEADER}\n0.01,0,0,1e30,2\n", ", line 2: epochs 1e+30 is not allowed: give a whole number from 1 to 100000"),
        (f"{HEADER}\n0.01,0,0,-1,2\n", ", line 2: epochs -1.0 is not allowed: give a whole number from 1"),
        (f"{HEADER}\n0.01,0,0,1,100001\n", ", line 2: latent 100001 is not allowed: give a whole number from 1"),
        (f"{HEADER},batch_size\n0.01,0,0,1,2,0\n", ", line 2: batch_size 0 is not allowed: give a whole number"),
        (f"{HEADER}\nnan,0,0,1,2\n", ", line 2: learning_rate is 'nan', expected a number"),
        (f"{HEADER}\n0.01,-inf,0,1,2\n", ", line 2: l2 is '-inf', expected a number"),
        (f"{HEADER}\n0.01,0,1e999,1,2\n", ", line 2: dropout is '1e999', expected a number"),
        (f"{HEADER}\n0.01,0,0,inf,2\n", ", line 2: epochs is 'inf', expected a number"),
        (f"{HEADER}\n\n0.01,0,0,1,two\n", ", line 3: latent is 'two', expected a number"),
        (f'{HEADER}\n0.01,0,0,1,"2\n0.02,0,0,1,2\n', ": cannot be read as CSV (unexpected end of data)"),
        (f'{HEADER}\n0.01,0,0,1,"2"3\n', ": cannot be read as CSV"),
        (f"{HEADER}\n0.01,0,0,1,{'1' * 200_000}\n", ": cannot be read as CSV (field larger than field limit"),
        (f"{HEADER}\n0.01,0,0,1,{'1' * 100_000}\n", ", line 2: latent is '111"),
        (f"{HEADER}\n0.01,0,0,1,\0\n", ", line 2: latent is '\\x00', expected a number"),
        (f"{HEADER}\n0.01,0,0,1,²\n", ", line 2: latent is '²', expected a number"),
        ("", ": no trials in it"),
        ("\n\n", ": no trials in it"),
    ],
)
def test_wrong_tables_are_refused_by_line_and_column(tmp_path, content, message):
    path = tmp_path / "trials.csv"
    path.write_text(content)
    assert refusal(path).startswith(message)


def test_counts_are_refused_in_the_words_of_the_options(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(f"{HEADER}\n0.01,0,0,100001,2\n")
    with pytest.raises(UsageError) as error:
        command_line._check(common.Options(out=tmp_path, epochs=100001))
    assert refusal(path) == ", line 2: " + str(error.value).removeprefix("--")


def test_what_is_no_csv_is_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "latin.csv").write_bytes(f"{HEADER}\n0.01,0,0,1,\xe9\n".encode("latin-1"))
    npz = results.save(tmp_path / "search.npz", {"trial_latent": np.arange(300)}, {"study": "random_search"})
    npz.rename(tmp_path / "search.csv")
    for name in ("folder.csv", "latin.csv", "search.csv"):
        assert refusal(tmp_path / name).startswith(": cannot be read as CSV")
    assert "no such file" in refusal(tmp_path / "folder.npz")


def test_empty_lines_quotes_and_columns_of_results_are_read_past(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(f'rank,{HEADER},score,fold_0\n1,"0.01",0,0,1,2,inf,nan\n\n2,1e-3,0,0.5, 3 ,4,0.1,0.2\n')
    columns = read(path)
    assert columns.keys() == set(REQUIRED)
    assert columns["learning_rate"].tolist() == [0.01, 0.001]
    assert columns["epochs"].tolist() == [1, 3] and columns["epochs"].dtype == np.int64


def test_huge_whole_numbers_stay_plain(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(f"{HEADER}\n{10**30},0,0,1,2\n")
    assert read(path)["learning_rate"].dtype == np.float64


def test_a_search_over_tuples_can_be_saved_and_listed(tmp_path):
    trials = {"channels": column([(8, 16), (8, 16, 32)]), "l2": np.array([0.0, 1.0])}
    outcome = {"ranking": np.array([1, 0]), "status": np.zeros((2, 1), int), "epochs": np.ones((2, 1), int)}
    arrays = tables.plain(trials) | outcome | {"score": np.array([2.0, 1.0])}
    saved, _ = results.load(results.save(tmp_path / "r.npz", arrays, {"study": "random_search", "config": {}}))
    rows = tables.trial_rows(saved)
    assert [row["channels"] for row in rows] == ["[8, 16, 32]", "[8, 16]"]
    assert tables.varying_numbers(saved).keys() == {"l2"}
    assert "[8, 16, 32]" in tables.write_csv(tmp_path / "r.csv", rows).read_text()


@pytest.mark.parametrize(
    ("study", "trials", "comparable"),
    [("A1", None, True), ("A1", 174, True), ("A1", 200, True), ("A1", 64, False), ("B3", 5, True), ("C1", 49, False)],
)
def test_fewer_trials_than_the_report_s_are_not_comparable(study, trials, comparable):
    options = random_search.Options(dataset="mnist", budget="full", study=study, trials=trials)
    mnist = Dataset("mnist", *[np.zeros(1)] * 4, "digest")
    setup = common.Setup(options, spaces.BUDGETS[study]["full"]["mnist"], mnist, "", 0.0)
    assert common.comparable(setup, *search_trials.deviations(options)) is comparable


@pytest.mark.parametrize(
    ("of", "given", "start", "comparable"),
    [
        (latent_sweep, {}, True, True),
        (latent_sweep, {"latent": (16, 32)}, True, False),
        (smoothness, {}, True, True),
        (smoothness, {"model": Path("other.safetensors")}, True, False),
        (smoothness, {}, False, False),
    ],
)
def test_what_decides_a_claim_is_not_comparable(monkeypatch, tmp_path, of, given, start, comparable):
    """Options that do, and a model that is not by the protocol: as the npz says it."""
    monkeypatch.setattr(study.reports, "findings", lambda *_: [])
    options = of.STUDY.options(dataset="mnist", budget="full", out=tmp_path, **given)
    mnist = Dataset("mnist", *[np.zeros(1)] * 4, "digest")
    setup = common.Setup(options, common.Budget(1, 1), mnist, "", 0.0)
    measured = study.Measured({"error": np.zeros(1)}, [], comparable=start)
    _, meta = results.load(study.save(of.STUDY, setup, {}, measured))
    assert meta["comparable"] is comparable
