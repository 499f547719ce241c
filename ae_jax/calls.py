"""A program over lanes, called for as many lanes at a time as the devices have memory for: the one memory policy."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ae_jax import host
from ae_jax.types import PyTree

USABLE_MEMORY = 0.9  # of a device's; the rest is left to fragmentation


@dataclasses.dataclass
class Calls:
    """Calls of one program over lanes, compiled for each number of lanes that a call takes.

    lower: ``(*arguments) -> jax.stages.Lowered``, for arguments of any number of lanes that ``abreast`` divides.
    most: lanes in a call, at most; it falls where memory does not suffice.
    abreast: devices that have lanes of their own.
    """

    lower: Callable[..., jax.stages.Lowered]
    most: int
    abreast: int = 1
    device: jax.Device = dataclasses.field(default_factory=lambda: jax.local_devices()[0])
    compiler_options: dict | None = None
    log: Callable[[str], None] = lambda line: None
    compile_seconds: float = 0.0
    run_seconds: float = 0.0

    def __post_init__(self):
        self.most = self._whole(self.most)
        self._compiled: dict[int, jax.stages.Compiled] = {}

    def __call__(self, ids: np.ndarray, gather: Callable[[np.ndarray], tuple]) -> tuple[np.ndarray, PyTree]:
        """Call the program for the first of the lanes ``ids``, as many as a call takes.

        ``gather(ids)`` gives its arguments. Returns the ids that were served, and the outputs of those on the host,
        perhaps followed by repetitions of the last.
        """
        while True:
            size = self.size(len(ids))
            served = ids[:size]
            arguments = gather(np.pad(served, (0, size - len(served)), mode="edge"))
            try:
                program = self.compiled(size, arguments)
                if (fitting := self._fitting(size, program)) < size:
                    self.log(f"{size} lanes need more memory than there is, taking {fitting} at a time")
                    self.most = fitting
                    continue
                started = time.perf_counter()
                outputs = host.to_host(_computed(program(*arguments)))
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error) or size == self.abreast:
                    raise
                self.most = self._whole(size // 2)
                warnings.warn(f"{size} lanes do not fit the device: going on with {self.most}", stacklevel=2)
                continue
            self.run_seconds += time.perf_counter() - started
            return served, outputs

    def size(self, lanes: int) -> int:
        """For how many lanes the next call is compiled, if ``lanes`` are left."""
        size = self.most
        while (smaller := self._whole(size // 2)) < size and smaller >= lanes:
            size = smaller  # worth compiling another program for
        return size

    def compiled(self, size: int, arguments: tuple) -> jax.stages.Compiled:
        """The program for ``size`` lanes, compiled if it was not before."""
        if size not in self._compiled:
            self.log(f"compiling for {size} lanes at a time")
            started = time.perf_counter()
            self._compiled[size] = self.lower(*arguments).compile(compiler_options=self.compiler_options)
            seconds = time.perf_counter() - started
            self.compile_seconds += seconds
            self.log(f"compiled in {seconds:.1f} s")
        return self._compiled[size]

    def _fitting(self, size: int, program: jax.stages.Compiled) -> int:
        """How many of ``size`` lanes the devices have memory for; all where a device does not tell, as CPUs do not."""
        memory = (self.device.memory_stats() or {}).get("bytes_limit")
        if memory is None:
            return size
        share = USABLE_MEMORY * memory / device_bytes(program)
        fitting = size if share >= 1 else int(size * share) // self.abreast * self.abreast
        return max(fitting, self.abreast)

    def _whole(self, lanes: int) -> int:
        """``lanes``, at least one, rounded up to a multiple of ``abreast``."""
        return -(-max(lanes, 1) // self.abreast) * self.abreast


def _computed(outputs: PyTree) -> PyTree:
    """``outputs`` once they are there: Python hears signals between two looks, but none in a wait of JAX's."""
    started, last = time.perf_counter(), jax.tree.leaves(outputs)[-1]  # they come together; a key cannot be asked
    while not last.is_ready():
        time.sleep(min(0.05, (time.perf_counter() - started) / 50))
    return outputs


def device_bytes(program: jax.stages.Compiled) -> int:
    """What a compiled program takes of each device's memory."""
    analysis: Any = program.memory_analysis()
    return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes + analysis.output_size_in_bytes
