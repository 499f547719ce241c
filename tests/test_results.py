"""Results on disk: whole or not at all, readable without pickle, refused when they are something else."""

import json
import subprocess

import numpy as np
import pytest

from ae_jax import results
from ae_jax.types import Dataset, UsageError
from experiments import baseline, common

IMAGES, LABELS = np.zeros((5, 28, 28, 1), np.uint8), np.zeros(5, np.uint8)
DATASET = Dataset("digits", IMAGES, LABELS, IMAGES[:3], LABELS[:3], "abc")


def test_round_trip_and_provenance(tmp_path):
    meta = results.provenance("study", DATASET, {"epochs": 3})
    path = results.save(tmp_path / "deep" / "er.npz", {"x": np.arange(3)}, meta)
    arrays, read = results.load(path, "study")
    np.testing.assert_array_equal(arrays["x"], np.arange(3))
    assert read == json.loads(json.dumps(meta))
    assert read["dataset"] == {"name": "digits", "sha256": "abc", "train": 5, "test": 3}
    assert {"jax", "numpy", "python", "ae-jax"} <= read["versions"].keys()
    assert read["device"] and read["git_commit"] and read["config"] == {"epochs": 3}
    with np.load(path, allow_pickle=False) as npz:
        assert sorted(npz.files) == ["meta", "x"]


def test_the_commit_is_that_of_our_checkout_and_not_of_a_repository_we_are_installed_in(tmp_path, monkeypatch):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def told(module):
        monkeypatch.setattr(results, "__file__", str(module))
        results.git_commit.cache_clear()
        return results.git_commit()

    git("init", "--quiet")
    git("commit", "--allow-empty", "--quiet", "--message", "the user's own")
    assert told(tmp_path / "ae_jax" / "results.py") == git("rev-parse", "HEAD")
    (tmp_path / "new").touch()
    assert told(tmp_path / "ae_jax" / "results.py") == git("rev-parse", "HEAD") + "+"
    (tmp_path / "site-packages").mkdir()
    assert told(tmp_path / "site-packages" / "ae_jax" / "results.py") == "unknown"
    results.git_commit.cache_clear()


def test_git_is_asked_once(monkeypatch):
    first = results.origin()["git_commit"]
    monkeypatch.setattr(results.subprocess, "run", None)
    assert results.origin()["git_commit"] == first


def test_the_commit_is_that_at_the_start_of_a_study(monkeypatch):
    results.git_commit.cache_clear()
    common.prepare(baseline.Options(dataset="digits"), "baseline", baseline.BUDGETS)
    monkeypatch.setattr(results.subprocess, "run", None)
    assert results.git_commit() == results.origin()["git_commit"] != "unknown"


def test_objects_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="'x' holds Python objects"):
        results.save(tmp_path / "r.npz", {"x": np.array([{}, None])}, {})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = results.save(tmp_path / "r.npz", {"x": np.arange(3)}, {"study": "s"})
    before = path.read_bytes()
    monkeypatch.setattr(results.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UsageError, match="disk full"):
        results.save(path, {"x": np.arange(4)}, {"study": "s"})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.npz"]


def test_arrays_that_changed_places_are_refused(tmp_path):
    """Each with its own checksum intact; a file of a time before there was a digest of all tells nothing."""
    path = results.save(tmp_path / "r.npz", {"x": np.arange(3), "y": np.arange(3, 6)}, {"study": "s", "config": {}})
    with np.load(path) as npz:
        x, y, meta = npz["x"], npz["y"], npz["meta"]
    np.savez(path, x=y, y=x, meta=meta)
    with pytest.raises(UsageError, match="its digest is another"):
        results.load(path)
    np.savez(path, x=y, y=x, meta='{"study": "s", "config": {}}')
    assert results.load(path)[0]["x"].tolist() == [3, 4, 5]


def test_what_killed_processes_have_left_of_a_file_is_removed(tmp_path):
    path = results.save(tmp_path / "r[1].npz", {"x": np.arange(3)}, {})
    others = ".r1.npz.12", ".r[1].lock", "r[1].npz.12"
    for name in (".r[1].npz.12", ".r[1].npz.345", *others):
        (tmp_path / name).touch()
    results.remove_leftovers(path)
    assert {found.name for found in tmp_path.iterdir()} == {path.name, *others}


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "foreign", "other study"])
def test_what_is_not_a_result_is_refused(tmp_path, damage):
    path = results.save(tmp_path / "r.npz", {"x": np.arange(1000)}, {"study": "mine"})
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "text":
        path.write_text("not an npz")
    elif damage == "foreign":
        np.savez(path, x=np.arange(3))
    with pytest.raises(UsageError, match="r.npz"):
        results.load(path, "another" if damage == "other study" else "mine")
