"""The networks of ``networks.NETWORKS`` in PyTorch's layers, what they are trained for, and a VAE's likelihood.

The other modules import this one inside the functions that use it, so that the benchmarks run without PyTorch.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ae_jax.distributions import LOG_VARIANCE_LIMIT
from ae_jax.types import PyTree
from benchmarks.networks import CHANNELS, LATENT, PADDING, SIDES


class Network(NamedTuple):
    """A module and its loss."""

    module: Callable[[float], nn.Module]  # of a dropout rate; it takes images [batch, 1, 28, 28]
    loss: Callable[[Any, Tensor], Tensor]  # (what the module returns, images) -> scalar, the mean over images


class VAE(nn.Module):
    """An encoder of mean and log-variance, a reparameterised draw, a decoder to logits."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``[batch, latent]`` of images ``[batch, 1, 28, 28]``."""
        mean, log_variance = self.encoder(images).chunk(2, -1)
        return mean, log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits ``[batch, 1, 28, 28]`` of a drawn code, mean and log-variance ``[batch, latent]``."""
        mean, log_variance = self.encode(images)
        codes = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(codes), mean, log_variance


def negative_elbo(outputs: tuple[Tensor, Tensor, Tensor], images: Tensor) -> Tensor:
    """Cross-entropy summed over pixels and closed-form KL summed over latents; the mean over images, in nats."""
    logits, mean, log_variance = outputs
    distortion = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    rate = 0.5 * (mean.square() + log_variance.expm1() - log_variance).sum()
    return (distortion + rate) / len(images)


@torch.inference_mode()
def importance_nll(vae: VAE, images: Tensor, samples: int, codes_at_once: int) -> Tensor:
    """``-log 1/k sum_k p(x | z_k) p(z_k) / q(z_k | x)`` of each image ``[n, 1, 28, 28]``, k = ``samples``: ``[n]``.

    Pixels are Bernoulli. Decodes the codes of a part of the images at a time, or a part of the samples if there are
    more samples than ``codes_at_once``.
    """
    parts = images.split(max(1, codes_at_once // samples))
    return torch.cat([_importance_nll(vae, part, samples, codes_at_once) for part in parts])


def _importance_nll(vae: VAE, images: Tensor, samples: int, codes_at_once: int) -> Tensor:
    mean, log_variance = vae.encode(images)
    log_sums = []
    for first in range(0, samples, codes_at_once):
        noise = torch.randn(min(codes_at_once, samples - first), *mean.shape, device=mean.device)
        codes = mean + (0.5 * log_variance).exp() * noise
        logits = vae.decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        log_likelihood = (images * logits - functional.softplus(logits)).sum((2, 3, 4))
        log_ratio = 0.5 * (noise.square() + log_variance - codes.square()).sum(-1)  # of the prior to the posterior
        log_sums.append((log_likelihood + log_ratio).logsumexp(0))
    return math.log(samples) - torch.stack(log_sums).logsumexp(0)


def dense_vae(latent: int, widths: tuple[int, ...]) -> VAE:
    """``vae.dense_vae`` with tanh."""
    encoder = _dense((784, *widths, 2 * latent), 0.0, nn.Tanh)
    decoder = _dense((latent, *widths[::-1], 784), 0.0, nn.Tanh)
    return VAE(nn.Sequential(nn.Flatten(), *encoder), nn.Sequential(*decoder, nn.Unflatten(1, (1, 28, 28))))


def _dense(sizes: Iterable[int], rate: float, activation: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Dense layers from each size to the next; nothing follows the last."""
    *inner, last = itertools.starmap(nn.Linear, itertools.pairwise(sizes))
    return [*_hidden(inner, rate, activation), last]


def _conv_encoder(units: int, channels: tuple[int, ...], rate: float) -> list[nn.Module]:
    stages = zip((1, *channels), channels, PADDING, strict=False)
    convolutions = [nn.Conv2d(before, after, 3, 2, padding) for before, after, padding in stages]
    flat = channels[-1] * SIDES[len(channels)] ** 2
    return [*_hidden(convolutions, rate), nn.Flatten(), *_dense((flat, 64, units), rate)]


def _conv_decoder(latent: int, channels: tuple[int, ...], rate: float) -> list[nn.Module]:
    """The mirror of :func:`_conv_encoder`, before the output activation."""
    shape = channels[-1], SIDES[len(channels)], SIDES[len(channels)]
    dense = [nn.Linear(latent, 64), nn.Linear(64, math.prod(shape))]
    stages = zip(channels, (1, *channels), PADDING, strict=False)
    last, *inner = [nn.ConvTranspose2d(before, after, 3, 2, padding, padding) for before, after, padding in stages]
    return [*_hidden(dense, rate), nn.Unflatten(1, shape), *_hidden(reversed(inner), rate), last]


def _hidden(layers: Iterable[nn.Module], rate: float, activation: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Each layer with its activation; without dropout there is no dropout layer."""
    return [module for layer in layers for module in (layer, activation(), *([nn.Dropout(rate)] if rate else []))]


def _conv_autoencoder(rate: float) -> nn.Module:
    latent, channels = LATENT["conv"], CHANNELS["conv"]
    return nn.Sequential(*_conv_encoder(latent, channels, rate), *_conv_decoder(latent, channels, rate), nn.Sigmoid())


def _dense_autoencoder(rate: float) -> nn.Module:
    encoder, decoder = _dense((784, 500, 500, LATENT["dense"]), rate), _dense((LATENT["dense"], 500, 500, 784), rate)
    return nn.Sequential(nn.Flatten(), *encoder, *decoder, nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))


def conv_vae(rate: float = 0.0) -> VAE:
    """``networks.CONV_VAE``."""
    latent, channels = LATENT["conv_vae"], CHANNELS["conv_vae"]
    encoder, decoder = _conv_encoder(2 * latent, channels, rate), _conv_decoder(latent, channels, rate)
    return VAE(nn.Sequential(*encoder), nn.Sequential(*decoder))


NETWORKS = {
    "conv": Network(_conv_autoencoder, functional.mse_loss),
    "dense": Network(_dense_autoencoder, functional.mse_loss),
    "conv_vae": Network(conv_vae, negative_elbo),
}

VAES = {"dense_vae": lambda: dense_vae(50, (200, 200)), "conv_vae": conv_vae}  # of benchmarks.likelihood

# Of each kind of layer: its name in our parameters, and the axes of our kernel [*window, in, out] that give its weight.
_LAYERS = {
    nn.Linear: ("Dense", (1, 0)),
    nn.Conv2d: ("Conv", (3, 2, 0, 1)),
    nn.ConvTranspose2d: ("ConvTranspose", (2, 3, 0, 1)),
}


@torch.no_grad()
def copy_parameters(params: PyTree, vae: VAE) -> None:
    """Give ``vae`` the parameters of ours, whose layers are numbered by kind, in order."""
    for half in ("encoder", "decoder"):
        seen = Counter()
        for layer in getattr(vae, half):
            if type(layer) in _LAYERS:
                kind, axes = _LAYERS[type(layer)]
                ours = params["params"][half][f"{kind}_{seen[kind]}"]
                layer.weight.copy_(torch.tensor(np.asarray(ours["kernel"]).transpose(axes)))
                layer.bias.copy_(torch.tensor(np.asarray(ours["bias"])))
                seen[kind] += 1
