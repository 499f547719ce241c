"""What the tests share: the environment of a run, a small dataset on the device, a small objective."""

import contextlib
import functools
import gc
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import evaluation, generation, posterior, results
from ae_jax.batching import Data
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from experiments import derivations
from tests import figures
from tests.commands import LLVM_ALONE, LONG, READS_MODEL, ROOT, STUDIES, TINY, UNOPTIMIZED, command, run, words

# Groups of tests that take ten seconds or more: runs of studies, and these modules.
LONG_MODULES = (
    "test_api", "test_benchmarks", "test_browser", "test_cli", "test_devices", "test_experiments", "test_export",
    "test_peers", "test_readme", "test_segments", "test_sizes", "test_sklearn", "test_trials", "test_variational",
    "test_widening",
)  # fmt: skip
LONG_GROUPS = {*STUDIES, *LONG_MODULES}

if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits all this
    # Compiled programs, small ones too, are kept once for all workers and child processes of a run: in a folder of its
    # own, empty at first, or in that which AE_JAX_TEST_PROGRAMS names, for several runs. Never in the user's.
    _programs = tempfile.TemporaryDirectory(prefix="ae_jax-programs-")
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("AE_JAX_TEST_PROGRAMS") or _programs.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "MATPLOTLIBRC": str(Path(__file__).parent / "matplotlibrc"),
        # NumPy's and scikit-learn's threads would wait for each other: there is a worker for each core.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if os.environ.get("AE_JAX_TEST_OPTIMIZED") == "llvm":
        os.environ["XLA_FLAGS"] = LLVM_ALONE
    elif not os.environ.get("AE_JAX_TEST_OPTIMIZED"):
        os.environ |= UNOPTIMIZED
        jax.config.update("jax_disable_most_optimizations", True)

gc.set_threshold(100_000, 50, 50)  # tracing makes many objects that stay
jax.devices()  # in use from here on, so that no command line run in this process changes the number of devices


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """A module's tests go to one worker, as they share fixtures and programs; those of a study's run are a group.

    What takes long comes first, so that at the end no worker waits long for another.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))
    items.sort(key=lambda item: group_of(item) not in LONG_GROUPS)


def group_of(item) -> str:
    """Of which group a test is."""
    return item.get_closest_marker("xdist_group").args[0]


_last_group = None


@pytest.fixture(autouse=True)
def no_programs_left_behind(request):
    """A group's compiled programs are of no use to the next, and take gigabytes together."""
    global _last_group
    group = group_of(request.node)
    if group != _last_group:
        jax.clear_caches()
    _last_group = group


@pytest.fixture(scope="session")
def blobs() -> np.ndarray:
    """[200, 28, 28, 1] uint8: a bright square somewhere on each image; a network can learn them in seconds."""
    rng = np.random.default_rng(0)
    images = np.zeros((200, 28, 28, 1), np.uint8)
    for image, (row, column) in zip(images, rng.integers(0, 18, (200, 2)), strict=True):
        image[row : row + 10, column : column + 10] = 255
    return images


@pytest.fixture(scope="session")
def data(blobs) -> Data:
    return Data(jnp.asarray(blobs), jnp.asarray(np.arange(200, dtype=np.int32) % 10))


@pytest.fixture(scope="session")
def objective():
    return autoencoder(dense_autoencoder(latent=2, widths=(16,)))


@pytest.fixture
def key_reuse_check():
    """JAX's checker that no key is consumed twice."""
    with jax.debug_key_reuse(True):
        yield


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """One compilation cache for all runs, the user's folders out of reach."""
    return os.environ | {"AE_JAX_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def run_study(environment):
    """Run a study to its end in this process: the exit code, and the output as text."""

    def call(study, out, *arguments, tiny=TINY, **variables):
        return run(study, words(out, *arguments, tiny=tiny), environment | variables)

    return call


@pytest.fixture(scope="session")
def run_process(environment):
    """The same in a process of its own, where the process is the point."""

    def call(study, out, *arguments, tiny=TINY, **variables):
        line = command(study, out, *arguments, tiny=tiny)
        return subprocess.run(line, env=environment | variables, cwd=ROOT, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture
def short_gradients(monkeypatch):
    """The study of gradients with one of its five cases: where any study will do, the shortest of all."""
    for name in tuple(derivations.CASES)[1:]:
        monkeypatch.delitem(derivations.CASES, name)


@contextlib.contextmanager
def optimized():
    """Programs are compiled in earnest: dearer, and three times as fast."""
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", not os.environ.get("AE_JAX_TEST_OPTIMIZED"))
        jax.clear_caches()


@contextlib.contextmanager
def keys_checked():
    """JAX checks that no key is consumed twice, in every thread."""
    jax.config.update("jax_debug_key_reuse", True)
    try:
        yield
    finally:
        jax.config.update("jax_debug_key_reuse", False)


# Measures of runs: those that consume a key, their second argument, and that of a judge.
MEASURES = (
    (evaluation, "score"), (posterior, "importance_nll"), (posterior, "encode"), (posterior, "code_counts"),
    (generation, "judgement"),
)  # fmt: skip


class Ran(NamedTuple):
    """A study's run: what it printed and wrote, what its figures show by file name, its measures."""

    done: subprocess.CompletedProcess
    npz: Path
    arrays: dict[str, np.ndarray]
    meta: dict
    drawings: dict[str, figures.Drawing]
    measures: list[tuple[str, tuple]]  # function and arguments

    @property
    def model(self):
        return self.npz.with_suffix(".safetensors")

    @property
    def folder(self):
        return self.npz.parent

    def drawing(self, name):
        return self.drawings[f"{self.npz.stem}{name}.png"]


@pytest.fixture(scope="session")
def ran(run_study, tmp_path_factory):
    """``ran(name)``: every study of run_all at the smallest size, once for all the tests of a worker, keys checked."""

    @functools.cache
    def call(name):
        module, arguments = STUDIES[name]
        folder = tmp_path_factory.mktemp(name)
        model = (READS_MODEL[name], str(call("latent_space_A5").model)) if name in READS_MODEL else ()
        measured = {}
        with figures.drawn() as drawings, keys_checked(), contextlib.ExitStack() as patches:
            if name in LONG:
                patches.enter_context(optimized())
            for part, function in MEASURES:
                patch = mock.patch.object(part, function, wraps=getattr(part, function))
                measured[function] = patches.enter_context(patch).call_args_list
            done = run_study(module, folder, *arguments.split(), *model)
        assert done.returncode == 0, done.stderr
        calls = [(function, call.args) for function, listed in measured.items() for call in listed]
        return Ran(done, folder / f"{name}.npz", *results.load(folder / f"{name}.npz", module), drawings, calls)

    return call
