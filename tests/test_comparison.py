"""A report beside ours: how rows and findings are judged, and that they survive the npz."""

import json

import numpy as np
import pytest

from experiments import comparison
from experiments.comparison import NOTEBOOK, Finding, Numbers, Row


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row("", 0.040, [0.030, 0.032]), "better"),
        (Row("", 0.040, [0.050]), "worse"),
        (Row("", 0.040, [0.0403]), "equal"),
        (Row("", 0.95, [0.97], True), "better"),
        (Row("", 0.95, [0.90], True), "worse"),
        (Row("", 0.99, [0.985], True), "worse"),
        (Row("", 0.99, [0.99005], True), "equal"),
        (Row("", 0.040, [0.030, np.nan]), "better"),
        (Row("", 0.040, [np.nan]), "diverged"),
        (Row("", None, [0.030]), ""),
        (Row("", 0.979, [0.985], None), "equal"),
        (Row("", 0.979, [0.999], None), "different"),
        (Row("", 0.979, [0.959], None), "different"),
    ],
)
def test_verdict(row, expected):
    assert comparison.verdict(row, comparable=True) == expected
    assert comparison.verdict(row, comparable=False) == ("" if row.reported is None else "not comparable")


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (Finding("A1", "", "", [0.1, 0.2], high=0.2), "confirmed"),
        (Finding("A1", "", "", [0.1, 0.3], high=0.2), "undecided"),
        (Finding("A1", "", "", [0.21, 0.3], high=0.2), "not confirmed"),
        (Finding("A1", "", "", [0.21, 0.3], low=0.2), "confirmed"),
        (Finding("A1", "", "", [0.1, 0.3], low=0.2, high=0.4), "undecided"),
        (Finding("A1", "", "", [0.3, np.nan], low=0.2), "confirmed"),
        (Finding("A1", "", "", [np.nan], low=0.2), "not testable: every run diverged"),
    ],
)
def test_a_finding_is_decided_by_all_of_its_runs(finding, expected):
    assert comparison.decide(finding, comparable=True) == expected
    assert comparison.decide(finding, comparable=False).startswith("not testable")


def test_rows_and_findings_survive_json_diverged_runs_and_open_ends_included():
    rows = [Row("a", 0.1, [0.2, np.nan]), Row("b", None, [0.5], None, NOTEBOOK)]
    findings = [Finding("A1", "says", "measure", [0.5, np.nan], high=1.0), Finding("A2", "s", "m", [1.0], 0.0)]
    meta = json.loads(json.dumps({"rows": comparison.plain(rows), "findings": comparison.plain(findings)}))
    back, found = comparison.read_rows(meta), comparison.read_findings(meta)
    np.testing.assert_array_equal(back[0].ours, rows[0].ours)
    assert back[1] == rows[1] and found[1] == findings[1]
    np.testing.assert_array_equal(found[0].ours, findings[0].ours)
    assert found[0]._replace(ours=[]) == findings[0]._replace(ours=[])


def test_only_what_the_report_says_stands_in_its_column():
    row = Row("a", 0.1, [0.2, np.nan])
    assert comparison.number_cells(row, True) == ("a", "0.1000", "", "0.2000", "", "1 of 2", "worse")
    told = comparison.number_cells(row._replace(source=NOTEBOOK), True)
    assert told == ("a", "", "0.1000 (its notebook)", "0.2000", "", "1 of 2", "worse")
    assert comparison.number_cells(row._replace(reported=None), True)[1:3] == ("", "")


def test_a_finding_tells_its_measurement_its_spread_and_what_would_confirm_it():
    cells = comparison.finding_cells(Finding("A1", "it falls", "largest step", [-1.0, -3.0], high=0.0), True)
    assert cells == ("A1: it falls", "largest step", "at most 0", "-2.0000", "1.0000", "2", "confirmed")
    ends = {(-np.inf, 0.5): "at most 0.5", (2.0, np.inf): "at least 2", (0.5, 2.0): "0.5 to 2", (1.0, 1.0): "1"}
    for (low, high), words in ends.items():
        assert comparison.criterion(Finding("", "", "", [], low, high)) == words


def test_rows_take_their_figures_by_name():
    """One for each name; those that the report does not know have none."""
    rows = comparison.rows("error, d = {}", (2, 4), [0.5, np.array([0.1, 0.3])], Numbers({4: 0.2}, NOTEBOOK))
    assert [row.what for row in rows] == ["error, d = 2", "error, d = 4"]
    assert [row.reported for row in rows] == [None, 0.2] and not rows[0].higher_is_better
    assert [list(row.ours) for row in rows] == [[0.5], [0.1, 0.3]] and rows[1].source == NOTEBOOK
    with pytest.raises(ValueError, match="zip"):
        comparison.rows("{}", (1, 2), [0.5])


def test_measures_are_a_row_for_each_thing_and_label():
    """Thing by thing, in the labels' order; what has no label has no row."""
    arrays = {"rate": np.array([[1.0, 2.0], [3.0, np.nan]]), "active": np.array([4, 5]), "unnamed": np.zeros(2)}
    rows = comparison.measures("{}: {}", ("a", "b"), {"active": "units", "rate": "nats"}, arrays)
    assert [row.what for row in rows] == ["a: units", "a: nats", "b: units", "b: nats"]
    np.testing.assert_array_equal([row.ours[0] for row in rows], [4, 1, 5, 3])
    assert len(rows[1].ours) == 2 and all(row.reported is None for row in rows)
