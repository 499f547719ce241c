"""Importance-sampled likelihood of a VAE, ours against PyTorch: ``python -m benchmarks.likelihood``.

Both decode as many codes an image, from the same parameters, for the same binary images: their ``-log p(x)`` agree
but for what was drawn. The parameters are fresh ones, as speed does not depend on them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import posterior
from ae_jax.runs import of_params
from ae_jax.types import PyTree
from ae_jax.vae import VAE
from ae_jax.variational import elbo
from benchmarks import machine, report, timing, torch_peers
from benchmarks.networks import CONV_VAE, LIKELIHOOD
from benchmarks.timing import Program
from experiments import importance_weighted
from experiments.comparison import print_table

NAME = "likelihood"
QUICK = {"networks": ("dense_vae",), "images": 10, "samples": 4, "repeats": 2}
MODELS = {"dense_vae": importance_weighted.MODEL, "conv_vae": CONV_VAE}


@dataclasses.dataclass(frozen=True)
class Options(torch_peers.Options):
    """Time the importance-sampled negative log-likelihood."""

    networks: tuple[Literal["dense_vae", "conv_vae"], ...] = tuple(MODELS)
    """dense_vae: 784-200-200-50 of tanh, mirrored (Burda et al. 2016); conv_vae: that of the step."""
    images: int = 1_000
    """Images of a call."""
    samples: int = 50
    """Codes drawn and decoded for each image."""
    torch_codes: int = 1_000
    """Codes that PyTorch decodes at once; a GPU may want more."""


def contestants(network: str, images: np.ndarray, options: Options, has_torch: bool) -> dict[str, Callable]:
    """Ours first; ``images`` are float32 ``[n, 28, 28, 1]``, 0 or 1."""
    model = MODELS[network]
    params = model.init(jax.random.key(0), images[:1])
    found = {"ours": functools.partial(program, model, params, images, options.samples)}
    if has_torch:
        arguments = network, params, images, options.samples, options.torch_codes
        found["PyTorch eager"] = functools.partial(torch_peers.likelihood_program, *arguments)
    return found


def program(model: VAE, params: PyTree, images: np.ndarray, samples: int) -> Program:
    """``posterior.importance_nll`` of one lane; its first call compiles."""
    run, data = of_params("ours", elbo(model, LIKELIHOOD), params), jnp.asarray(images)
    keys = map(jax.random.key, itertools.count())
    return Program(lambda: posterior.importance_nll(run, next(keys), data, samples).mean().item())


def run(options: Options) -> None:
    """Measure every network, print its table, and write what there is so far."""
    report.check(options)
    jax.config.update("jax_enable_compilation_cache", False)  # the first call is that of a first run
    has_torch = torch_peers.configure(options)
    pixels = report.random_images(options.images)
    meta = machine.describe(NAME, report.config(options), pixels=pixels)
    images, measurements = np.float32(pixels > 127), []
    for network in options.networks:
        timings = timing.measure(contestants(network, images, options, has_torch), options.repeats)
        case = f"{network}, {options.images:,} images, {options.samples:,} samples"
        rows = [
            report.measurement(case, name, t.samples, first_call_seconds=t.first, negative_log_likelihood=t.loss)
            for name, t in timings.items()
        ]
        cells = [
            (
                row["contestant"],
                f"{row['first_call_seconds']:.2f}",
                *report.spread(row),
                f"{options.images * options.samples / row['quartiles'][1]:,.0f}",
                f"{timing.ratio(row['samples'], rows[0]['samples']):.2f}",
                f"{row['negative_log_likelihood']:.2f}",
            )
            for row in rows
        ]
        header = ("contestant", "first call s", "s a call", "quartiles", "samples/s", "time / ours", "-log p(x), nats")
        caption = f"{options.repeats} calls, in turns; samples/s = images x samples / s; the first call compiles ours"
        print_table(f"Importance-sampled likelihood: {case}", header, cells, caption)
        measurements += rows
        report.save(options.out, meta, measurements)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
