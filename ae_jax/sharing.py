"""Who does what of a program's work: lanes by devices, batches by devices, and in which order. No number depends on it.

Lanes need nothing of each other, so that a device for each is best. Where a CPU has more devices than a group has
lanes, several share the batches of a lane instead, microbatch by microbatch, and add up the gradients after each step.
For the convolutional networks of the reports this is how a second core helps: their single operations are too short to
be split well. On two cores it makes a step 1.3 to 2 times as fast. The long products of dense networks XLA splits well
by itself, and their gradients are long messages: sharing only slows them. Within a device, a CPU takes one lane after
another and one microbatch after another, whose activations then stay in its cache; an accelerator takes all at once.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import joblib
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh

from ae_jax import batching
from ae_jax.batching import PADDING, Division, divide, microbatch_keys, microbatches
from ae_jax.objectives import Objective, parameter_count, parameter_shapes
from ae_jax.types import Batch, HParams, Plan, PyTree, UsageError, reason

LANES, SHARE = "lanes", "share"  # the axes of a mesh: devices with lanes of their own, devices that share batches
SHARED_PARAMETERS = 2**19  # with as many gradients to average there is hardly anything left to save
# Devices that wait for each other: a process that is suspended for longer than XLA's 40 s must not be aborted.
COMPILER_OPTIONS = {"xla_cpu_collective_call_terminate_timeout_seconds": 10**6}


def one_by_one() -> bool:
    """Whether lanes and microbatches go one after another: on CPUs, where they would only compete for the caches."""
    return jax.default_backend() == "cpu"


def lane_map(function: Callable, *lanes: PyTree) -> PyTree:
    """``function`` over the leading lane axis of every argument, all lanes at once or :func:`one_by_one`.

    All at once they become batched matrix products; one by one a ``cond`` stays a branch.
    """
    if one_by_one():
        return jax.lax.map(lambda lane: function(*lane), lanes)
    return jax.vmap(function)(*lanes)


def division(sharers: int = 1) -> Division:
    """The work on each batch among ``sharers`` devices along the mesh axis ``SHARE``."""
    if sharers == 1:
        return Division(gradient=functools.partial(_gradient, 1)) if one_by_one() else batching.WHOLE
    partial = functools.partial
    return Division(partial(_share, sharers), partial(_gradient, sharers), partial(_total, sharers))


def _share(sharers: int, batches: Array) -> Array:
    """This device's part of the indices ``[steps, batch]``."""
    return batches.reshape(len(batches), sharers, -1)[:, jax.lax.axis_index(SHARE)]


def _gradient(
    sharers: int, objective: Objective, params: PyTree, key: Array, batch: Batch, hparams: HParams
) -> tuple[Array, PyTree]:
    """:func:`batching.gradient` of the whole batch, of which ``batch`` is this device's share, by one after another."""
    count = microbatches(objective, params, sharers * len(batch.labels))

    def part_gradient(part: Batch, key: Array) -> tuple[Array, PyTree]:
        return jax.value_and_grad(lambda params: objective.loss(params, key, part, hparams, True)[0].mean())(params)

    def add(sums: PyTree, inputs: tuple[Batch, Array]) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, sums, part_gradient(*inputs)), None

    if count == 1:
        return part_gradient(batch, key)
    keys = microbatch_keys(key, count)
    if sharers > 1:
        keys = keys.reshape(sharers, -1)[jax.lax.axis_index(SHARE)]
    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    sums, _ = jax.lax.scan(add, zeros, (divide(batch, len(keys)), keys))
    if sharers > 1:
        flat, unravel = ravel_pytree(sums)  # one message instead of one for each parameter
        sums = unravel(jax.lax.psum(flat, SHARE))
    return jax.tree.map(lambda leaf: leaf / count, sums)


def _total(sharers: int, score: Callable[[Array, Array], PyTree], batches: Array, keys: Array) -> PyTree:
    """:func:`batching.total` over every n-th batch, and then over the devices."""
    mine = jnp.arange(math.ceil(len(batches) / sharers)) * sharers + jax.lax.axis_index(SHARE)
    batches = batches.at[mine].get(mode="fill", fill_value=PADDING)
    return jax.lax.psum(batching.total(score, batches, keys[mine]), SHARE)


def sharers(objective: Objective, plan: Plan, lanes: int, devices: int) -> int:
    """How many of ``devices`` CPU devices share the batches of each of ``lanes`` lanes; 1 where that would not pay."""
    if parameter_count(objective) > SHARED_PARAMETERS:
        return 1
    parts = microbatches(objective, parameter_shapes(objective), plan.batch_size)
    return max(n for n in range(1, devices // lanes + 1) if parts % n == 0)


def mesh_for(objective: Objective, plan: Plan, lanes: int, devices: Sequence[jax.Device]) -> Mesh:
    """The devices for ``lanes`` lanes, in axes ``LANES`` and ``SHARE``; those of no use are left out."""
    abreast = min(lanes, len(devices))
    together = sharers(objective, plan, abreast, len(devices)) if devices[0].platform == "cpu" else 1
    used = np.asarray(devices[: abreast * together]).reshape(abreast, together)
    return Mesh(used, (LANES, SHARE), axis_types=(AxisType.Auto, AxisType.Auto))


def in_first_process(action: Callable[[], Any]) -> None:
    """``action()`` in process 0 of a distributed run, or in the only one; if it refuses, every process does.

    Raises UsageError: that of ``action``, or, in the others, that there was one.
    """
    refusal = None
    if jax.process_index() == 0:
        try:
            action()
        except UsageError as error:
            refusal = error
    if gathered(np.int32(refusal is not None)).any():
        refusal = refusal or UsageError("process 0 has refused the run, and says why")
    if refusal is not None:
        raise refusal


def gathered(tree: PyTree) -> PyTree:
    """``tree`` of every process of a distributed run, ``[processes, ...]``: each waits here for all others.

    Raises ConnectionError where one of them is gone.
    """
    if jax.process_count() == 1:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], tree)
    try:
        return multihost_utils.process_allgather(tree)
    except jax.errors.JaxRuntimeError as error:
        raise ConnectionError(
            f"another process of this run is gone ({reason(error)}): start all again, with resume=True"
        ) from error


def side_by_side(compiling: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """``compiling`` of each argument, a thread for each core: XLA compiles a program on one, without Python's lock."""
    # As a ``with`` of the caller has set them, which holds in its thread alone.
    names = "default_matmul_precision", "default_prng_impl", "threefry_partitionable"
    settings = {name: getattr(jax.config, f"jax_{name}") for name in names}

    def in_thread(argument: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for name, value in settings.items():
                stack.enter_context(getattr(jax, name)(value))
            return compiling(argument)

    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        return list(pool.map(in_thread, arguments))
