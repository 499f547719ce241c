"""Files that were damaged or are something else: results give arrays or one line, checkpoints the one before."""

import errno
import hashlib
import json
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from flax import serialization

from ae_jax import checkpoints, results
from ae_jax.types import UsageError
from experiments import baseline, common, run_all, summary
from tests.damage import damaged

META = {"study": "mine", "config": {"epochs": 3}}
TREE = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.int32(4)}


def assert_one_line(error: Exception, path) -> None:
    assert str(path) in str(error) and "\n" not in str(error)


def load_or_refuse(path) -> bool:
    """Whether the results load: whole arrays, or a UsageError of one line and nothing else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arrays, meta = results.load(path, "mine")
    except UsageError as error:
        assert_one_line(error, path)
        return False
    assert meta["config"] == META["config"] and all(isinstance(values, np.ndarray) for values in arrays.values())
    return True


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_results_are_refused_in_one_line(tmp_path, compressed):
    path = results.save(tmp_path / "r.npz", {"x": np.arange(7), "names": np.array(["a", "bc"])}, META)
    if not compressed:
        np.savez(path, meta=json.dumps(META), x=np.arange(7), names=np.array(["a", "bc"]))
    refused = 0
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        refused += not load_or_refuse(path)
    assert refused > 100


def test_damage_that_the_checksum_does_not_see_is_refused(tmp_path):
    """A member stored with a checksum of its own: NumPy's header parser gets the damage."""
    path = results.save(tmp_path / "r.npz", {"x": np.arange(7)}, META)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for header in damaged(members["x.npy"][:128]):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("meta.npy", members["meta.npy"])
            archive.writestr("x.npy", header + members["x.npy"][128:])
        load_or_refuse(path)


@pytest.mark.parametrize(
    "meta", ["[]", "3", "null", '"text"', "{}", '{"study": "mine"}', '{"study": 1, "config": []}', "[" * 100_000]
)
def test_metadata_of_another_shape_are_refused(tmp_path, meta):
    np.savez(tmp_path / "r.npz", meta=meta, x=np.arange(3))
    for study in ("mine", None):
        with pytest.raises(UsageError, match="run its study again") as error:
            results.load(tmp_path / "r.npz", study)
        assert_one_line(error.value, tmp_path / "r.npz")


def test_other_formats_under_the_name_of_results_are_refused(tmp_path):
    path = tmp_path / "r.npz"
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    assert not load_or_refuse(path)
    path.write_bytes(pickle.dumps({"meta": META}))
    assert not load_or_refuse(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"config": {}},
        {"rows": None},
        {"rows": [3]},
        {"rows": [{"what": "w"}]},
        {"findings": [{}]},
        {"wall_seconds": "long"},
    ],
)
def test_results_without_a_table_are_not_summed_up(tmp_path, damage):
    options = baseline.Options(out=tmp_path)
    meta = {"study": "baseline", "config": {"options": common.plain(options)}, "comparable": False}
    meta |= {"rows": [], "findings": [], "wall_seconds": 1.0} | damage
    path = results.save(tmp_path / "baseline.npz", {}, meta)
    with pytest.raises(UsageError, match="delete it to run its study again") as error:
        if run_all._is_done(baseline.STUDY, options):
            summary.write(options.out, ["baseline"])
    assert_one_line(error.value, path)


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b'"seed"', b"", b"\xff\xfe", b"{", b"[" * 100_000])
def test_an_identity_of_another_shape_is_refused(tmp_path, content):
    checkpoints.open_folder(tmp_path / "c", {"seed": 0}, resume=False)
    (tmp_path / "c" / checkpoints.IDENTITY).write_bytes(content)
    with pytest.raises(UsageError, match="unreadable") as error:
        checkpoints.open_folder(tmp_path / "c", {"seed": 0}, resume=True)
    assert_one_line(error.value, tmp_path / "c" / checkpoints.IDENTITY)


def test_a_damaged_identity_is_refused_or_the_same(tmp_path):
    checkpoints.open_folder(tmp_path / "c", {"seed": 0, "rates": [1, 2]}, resume=False)
    path = tmp_path / "c" / checkpoints.IDENTITY
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UsageError) as error:
            checkpoints.open_folder(tmp_path / "c", {"seed": 0, "rates": [1, 2]}, resume=True)
        assert "\n" not in str(error.value)


def signed(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest() + payload


@pytest.mark.parametrize(
    "content",
    [
        signed(b""),
        signed(b"\xc1 no msgpack"),
        signed(serialization.msgpack_serialize([1, 2])),
        signed(serialization.msgpack_serialize(3)),
        signed(serialization.to_bytes({"weights": TREE["weights"]})),
        signed(serialization.to_bytes(TREE | {"more": TREE["weights"]})),
        signed(serialization.to_bytes(TREE | {"weights": TREE["weights"].T})),
        signed(serialization.to_bytes(TREE | {"weights": TREE["weights"].astype(np.float64)})),
        signed(serialization.to_bytes(TREE | {"step": {"nested": TREE["weights"]}})),
        signed(serialization.to_bytes(TREE | {"step": None})),
    ],
    ids=["empty", "garbage", "list", "number", "fewer", "more", "shape", "dtype", "nested", "none"],
)
def test_a_checkpoint_with_foreign_content_costs_only_its_own_epochs(tmp_path, content):
    path = tmp_path / "lane.msgpack"
    checkpoints.save(path, TREE | {"step": np.int32(3)})
    checkpoints.save(path, TREE)
    assert checkpoints.load(path, TREE)["step"] == 4
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged: going on from the checkpoint before it"):
        assert checkpoints.load(path, TREE)["step"] == 3
    assert not path.exists()


def test_damaged_bits_of_a_checkpoint_never_come_back(tmp_path):
    """Flipped before the digest was taken, too: then arrays of the same form, or the fallback."""
    path = tmp_path / "lane.msgpack"
    checkpoints.save(path, TREE)
    content, payload = path.read_bytes(), serialization.to_bytes(TREE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for damage in damaged(content):
            path.write_bytes(damage)
            assert checkpoints.load(path, TREE) is None
        for damage in damaged(payload):
            path.write_bytes(signed(damage))
            tree = checkpoints.load(path, TREE)
            assert tree is None or tree["weights"].shape == (2, 3)


def test_a_predecessor_that_cannot_be_replaced_is_told(tmp_path):
    checkpoints.save(tmp_path / "0.msgpack", TREE)
    (tmp_path / "0.previous").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        checkpoints.save(tmp_path / "0.msgpack", TREE)


def test_a_folder_that_cannot_be_moved_is_emptied(tmp_path, monkeypatch):
    """As a volume that is mounted there; the run that is done is not lost for it."""
    folder = tmp_path / "volume"
    checkpoints.open_folder(folder, {"a": 1}, resume=False)
    checkpoints.save(folder / "group000-lane00000.msgpack", TREE)

    def busy(path, target):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    checkpoints.remove_folder(folder)
    assert list(tmp_path.iterdir()) == [folder] and not list(folder.iterdir())


def test_of_two_processes_one_removes_the_folder(tmp_path, monkeypatch):
    (tmp_path / "of").mkdir()
    replace = Path.replace

    def too_late(path, target):
        shutil.rmtree(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", too_late)
    checkpoints.remove_folder(tmp_path / "of")
    assert not list(tmp_path.iterdir())
