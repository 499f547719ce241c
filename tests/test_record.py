"""Recorded runs: what is taken over, what the tables say, and that those of the repository are what it holds."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from ae_jax import results
from experiments import common, comparison, record
from experiments.comparison import Finding, Row
from experiments.registry import NAMES, STUDIES
from tests.commands import ROOT

KEPT = sorted((ROOT / "docs" / "results").glob("*.npz"))
README = f"# Title\n\n{record.BEGIN}\nold\n{record.END}\n\nMIT\n"
CHOSEN = STUDIES["transfer_C3"][0].options(study="C3", budget="full", seeds=2, out=Path("somewhere"), labels=600)
OPTIONS = common.plain(CHOSEN)


def meta(**changes):
    rows = [Row("C3 test accuracy", 0.95, [0.96, 0.94], True), Row("C3 test loss", None, [0.25, np.nan])]
    found = [Finding("C3", "it is | fast", "by a criterion that was given up", [1.0, 3.0])]
    return {
        "study": "transfer", "config": {"options": OPTIONS}, "caption": "MNIST", "comparable": True, "resumed": False,
        "rows": comparison.plain(rows), "findings": comparison.plain(found), "git_commit": "0123456789abcdef",
        "wall_seconds": 90.0, "cpu_seconds": 150.0, "device": "a computer",
        "versions": dict.fromkeys(("python", "jax", "flax", "optax"), "1.0"),
    } | changes  # fmt: skip


def decided(name, arrays):
    """What today's criteria say."""
    ours = arrays["curve"][[1, 3]]
    return [Finding("C3", "it is | fast", "seconds", ours, high=2.0), Finding("C3", "good", "error", [1.0])]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of results, and a repository to record them in."""
    monkeypatch.setattr(record.reports, "findings", decided)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "README.md").write_text(README)
    arrays = {"curve": np.arange(5.0), "sheet": np.zeros((2, 28, 28, 1)), "large": np.zeros(20_000)}
    results.save(tmp_path / "from" / "transfer_C3.npz", arrays, meta())
    return tmp_path


def taken(folder):
    record.run(record.Options(folder / "from", folder / "root"))
    return folder / "root"


def test_arrays_are_kept_but_images_and_large_ones(folder):
    arrays, of = results.load(taken(folder) / "docs" / "results" / "transfer_C3.npz")
    assert list(arrays) == ["curve"] and arrays["curve"].tolist() == [0, 1, 2, 3, 4]
    expected = json.loads(json.dumps(meta()))
    assert expected["config"]["options"]["out"] == "somewhere"
    expected["config"]["options"]["out"] = None  # a folder of the machine that ran it
    assert of == expected


def test_the_readme_has_every_reported_number_and_keeps_the_rest(folder):
    text = (taken(folder) / "README.md").read_text()
    before, table, after = text.partition(record.BEGIN)[0], *text.partition(record.BEGIN)[2].split(record.END)
    assert (before, after) == ("# Title\n\n", "\n\nMIT\n") and "old" not in table
    assert "| C3 test accuracy | 0.9500 |  | 0.9500 | 0.0100 | 2 | equal |" in table and "test loss" not in table
    assert "\nOf 2 tests of the reports' findings" in table
    assert "1 are confirmed by every run, 0 by none, 1 by some" in table
    assert "`compression`" in table and "`transfer_C3`" not in table  # not recorded, and recorded


def test_everything_is_told_with_its_command(folder):
    text = (taken(folder) / "docs" / "results" / "README.md").read_text()
    line = "python -m experiments.transfer --dataset mnist --study C3 --budget full --seeds 2 --labels 600"
    assert f"| `{line}` | 01234567 | 1.5 | 2.5 | 1 of 1 | 1 of 2 |" in text
    assert "| C3 test loss |  |  | 0.2500 |  | 1 of 2 |  |" in text
    assert "| C3: it is / fast | seconds | at most 2 | 2.0000 | 1.0000 | 2 | undecided |" in text


def test_written_again_from_what_is_recorded_the_tables_stay(folder):
    root = taken(folder)
    files = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    record.run(record.Options(None, root))
    assert {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"comparable": False, "caption": "digits; budget quick"}, "digits; budget quick; only runs by a report's"),
        ({"git_commit": "0123+"}, r"code that no commit holds \(0123\+\)"),
        ({"git_commit": "unknown"}, "code that no commit holds"),
    ],
)
def test_other_runs_are_not_recorded(folder, changes, said):
    results.save(folder / "from" / "transfer_B6.npz", {}, meta(**changes))
    with pytest.raises(record.UsageError, match=said):
        taken(folder)
    assert not (folder / "root" / "docs").exists()


def test_a_readme_without_a_place_is_left_alone(folder):
    (folder / "root" / "README.md").write_text("# Title\n")
    with pytest.raises(record.UsageError, match="no place for the table"):
        taken(folder)
    assert (folder / "root" / "README.md").read_text() == "# Title\n"


def test_the_tables_of_the_repository_are_those_of_its_recorded_runs():
    assert KEPT
    for path, text in record.tables(ROOT).items():
        assert path.read_text() == text, f"{path} differs: python -m experiments.record"


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_recorded_runs_are_small_and_their_commands_are_understood(run_study, path):
    arrays, of = results.load(path)
    assert path.stem in NAMES and path.stat().st_size < 500_000 and of["comparable"]
    assert not any(values.dtype == np.uint8 or values.shape[-3:] == (28, 28, 1) for values in arrays.values())
    assert of["config"]["options"]["out"] is of["config"]["options"]["data_dir"] is None
    _, _, module, *arguments = shlex.split(record.command(path.stem, of))
    done = run_study(module.removeprefix("experiments."), "/proc/nowhere", *arguments, tiny=[])
    assert done.returncode == 2 and "--out /proc/nowhere: cannot write there" in done.stderr, done.stderr
