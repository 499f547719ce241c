"""Writes the committed oracles from PyTorch: ``python tests/make_oracles.py`` (needs the extra ``peers``).

Small networks, float32 arrays, under ``tests/oracles``; ``test_oracles.py`` reads them without PyTorch, and
``test_peers.py`` checks that this script still writes the same numbers. Arrays are named by their path:

- ``conv.npz``, ``dense_*.npz``: ``images``, ``params/...``, and PyTorch's ``codes``, ``outputs`` (reconstructions),
  ``loss`` (batch mean) and ``gradients/...`` of that loss. ``config`` is JSON: the model's arguments and the loss.
- ``trajectories.npz``: ``images`` (uint8), ``batches [steps, batch]``, ``params/...`` at the start, and for each run
  its ``<run>/losses [steps]`` and final ``<run>/params/...``. ``config`` is JSON: the model's arguments and the runs.
  PyTorch ran these in float64, to keep its own rounding out of the comparison, and with tanh: at a ReLU's kink
  rounding decides whether a unit lives, and two correct programs may drift apart by a hundredth.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch_networks
from torch import nn

ORACLES = Path(__file__).parent / "oracles"

SMALL_CONV = {"latent": 3, "channels": (4, 6, 8), "hidden": 16}
TINY_CONV = {"latent": 2, "channels": (2, 3, 4), "hidden": 8, "activation": "tanh"}
SMALL_DENSE = {"latent": 3, "widths": (2, 4)}

# Name of the file: the kind of network, its arguments, its loss. Among them every activation, a sigmoid code,
# and every output activation.
NETWORKS = {
    "conv": ("conv", SMALL_CONV, "mse"),
    "dense_linear": ("dense", SMALL_DENSE | {"activation": "linear", "output": "linear"}, "mse"),
    "dense_sigmoid": ("dense", SMALL_DENSE | {"activation": "sigmoid"}, "mse"),
    "dense_relu": ("dense", SMALL_DENSE | {"code_activation": "sigmoid", "output": "relu"}, "mse"),
    "dense_elu": ("dense", SMALL_DENSE | {"activation": "elu"}, "mse"),
    "dense_tanh": ("dense", SMALL_DENSE | {"activation": "tanh"}, "bce"),
}

BUILDERS = {"conv": torch_networks.conv_autoencoder, "dense": torch_networks.dense_autoencoder}

# Optimizer and PyTorch's settings; learning rates at which 50 steps move the parameters by a tenth or so.
OPTIMIZERS = {
    "adam": ("adam", {"lr": 3e-3}),
    "adamax": ("adamax", {"lr": 5e-3}),
    "adadelta": ("adadelta", {"lr": 1.0}),
    "rmsprop": ("rmsprop", {"lr": 1e-3}),
    "sgd": ("sgd", {"lr": 1.0}),
    "momentum": ("sgd", {"lr": 0.3, "momentum": 0.9}),
}
L2 = (0.0, 1e-2)
STEPS, BATCH, EXAMPLES = 50, 8, 16


def blobs(rng: np.random.Generator, n: int) -> np.ndarray:
    """uint8 ``[n, 28, 28, 1]``: two soft spots an image on black, unlike their mirror images and transposes."""
    rows, columns = np.mgrid[:28, :28]
    images = np.zeros((n, 28, 28))
    for image in images:
        for row, column, height, width in rng.uniform((4, 4, 2, 1), (24, 24, 5, 3), (2, 4)):
            image += np.exp(-(((rows - row) / height) ** 2) - ((columns - column) / width) ** 2)
    return np.uint8(255 * np.clip(images, 0, 1))[..., None]


def forward_and_gradients(network: torch_networks.Autoencoder, loss: str, images: np.ndarray) -> dict:
    """Codes, outputs, batch-mean loss and its gradients for ``images [batch, *image]``, in their precision."""
    x = torch_networks.channels_first(images, torch.as_tensor(images).dtype)
    codes = network.encoder(x)
    logits = network.decoder(codes)
    outputs = network.output(logits)
    network.zero_grad()
    if loss == "bce":
        value = nn.functional.binary_cross_entropy_with_logits(logits, x)
    else:
        value = nn.functional.mse_loss(outputs, x)
    value.backward()
    return {
        "codes": codes.detach().numpy(),
        "outputs": torch_networks.channels_last(outputs),
        "loss": value.detach().numpy(),
        "gradients": torch_networks.flax_tree(network, torch_networks.gradient),
    }


def write_network(path: Path, kind: str, arguments: dict, loss: str) -> None:
    """One file of weights, inputs, outputs, loss and gradients."""
    torch.manual_seed(1)
    network = BUILDERS[kind](**arguments)
    images = np.float32(blobs(np.random.default_rng(1), 3) / 255)
    oracle = forward_and_gradients(network, loss, images)
    dead = [name for name, leaf in flatten(oracle["gradients"]).items() if not leaf.any()]
    if dead:
        raise ValueError(f"{path.name}: nothing would be compared in {', '.join(dead)}; choose another seed")
    config = {"kind": kind, "arguments": arguments, "loss": loss}
    write(path, config, {"images": images, "params": torch_networks.flax_tree(network), **oracle})


def write_trajectories(path: Path) -> None:
    """One file of optimizer runs on the convolutional autoencoder, all from the same weights on the same batches."""
    rng = np.random.default_rng(2)
    images = blobs(rng, EXAMPLES)
    batches = np.stack([rng.permutation(EXAMPLES)[:BATCH] for _ in range(STEPS)])
    torch.manual_seed(2)
    start = torch_networks.conv_autoencoder(**TINY_CONV)
    # In so small a network PyTorch's default weights would hardly let a gradient reach the encoder.
    with torch.no_grad():
        for weight in start.parameters():
            weight.mul_(3.0 if weight.ndim > 1 else 1.0)
    arrays = {"images": images, "batches": np.int32(batches), "params": torch_networks.flax_tree(start)}
    runs = {}
    for name, (optimizer, settings) in OPTIMIZERS.items():
        for l2 in L2:
            run = f"{name}_l2_{l2:g}"
            network = torch_networks.conv_autoencoder(**TINY_CONV)
            network.load_state_dict(start.state_dict())
            network.double()
            x = torch_networks.channels_first(np.float32(images) / np.float32(255), torch.float64)
            losses = torch_networks.train(network, optimizer, settings | {"weight_decay": l2}, x, batches)
            arrays[run] = {"losses": losses, "params": torch_networks.flax_tree(network)}
            runs[run] = {"optimizer": optimizer, "l2": l2, **settings}
    write(path, {"arguments": TINY_CONV, "runs": runs}, arrays)


def flatten(tree: dict, prefix: str = "") -> dict[str, np.ndarray]:
    """Nested dictionaries as one, keys joined by slashes."""
    flat = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}/") if isinstance(value, dict) else {name: value}
    return flat


def write(path: Path, config: dict, arrays: dict) -> None:
    """An npz of the flattened ``arrays``, float64 as float32, and of ``config`` as JSON."""
    flat = {name: np.float32(x) if x.dtype == np.float64 else x for name, x in flatten(arrays).items()}
    np.savez_compressed(path, config=np.array(json.dumps(config)), **flat)


def write_all(directory: Path) -> None:
    """Every oracle into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, (kind, arguments, loss) in NETWORKS.items():
        write_network(directory / f"{name}.npz", kind, arguments, loss)
    write_trajectories(directory / "trajectories.npz")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_all(ORACLES)
