"""A disk that is full, at any byte of any file, and other things that fail: ``make faults`` does it to whole runs."""

import contextlib
import os
import random
import resource
import warnings

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from ae_jax import checkpoints, exchange, files, results
from ae_jax.types import UsageError
from experiments import interactive, page, plotting, tables
from tests import fuzz


@contextlib.contextmanager
def room_for(size):
    """No file of this process grows beyond ``size`` bytes: writing on fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def draw(path):
    series = [plotting.Series("ours", np.arange(3), np.arange(3))]
    with plotting.plt.rc_context({"savefig.dpi": 20}):
        return plotting.line_plot(path.with_suffix(""), series, xlabel="x", ylabel="y", title="t")


def picture(path):
    exchange.write_sheet(path, fuzz.PICTURES[..., None])


def interact(path):
    if path.parent.is_dir() and not (shared := path.with_name(interactive.SCRIPT)).exists():
        shared.write_text("shared")
    interactive.parallel_coordinates(path, {name: np.arange(3.0) for name in "ab"}, log=(), title="t")


WRITERS = {
    "results.npz": lambda path: results.save(path, {"x": np.arange(99)}, {"study": "mine", "config": {}}),
    "model.safetensors": lambda path: files.save(fuzz.MODEL, path),
    "table.csv": lambda path: tables.write_csv(path, [{"a": 1, "b": 2.5}] * 9),
    "figure.png": draw,
    "sheet.png": picture,
    "parallel.html": interact,
    "trials_A1.js": lambda path: page._script(path.parent, "trials", "A1", {"score": [0.5] * 99}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_the_old_file_stays_and_nothing_else_is_there(tmp_path, name):
    """The disk is full at the first byte, in the middle and at the last one, of the file as it would be."""
    path, write = tmp_path / name, WRITERS[name]
    write(path)
    size, before = path.stat().st_size, sorted(tmp_path.iterdir())
    path.write_bytes(b"old")
    for room in (0, 1, size // 2, size - 1):
        with pytest.raises(UsageError, match=f"{name}: cannot be written .File too large") as error, room_for(room):
            write(path)
        assert "\n" not in str(error.value)
        assert path.read_bytes() == b"old" and sorted(tmp_path.iterdir()) == before
    with room_for(10 * size):
        write(path)
    assert path.stat().st_size > 3


def test_on_a_full_disk_the_checkpoint_before_stays(tmp_path):
    path = tmp_path / "lane.msgpack"
    checkpoints.save(path, fuzz.TREE)
    for room in (0, 1, path.stat().st_size - 1):
        with pytest.raises(UsageError, match="cannot be written"), room_for(room):
            checkpoints.save(path, fuzz.TREE | {"step": np.int32(5)})
        assert checkpoints.load(path, fuzz.TREE)["step"] == 4
    checkpoints.save(path, fuzz.TREE | {"step": np.int32(5)})
    assert checkpoints.load(path, fuzz.TREE)["step"] == 5 and len(list(tmp_path.iterdir())) == 2


def test_where_nothing_can_be_written_every_writer_says_so(tmp_path):
    """Below a file there is no folder: to root, who tests may be, a folder is never read-only."""
    (tmp_path / "file").touch()
    for name, write in WRITERS.items():
        with pytest.raises(UsageError, match="cannot be written"):
            write(tmp_path / "file" / name)


@pytest.fixture
def programs(tmp_path):
    """JAX's cache of compiled programs in a folder of its own; the function starts a process's memory anew."""

    def fresh():
        jax.clear_caches()
        compilation_cache.reset_cache()

    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "programs"))
    fresh()
    yield fresh
    jax.config.update("jax_compilation_cache_dir", before)
    fresh()


def test_damaged_compiled_programs_are_compiled_again(programs, tmp_path):
    """Bits, pieces and all of it; every time the same numbers, and a warning."""
    rng, image = random.Random(0), np.linspace(-1, 1, 16, dtype=np.float32)

    def computed():
        programs()
        return np.asarray(jax.jit(lambda x: jax.numpy.tanh(x)[::-1] + os.getpid())(image))

    expected = computed()
    (path,) = (tmp_path / "programs").glob("jit__lambda*-cache")
    content = path.read_bytes()
    for number in range(9):
        at = rng.randrange(len(content))
        flipped = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        path.write_bytes((flipped, content[:at], content[:at] + bytes(len(content) - at))[number % 3])
        with pytest.warns(UserWarning, match="compilation cache"):
            np.testing.assert_array_equal(computed(), expected)


def test_without_a_place_for_compiled_programs_they_are_not_kept(programs, tmp_path):
    (tmp_path / "file").touch()
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "file" / "programs"))
    programs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert jax.jit(lambda x: x * 2 + os.getpid())(1) == 2 + os.getpid()
