"""Which of a process's devices train a group: a lane each or, where lanes are few, parts of a batch.

Lanes need nothing of each other, so that a device for each is best. Where a CPU has more devices than a group has
lanes, several share the batches of a lane instead, part by part, and add up the gradients after each step. For the
convolutional networks of the reports this is how a second core helps: their single operations are too short to be
split well. On two cores it makes a step 1.3 to 2 times as fast. The long products of dense networks XLA splits well
by itself, and their gradients are long messages: sharing only slows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import joblib
import numpy as np
from jax.sharding import AxisType, Mesh

from ae_jax.objectives import Objective
from ae_jax.training import SHARE_AXIS, batch_parts
from ae_jax.types import Plan
from ae_jax.widening import parameter_count, parameter_shapes

SHARED_PARAMETERS = 2**19  # with as many gradients to average there is hardly anything left to save
# Devices that wait for each other: a process that is suspended for longer than XLA's 40 s must not be aborted.
COMPILER_OPTIONS = {"xla_cpu_collective_call_terminate_timeout_seconds": 10**6}


def sharers(objective: Objective, plan: Plan, lanes: int, devices: int) -> int:
    """How many of ``devices`` CPU devices share the batches of each of ``lanes`` lanes; 1 where that would not pay."""
    if parameter_count(objective) > SHARED_PARAMETERS:
        return 1
    parts = batch_parts(objective, parameter_shapes(objective), plan.batch_size)
    return max(n for n in range(1, devices // lanes + 1) if parts % n == 0)


def mesh_for(objective: Objective, plan: Plan, lanes: int, devices: Sequence[jax.Device]) -> Mesh:
    """The devices for ``lanes`` lanes, in axes ``lanes`` and ``SHARE_AXIS``; those of no use are left out."""
    rows = min(lanes, len(devices))
    columns = sharers(objective, plan, rows, len(devices)) if devices[0].platform == "cpu" else 1
    used = np.asarray(devices[: rows * columns]).reshape(rows, columns)
    return Mesh(used, ("lanes", SHARE_AXIS), axis_types=(AxisType.Auto, AxisType.Auto))


def side_by_side(compiling: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """``compiling`` of each argument, a thread for each core: XLA compiles a program on one, without Python's lock."""
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        return list(pool.map(compiling, arguments))
