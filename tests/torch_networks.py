"""The reports' autoencoders in plain PyTorch, written from their text: the independent oracle of our networks.

Nothing here imports ``ae_jax``. Images are ``[batch, channels, height, width]``, codes ``[batch, latent]``; parameters
go over to the names and axes of our Flax tree by :func:`flax_tree`.
"""

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

ACTIVATIONS = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
}

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}

# Of each kind of layer: its name in the Flax tree, and the axes of its weight that give ``[*window, in, out]``.
_LAYERS = {
    nn.Linear: ("Dense", (1, 0)),
    nn.Conv2d: ("Conv", (2, 3, 1, 0)),
    nn.ConvTranspose2d: ("ConvTranspose", (2, 3, 0, 1)),
}


class Autoencoder(nn.Module):
    """An encoder, a decoder without its last activation, and that activation."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, output: nn.Module):
        super().__init__()
        self.encoder, self.decoder, self.output = encoder, decoder, output

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction of ``images``, same shape."""
        return self.output(self.decoder(self.encoder(images)))


def conv_autoencoder(
    latent: int,
    channels: tuple[int, ...] = (8, 16, 32),
    hidden: int = 64,
    activation: str = "relu",
    image: tuple[int, int, int] = (28, 28, 1),
) -> Autoencoder:
    """Reports A, B and C, dropout left out: 28 -> 14 -> 7 -> 3, two dense layers, and back; or for another image."""
    act = ACTIVATIONS[activation]
    *size, colours = image
    stages = []  # channels before and after, and the padding: one pixel along an even axis, none along an odd one
    for before, after in itertools.pairwise((colours, *channels)):
        stages.append((before, after, tuple((n + 1) % 2 for n in size)))
        size = [n // 2 for n in size]
    flat = channels[-1] * size[0] * size[1]
    down = [(nn.Conv2d(before, after, 3, stride=2, padding=pad), act()) for before, after, pad in stages]
    encoder = nn.Sequential(
        *itertools.chain(*down), nn.Flatten(), nn.Linear(flat, hidden), act(), nn.Linear(hidden, latent)
    )
    dense = nn.Linear(latent, hidden), act(), nn.Linear(hidden, flat), act(), nn.Unflatten(1, (channels[-1], *size))
    up = [
        (nn.ConvTranspose2d(after, before, 3, stride=2, padding=pad, output_padding=pad), act())
        for before, after, pad in reversed(stages)
    ]
    decoder = nn.Sequential(*dense, *itertools.chain(*up))[:-1]
    return Autoencoder(encoder, decoder, nn.Sigmoid())


def dense_autoencoder(
    latent: int,
    widths: tuple[int, ...] = (500, 500),
    activation: str = "relu",
    code_activation: str = "linear",
    output: str = "sigmoid",
) -> Autoencoder:
    """Reports D and E: ``widths`` from the image inwards, mirrored outwards; activations by name."""

    def stack(sizes: list[int], last: list[nn.Module]) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for before, after in zip(sizes[:-1], sizes[1:], strict=True):
            modules += [nn.Linear(before, after), ACTIVATIONS[activation]()]
        return modules[:-1] + last

    inwards = [28 * 28, *widths, latent]
    encoder = nn.Sequential(nn.Flatten(), *stack(inwards, [ACTIVATIONS[code_activation]()]))
    decoder = nn.Sequential(*stack(inwards[::-1], [nn.Unflatten(1, (1, 28, 28))]))
    return Autoencoder(encoder, decoder, ACTIVATIONS[output]())


def parameter(tensor: Tensor) -> Tensor:
    """The parameter itself: what :func:`flax_tree` takes by default."""
    return tensor


def gradient(tensor: Tensor) -> Tensor:
    """The gradient of a parameter after ``backward``, for :func:`flax_tree`."""
    return tensor.grad


def flax_layer(module: nn.Module, value: Callable[[Tensor], Tensor] = parameter) -> dict[str, np.ndarray]:
    """``value`` of a layer's weight and bias as copies, with our names and our order of axes."""
    _, axes = _LAYERS[type(module)]
    kernel, bias = (value(tensor).detach().numpy() for tensor in (module.weight, module.bias))
    return {"kernel": np.array(kernel.transpose(axes), order="C"), "bias": bias.copy()}


def flax_tree(network: Autoencoder, value: Callable[[Tensor], Tensor] = parameter) -> dict:
    """``value`` of every parameter, as the tree of our ``Autoencoder``: layers numbered by kind, in order."""
    halves = {}
    for half in ("encoder", "decoder"):
        seen, layers = Counter(), {}
        for module in getattr(network, half):
            if type(module) in _LAYERS:
                kind, _ = _LAYERS[type(module)]
                layers[f"{kind}_{seen[kind]}"] = flax_layer(module, value)
                seen[kind] += 1
        halves[half] = layers
    return {"params": halves}


def channels_first(images: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """``[batch, height, width, channels] -> [batch, channels, height, width]``."""
    return torch.as_tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(dtype)


def channels_last(images: Tensor) -> np.ndarray:
    """``[batch, channels, height, width] -> [batch, height, width, channels]``."""
    return images.detach().permute(0, 2, 3, 1).contiguous().numpy()


def train(
    network: Autoencoder, optimizer: str, settings: dict[str, float], images: Tensor, batches: np.ndarray
) -> np.ndarray:
    """Mean-squared-error training on ``images[batch]`` for each of ``batches``; the loss of each step, before it.

    ``settings`` are PyTorch's own keywords (``lr``, ``weight_decay``, ``momentum``). Changes ``network``.
    """
    rule = OPTIMIZERS[optimizer](network.parameters(), **settings)
    losses = []
    for batch in batches:
        rule.zero_grad()
        loss = nn.functional.mse_loss(network(images[batch]), images[batch])
        loss.backward()
        rule.step()
        losses.append(loss.item())
    return np.array(losses)
