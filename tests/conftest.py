"""What the tests share: the environment of a run, a small dataset on the device, a small objective."""

import os
import subprocess
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.training import Data
from tests.commands import ROOT, TINY, command

if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits all this
    # Compiled programs, small ones too, are kept once for all workers and child processes of a run: in a folder of its
    # own, empty at first, or in that which AE_JAX_TEST_PROGRAMS names, for several runs. Never in the user's.
    _programs = tempfile.TemporaryDirectory(prefix="ae_jax-programs-")
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("AE_JAX_TEST_PROGRAMS") or _programs.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "MATPLOTLIBRC": str(Path(__file__).parent / "matplotlibrc"),
    }
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

jax.devices()  # in use from here on, so that no command line run in this process changes the number of devices


@pytest.fixture(autouse=True, scope="module")
def no_programs_left_behind():
    """A module's compiled programs are of no use to the next, and take gigabytes together."""
    yield
    jax.clear_caches()


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
    return Data(jnp.asarray(blobs), jnp.arange(200, dtype=jnp.int32) % 10)


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
    """Run a study to its end: the completed process, output as text."""

    def call(study, out, *arguments, tiny=TINY, **variables):
        words = command(study, out, *arguments, tiny=tiny)
        return subprocess.run(words, env=environment | variables, cwd=ROOT, capture_output=True, text=True, timeout=300)

    return call
