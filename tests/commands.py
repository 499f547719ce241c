"""Command lines of studies at the smallest size, run in this process or in one of their own."""

import contextlib
import importlib.metadata
import io
import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
SMALL = ["--dataset", "digits", "--limit", "100"]
TINY = [*SMALL, "--batch-size", "16"]
CONFIGURED = (
    "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs", "jax_default_matmul_precision",
    "jax_num_cpu_devices",
)  # fmt: skip

# Compiling takes most of the suite's time, and XLA's optimizations most of that. Tests of what is computed, not of how,
# do without, all but the runs of studies that take many steps. The demo is compiled in earnest; so is all, by
# AE_JAX_TEST_OPTIMIZED=1, and by AE_JAX_TEST_OPTIMIZED=llvm but for XLA's fusion emitters, which take a quarter longer.
LLVM_ALONE = "--xla_cpu_use_fusion_emitters=false"
if tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:2])) >= (0, 12):
    LLVM_ALONE = ""  # XLA knows the flag no more, and refuses it
UNOPTIMIZED = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": f"{LLVM_ALONE} --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true",
}

# Every study of run_all by the name of its npz: the module, its own arguments, and a run that takes seconds.
STUDIES = {
    "compression": ("compression", "--epochs 30 --seeds 2"),
    "random_search_A1": ("random_search", "--study A1 --trials 4 --epochs 10 --segment 1"),
    "cross_table": ("cross_table", "--epochs 20"),
    "latent_space_A5": ("latent_space", "--study A5 --epochs 2 --tsne-sample 60 --seeds 2"),
    "smoothness": ("smoothness", ""),
    "baseline": ("baseline", "--epochs 4 --seeds 2 --segment 1"),
    "baseline_factors": ("baseline_factors", "--epochs 2 --factors init l2"),
    "random_search_B3": ("random_search", "--study B3 --trials 2 --epochs 1 --export csv"),
    "latent_space_B4": ("latent_space", "--study B4 --epochs 1 --tsne-sample 40"),
    "denoising_B5": ("denoising", "--study B5 --epochs 2"),
    "transfer_B6": ("transfer", "--study B6 --epochs 4"),
    "random_search_C1": ("random_search", "--study C1 --trials 2 --epochs 2"),
    "latent_space_C2": ("latent_space", "--study C2 --epochs 1 --tsne-sample 40"),
    "transfer_C3": ("transfer", "--study C3 --epochs 1 --seeds 2 --labels 80"),
    "denoising_C4": ("denoising", "--study C4 --epochs 1"),
    "linear_pca": ("linear_pca", "--epochs 3 --seeds 2"),
    "variational_B7": ("variational", "--study B7 --epochs 2 --samples 8"),
    "variational_C5": ("variational", "--study C5 --epochs 2 --samples 8"),
    "variational_D3": ("variational", "--study D3 --epochs 1 --samples 8"),
    "variational_D4": ("variational", "--study D4 --epochs 1 --samples 8"),
    "generators": ("generators", "--epochs 1 --seeds 1 --samples 100"),
    "latent_sweep": ("latent_sweep", "--epochs 1 --latent 3 2"),
    "reconstruction_losses": ("reconstruction_losses", "--epochs 3"),
    "gradients": ("gradients", ""),
    "architectures": ("architectures", ""),
    "regularised": ("regularised", "--epochs 2"),
    "anomaly": ("anomaly", "--epochs 3"),
    "rate_distortion": ("rate_distortion", "--epochs 2 --samples 100"),
    "importance_weighted": (
        "importance_weighted",
        "--epochs 2 --objectives VAE IWAE-5 --samples 16 --test-images 20",
    ),
}
MODULES = sorted({module for module, _ in STUDIES.values()} | {"run_all"})
LONG = {"compression", "cross_table"}  # robustness of ten and more models, twenty levels each
READS_MODEL = {"smoothness": "--model", "transfer_B6": "--encoder"}  # of latent_space_A5


def command(study, out, *arguments, tiny=TINY):
    """The words that run ``study`` into the folder ``out`` in a process of its own."""
    return [sys.executable, "-m", f"experiments.{study}", *words(out, *arguments, tiny=tiny)]


def words(out, *arguments, tiny=TINY):
    return [*tiny, "--out", str(out), *arguments]


def run(study, arguments, environment):
    """A command line in this process: the same module as ``__main__``, its output and exit code as a child's."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    configured = {name: getattr(jax.config, name) for name in CONFIGURED}
    try:
        with (
            mock.patch.object(sys, "argv", [f"experiments/{study}.py", *arguments]),
            mock.patch.dict(os.environ, environment),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "'experiments.* found in sys.modules", RuntimeWarning)
            runpy.run_module(f"experiments.{study}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = 0 if end.code is None else end.code
    finally:
        for name, value in configured.items():
            if getattr(jax.config, name) != value:
                jax.config.update(name, value)
    return subprocess.CompletedProcess([study, *arguments], code, stdout.getvalue(), stderr.getvalue())


def noisy(load):
    """``data.load`` whose data sets have noise for test images, and their labels backwards."""

    def garbled(*arguments):
        dataset = load(*arguments)
        noise = np.random.default_rng(0).integers(0, 256, dataset.test_images.shape, np.uint8)
        return dataset._replace(test_images=noise, test_labels=dataset.test_labels[::-1])

    return garbled


def in_group(name):
    """Tests that share a study's run go to one worker; those that read the same model are one group."""
    shared = "latent_space_A5" if name in READS_MODEL else name
    return pytest.mark.xdist_group(shared)


every_study = pytest.mark.parametrize("name", [pytest.param(name, marks=in_group(name)) for name in STUDIES])
