"""Report against ours: how a row is judged, and that it survives the npz."""

import json

import numpy as np
import pytest

from experiments import report
from experiments.report import Row


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
    ],
)
def test_verdict(row, expected):
    assert report.verdict(row, comparable=True) == expected
    assert report.verdict(row, comparable=False) == ("" if row.reported is None else "not comparable")


def test_rows_survive_json_diverged_runs_included():
    rows = [Row("a", 0.1, [0.2, np.nan]), Row("b", None, [0.5], True)]
    back = report.read(json.loads(json.dumps({"rows": report.plain(rows)})))
    np.testing.assert_array_equal(back[0].ours, rows[0].ours)
    assert back[1] == rows[1]
    assert report.cells(back[0], True) == ("a", "0.1000", "0.2000", "", "1 of 2", "worse")


def test_rows_take_their_figures_by_name():
    """One for each name; those that the report does not know have none."""
    rows = report.rows("error, d = {}", (2, 4), [0.5, np.array([0.1, 0.3])], {4: 0.2})
    assert [row.what for row in rows] == ["error, d = 2", "error, d = 4"]
    assert [row.reported for row in rows] == [None, 0.2] and not rows[0].higher_is_better
    assert [list(row.ours) for row in rows] == [[0.5], [0.1, 0.3]]
    with pytest.raises(ValueError, match="zip"):
        report.rows("{}", (1, 2), [0.5])
