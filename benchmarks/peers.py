"""The peers: the same two autoencoders in Linen's own layers and in PyTorch, and PyTorch's training loop.

PyTorch is imported inside the functions that use it, so that the benchmark runs without it.
"""

from __future__ import annotations

import copy
import importlib.util
import time
from collections.abc import Callable

import flax.linen as nn
import jax
import numpy as np

from benchmarks.timing import Program

LATENT = {"conv": 4, "dense": 5}

# Multiplications of one image's forward pass, counted by hand; the decoder mirrors the encoder.
MULTIPLICATIONS = {
    "conv": 2 * (14 * 14 * 9 * 8 + 7 * 7 * 9 * 8 * 16 + 3 * 3 * 9 * 16 * 32 + 288 * 64 + 64 * 4),
    "dense": 2 * (784 * 500 + 500 * 500 + 500 * 5),
}


def step_flops(network: str, batch_size: int) -> int:
    """FLOPs of one training step: a multiplication is two FLOPs, and the backward pass is two forward passes."""
    return 2 * 3 * MULTIPLICATIONS[network] * batch_size


class LinenConv(nn.Module):
    """The convolutional autoencoder in Linen's layers. Linen's Dropout takes a Python number, not a traced one."""

    rate: float

    @nn.compact
    def __call__(self, images: jax.Array, _: jax.Array | float = 0.0, train: bool = False) -> jax.Array:
        """``[batch, 28, 28, 1]``, reconstructed."""

        def hidden(x: jax.Array) -> jax.Array:
            return nn.Dropout(self.rate, deterministic=not train)(nn.relu(x))

        x = images
        for features, padding in ((8, 1), (16, 1), (32, 0)):
            x = hidden(nn.Conv(features, (3, 3), 2, padding)(x))
        x = hidden(nn.Dense(64)(x.reshape(len(x), -1)))
        x = nn.Dense(LATENT["conv"])(x)
        for features in (64, 288):
            x = hidden(nn.Dense(features)(x))
        x = x.reshape(-1, 3, 3, 32)
        x = hidden(nn.ConvTranspose(16, (3, 3), (2, 2), ((2, 2), (2, 2)))(x))
        x = hidden(nn.ConvTranspose(8, (3, 3), (2, 2), ((1, 2), (1, 2)))(x))
        return nn.sigmoid(nn.ConvTranspose(1, (3, 3), (2, 2), ((1, 2), (1, 2)))(x))


class LinenDense(nn.Module):
    """The dense autoencoder 784-500-500-5 in Linen's layers."""

    rate: float

    @nn.compact
    def __call__(self, images: jax.Array, _: jax.Array | float = 0.0, train: bool = False) -> jax.Array:
        """``[batch, 28, 28, 1]``, reconstructed."""

        def hidden(x: jax.Array, features: int) -> jax.Array:
            return nn.Dropout(self.rate, deterministic=not train)(nn.relu(nn.Dense(features)(x)))

        x = hidden(hidden(images.reshape(len(images), -1), 500), 500)
        x = nn.Dense(LATENT["dense"])(x)
        x = hidden(hidden(x, 500), 500)
        return nn.sigmoid(nn.Dense(784)(x)).reshape(images.shape)


LINEN = {"conv": LinenConv, "dense": LinenDense}


def torch_device() -> str | None:
    """PyTorch's name for the device JAX runs on; None where PyTorch is missing or cannot use that device."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    backend = jax.default_backend()
    return "cpu" if backend == "cpu" else "cuda" if backend == "gpu" and torch.cuda.is_available() else None


def configure_torch(tf32: bool, threads: int | None) -> None:
    """Whether a GPU may round the factors of float32 products to TF32, and the number of CPU threads if given."""
    import torch

    torch.manual_seed(0)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def torch_network(name: str, rate: float):
    """``[batch, 1, 28, 28] -> [batch, 1, 28, 28]``; without dropout there is no dropout layer."""
    from torch import nn

    def hidden(layer: nn.Module) -> list[nn.Module]:
        return [layer, nn.ReLU(), *([nn.Dropout(rate)] if rate else [])]

    latent = LATENT[name]
    networks = {
        "conv": lambda: [
            *hidden(nn.Conv2d(1, 8, 3, 2, 1)),
            *hidden(nn.Conv2d(8, 16, 3, 2, 1)),
            *hidden(nn.Conv2d(16, 32, 3, 2, 0)),
            *(nn.Flatten(), *hidden(nn.Linear(288, 64)), nn.Linear(64, latent)),
            *(*hidden(nn.Linear(latent, 64)), *hidden(nn.Linear(64, 288)), nn.Unflatten(1, (32, 3, 3))),
            *hidden(nn.ConvTranspose2d(32, 16, 3, 2, 0, 0)),
            *hidden(nn.ConvTranspose2d(16, 8, 3, 2, 1, 1)),
            nn.ConvTranspose2d(8, 1, 3, 2, 1, 1),
        ],
        "dense": lambda: [
            *(nn.Flatten(), *hidden(nn.Linear(784, 500)), *hidden(nn.Linear(500, 500)), nn.Linear(500, latent)),
            *(*hidden(nn.Linear(latent, 500)), *hidden(nn.Linear(500, 500)), nn.Linear(500, 784)),
            nn.Unflatten(1, (1, 28, 28)),
        ],
    }
    return nn.Sequential(*networks[name](), nn.Sigmoid())


def torch_program(
    name: str, rate: float, images: np.ndarray, batch_size: int, channels_last: bool = False, compiled: bool = False
) -> Program:
    """PyTorch's natural loop: eager, or the network through ``torch.compile`` (with CUDA graphs on a GPU)."""
    import torch

    network = torch_network(name, rate).to(torch_device())
    network = network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    forward = network
    if compiled:
        forward = torch.compile(network, mode="reduce-overhead" if torch_device() == "cuda" else "default")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step(batch: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.mse_loss(forward(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = _torch_epoch(step, images, batch_size)
    if not compiled:
        return Program(run)
    start = time.perf_counter()
    _torch_epoch(step, images[:batch_size], batch_size)()
    return Program(run, time.perf_counter() - start)


def torch_vmap_program(name: str, rate: float, images: np.ndarray, batch_size: int, trials: int) -> Program:
    """``trials`` networks as one, their parameters stacked, by ``torch.func.vmap``; each has batches of its own."""
    import torch

    networks = [torch_network(name, rate).to(torch_device()) for _ in range(trials)]
    parameters, buffers = torch.func.stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0]).to("meta")
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-3, fused=True)

    def loss(parameters: dict, batch: torch.Tensor) -> torch.Tensor:
        reconstruction = torch.func.functional_call(skeleton, (parameters, buffers), (batch,))
        return torch.nn.functional.mse_loss(reconstruction, batch)

    gradients = torch.func.vmap(torch.func.grad_and_value(loss), randomness="different")

    def step(batches: torch.Tensor) -> torch.Tensor:
        grads, losses = gradients(parameters, batches)
        for key, parameter in parameters.items():
            parameter.grad = grads[key]
        optimizer.step()
        return losses.detach().mean()

    return Program(_torch_epoch(step, images, batch_size, trials))


def _torch_epoch(step: Callable, images: np.ndarray, batch_size: int, *trials: int) -> Callable[[], float]:
    """One pass over ``images`` (uint8, resident) in random order, batches gathered by index ``[*trials, batch]``."""
    import torch

    data = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(torch_device())

    def run() -> float:
        order = torch.rand(*trials, len(data), device=data.device).argsort(-1)
        for rows in order.split(batch_size, -1):
            loss = step(data[rows].float().div_(255.0))
        if data.is_cuda:
            torch.cuda.synchronize()
        return loss.item()

    return run
