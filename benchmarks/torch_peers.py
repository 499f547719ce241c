"""The peers in PyTorch: its usual training loops, for the networks of ``torch_networks``, and a VAE's likelihood.

PyTorch is imported inside the functions that use it, so that the benchmarks run without it.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import jax
import numpy as np

from ae_jax.types import PyTree, UsageError
from benchmarks import report
from benchmarks.timing import Program, Unavailable

LEARNING_RATE = 1e-3  # that of ``hparams()``


@dataclasses.dataclass(frozen=True)
class Options(report.Options):
    """Options of the benchmarks that PyTorch takes part in."""

    torch: Literal["auto", "yes", "no"] = "auto"
    """Whether PyTorch takes part; auto: where it is installed and can use the device that JAX uses."""
    torch_threads: int | None = None
    """PyTorch's CPU threads; by default its own choice, one for each core. Small batches may be faster with one."""
    precision: Literal["tf32", "float32"] = "tf32"
    """Of float32 products on a GPU, in JAX and PyTorch alike; a CPU knows only float32."""


def configure(options: Options) -> bool:
    """Set precision, threads and seed; whether PyTorch takes part. A UsageError if it must and cannot."""
    if options.precision == "float32":
        jax.config.update("jax_default_matmul_precision", "highest")
    if options.torch == "no":
        return False
    if reason := _missing():
        if options.torch == "yes" or options.torch_threads is not None:
            raise UsageError(f"PyTorch cannot take part: {reason}, or leave PyTorch's options out")
        print(f"JAX alone: {reason}.")
        return False
    import torch

    torch.manual_seed(0)
    if options.torch_threads is not None:
        torch.set_num_threads(options.torch_threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision == "tf32"
    return True


def _missing() -> str:
    """Why PyTorch cannot run on JAX's device, and what to do; empty if it can."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed; pip install '.[peers]' brings it"
    import torch

    backend = jax.default_backend()
    if backend == "cpu" or (backend == "gpu" and torch.cuda.is_available()):
        return ""
    return f"this PyTorch cannot use the {backend} that JAX uses; install one that can"


def _device() -> str:
    return "cpu" if jax.default_backend() == "cpu" else "cuda"


def network(name: str, rate: float) -> tuple:
    """The module, on the device, and its loss: ``torch_networks.Network``."""
    from benchmarks import torch_networks

    module, loss = torch_networks.NETWORKS[name]
    return module(rate).to(_device()), loss


def memory_program(name: str, rate: float, images: np.ndarray, batch_size: int, channels_last: bool = False) -> Program:
    """The eager loop with its data in the device's memory: batches gathered by index from uint8 images."""
    import torch

    module, loss = network(name, rate)
    module = module.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    data = _resident(images)
    return Program(_epoch(_eager_step(module, module, loss), lambda: _batches(data, batch_size)))


def loader_program(name: str, rate: float, images: np.ndarray, batch_size: int) -> Program:
    """The loop of PyTorch's tutorials: a ``DataLoader`` over a ``TensorDataset`` of uint8 images, in this process."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    module, loss = network(name, rate)
    dataset = TensorDataset(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=True)

    def batches() -> Iterator:
        for (batch,) in loader:
            yield batch.to(_device()).float().div_(255.0)

    return Program(_epoch(_eager_step(module, module, loss), batches))


def compiled_program(name: str, rate: float, images: np.ndarray, batch_size: int, limit: int) -> Program:
    """``torch.compile``, on a GPU with CUDA graphs; Unavailable without a compiler or past ``limit`` seconds."""
    import torch

    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise Unavailable(
            f"torch.compile needs a C++ compiler and there is no {compiler}: install one or name it in CXX"
        )
    module, loss = network(name, rate)
    forward = torch.compile(module, mode="reduce-overhead" if _device() == "cuda" else "default")
    step, data = _eager_step(module, forward, loss), _resident(images)
    start = time.perf_counter()
    try:
        with _time_limit(limit):
            _epoch(step, lambda: _batches(data[:batch_size], batch_size))()
    except Exception as error:  # torch.compile wraps whatever ends it, the time limit too, in types of its own
        late = time.perf_counter() - start >= limit
        reason = f"took longer than {limit} s" if late else f"failed ({str(error).splitlines()[0]})"
        raise Unavailable(f"torch.compile {reason}") from error
    seconds = time.perf_counter() - start
    return Program(_epoch(step, lambda: _batches(data, batch_size)), seconds)


def vmap_program(name: str, rate: float, images: np.ndarray, batch_size: int, trials: int) -> Program:
    """``trials`` networks as one by ``torch.func``: parameters, Adam's moments and learning rates stacked, one vmap.

    Each trial has batches and a learning rate of its own, as our lanes have.
    """
    import torch

    modules, (loss, *_) = zip(*(network(name, rate) for _ in range(trials)), strict=True)
    parameters, buffers = torch.func.stack_module_state(modules)
    parameters = {key: value.detach() for key, value in parameters.items()}
    skeleton = copy.deepcopy(modules[0]).to("meta")
    moments = [{key: torch.zeros_like(value) for key, value in parameters.items()} for _ in range(2)]
    rates = torch.full((trials,), LEARNING_RATE, device=_device())
    count = torch.zeros(trials, device=_device())
    data = _resident(images)

    def trial_loss(parameters: dict, batch: torch.Tensor) -> torch.Tensor:
        return loss(torch.func.functional_call(skeleton, (parameters, buffers), (batch,)), batch)

    def trial_step(parameters: dict, first: dict, second: dict, count, rate, batch):
        gradients, value = torch.func.grad_and_value(trial_loss)(parameters, batch)
        new = {k: adam(p, first[k], second[k], count, gradients[k], rate) for k, p in parameters.items()}
        return *({k: three[i] for k, three in new.items()} for i in range(3)), value

    vmapped = torch.func.vmap(trial_step, randomness="different")

    def step(batches: torch.Tensor) -> torch.Tensor:
        nonlocal parameters, moments, count
        count = count + 1
        parameters, *moments, losses = vmapped(parameters, *moments, count, rates, batches)
        return losses.mean()

    return Program(_epoch(step, lambda: _batches(data, batch_size, trials)))


def likelihood_program(name: str, params: PyTree, images: np.ndarray, samples: int, codes_at_once: int) -> Program:
    """The importance-sampled likelihood of float images under a VAE with our parameters; returns its mean in nats."""
    from benchmarks import torch_networks

    module = torch_networks.VAES[name]()
    torch_networks.copy_parameters(params, module)
    module, data = module.to(_device()), _resident(images)
    return Program(lambda: torch_networks.importance_nll(module, data, samples, codes_at_once).mean().item())


def adam(parameter, first, second, count, gradient, rate):
    """Adam on one tensor: ``(parameter, first moment, second moment)`` after step ``count``, counted from 1."""
    first = first.lerp(gradient, 0.1)
    second = second.lerp(gradient * gradient, 0.001)
    unbiased = (second / (1 - 0.999**count)).sqrt()
    return parameter - rate * (first / (1 - 0.9**count)) / (unbiased + 1e-8), first, second


def _eager_step(module, forward: Callable, loss: Callable) -> Callable:
    """Forward, backward, fused Adam: ``batch -> loss``. ``forward`` is the module or its compiled self."""
    import torch

    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, fused=True)

    def step(batch: torch.Tensor) -> torch.Tensor:
        value = loss(forward(batch), batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.detach()

    return step


def _resident(images: np.ndarray):
    """``[n, 28, 28, 1] -> [n, 1, 28, 28]`` on the device, of the same type."""
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(_device())


def _batches(data, batch_size: int, *trials: int) -> Iterator:
    """Full batches ``[*trials, batch, 1, 28, 28]`` in random order, gathered by index, float32 in [0, 1]."""
    import torch

    order = torch.rand(*trials, len(data), device=data.device).argsort(-1)
    full = len(data) // batch_size * batch_size
    for rows in order[..., :full].split(batch_size, -1):
        yield data[rows].float().div_(255.0)


def _epoch(step: Callable, batches: Callable[[], Iterable]) -> Callable[[], float]:
    """One pass over the batches; returns the last loss."""
    import torch

    def run() -> float:
        for batch in batches():
            loss = step(batch)
        if _device() == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    return run


@contextlib.contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """A TimeoutError in the main thread once ``seconds`` have passed."""

    def stop(signum: int, frame: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
