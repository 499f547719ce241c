"""What a training step must compute and move, by hand and by XLA's count, and how fast the machine could do it."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.batching import Data, take
from ae_jax.training import init_state, train_step
from ae_jax.types import Plan, hparams
from benchmarks.machine import Peaks
from benchmarks.networks import NETWORKS

FLOAT = 4  # bytes


class Cost(NamedTuple):
    """Floating-point operations and bytes read or written, of one step of one trial."""

    flops: float
    bytes: float


def by_hand(network: str, batch_size: int) -> Cost:
    """Matrix products only, the backward pass as two forward passes, and the least traffic without fusing layers.

    Each activation moves five times (written and read forward, read backward, its gradient written and read), an
    image once as uint8, and parameters eight times: Adam reads and writes them and two moments, and a gradient.
    """
    sizes = NETWORKS[network]
    activations = sum(sizes.hidden) + sizes.other
    traffic = batch_size * (784 + 5 * FLOAT * activations) + 8 * FLOAT * sizes.parameters
    return Cost(2 * 3 * sizes.products * batch_size, traffic)


@functools.cache
def by_xla(network: str, batch_size: int) -> Cost:
    """What XLA counts in its compiled step, elementwise work included."""
    objective, plan, numbers = NETWORKS[network].ours(), Plan(batch_size), hparams()

    def step(state, numbers, data: Data, batch: jax.Array):
        return train_step(objective, plan, state, numbers, take(data, batch))

    state = jax.eval_shape(functools.partial(init_state, objective, plan), jax.random.key(0), numbers)
    data = Data(jnp.zeros((batch_size, 28, 28, 1), jnp.uint8), jnp.zeros(batch_size, jnp.int32))
    lowered = jax.jit(step).lower(state, numbers, data, jnp.arange(batch_size))
    fast = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}  # it never runs
    analysis = lowered.compile(compiler_options=fast).cost_analysis()
    return Cost(analysis["flops"], analysis["bytes accessed"])


def bound(cost: Cost, peaks: Peaks) -> tuple[float, str]:
    """Seconds below which no step of this cost can go, and which roof says so: ``compute`` or ``memory``."""
    return max((cost.flops / peaks.flops, "compute"), (cost.bytes / peaks.bandwidth, "memory"))
