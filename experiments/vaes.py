"""The reports' variational autoencoders: their networks, what each has beside it, their likelihoods of the pixels."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn

from ae_jax import distributions
from ae_jax.activations import Activation
from ae_jax.distributions import Likelihood
from ae_jax.models import Autoencoder, ConvDecoder, ConvEncoder, conv_autoencoder, dense_autoencoder
from ae_jax.types import UsageError
from ae_jax.vae import VAE, conv_vae, dense_vae
from experiments import reports
from experiments.common import Options
from experiments.comparison import Numbers

BINARIZE = {
    "none": distributions.grey,
    "static": distributions.binarize_static,
    "dynamic": distributions.binarize_dynamic,
}


class Protocol(NamedTuple):
    """Models by name; the plain autoencoder beside them; L2 penalties of each model; what the report gives."""

    models: dict[str, VAE]
    plain: Autoencoder
    l2: tuple[float, ...] = (0.0,)
    variance: float | None = None  # of a Gaussian likelihood; None is Bernoulli
    reported: Numbers | None = None  # training, validation and test loss

    @property
    def variants(self) -> dict[str, tuple[str, int]]:
        """What is told apart, by name: a model and the number of its L2."""
        named = {penalty: f", L2 {penalty:g}" if len(self.l2) > 1 else "" for penalty in self.l2}
        return {f"{name}{named[l2]}": (name, j) for name in self.models for j, l2 in enumerate(self.l2)}


TWO_STAGES = (32, 64), None  # channels, and no hidden layer: report C, section 2.4


def two_stages(activation: Activation) -> VAE:
    """Report C's network for a plane with another hidden activation."""
    return VAE(ConvEncoder(4, *TWO_STAGES, activation), ConvDecoder(*TWO_STAGES, activation))


PROTOCOLS = {
    "B7": Protocol({"d = 3": conv_vae(3)}, conv_autoencoder(3), (0.0, reports.b.BEST["l2"]), 1.0, reports.b.VAE_LOSS),
    "C5": Protocol(
        {"sigmoid": two_stages(nn.sigmoid), "ReLU": conv_vae(2, *TWO_STAGES)}, conv_autoencoder(2, *TWO_STAGES)
    ),
    "D3": Protocol({"d = 5": dense_vae(5)}, dense_autoencoder(5, activation=nn.elu)),
    "D4": Protocol(
        {"d = 5": conv_vae(5, *TWO_STAGES), "d = 20": conv_vae(20, *TWO_STAGES)}, conv_autoencoder(5, *TWO_STAGES)
    ),
}


def likelihood(options: Options) -> Likelihood:
    """The report's, of the pixels that the options choose. UsageError for binary pixels of a Gaussian one."""
    variance = PROTOCOLS[options.study].variance
    if variance is None:
        return distributions.bernoulli(BINARIZE[options.binarize])
    if options.binarize != "none":
        raise UsageError(
            f"--binarize {options.binarize}: study {options.study} has a Gaussian likelihood of grey pixels"
        )
    return distributions.gaussian(variance)
