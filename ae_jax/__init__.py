"""Autoencoders in pure functional JAX: train hundreds of models as one program, on your own images or on MNIST.

This is all that a user of the library needs; ``corruptions`` is a module of functions, and further ones are in
``evaluation``, ``files``, ``images``, ``recipes`` and ``sklearn``. Nothing is imported before it is
used: ``import ae_jax`` alone does not even import JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where the public names live, for Python below and for type checkers here; a test compares the two.
if TYPE_CHECKING:
    from ae_jax import corruptions as corruptions
    from ae_jax.api import Searched as Searched, fit as fit, load as load, search as search
    from ae_jax.distributions import (
        bernoulli as bernoulli,
        binarize_dynamic as binarize_dynamic,
        binarize_static as binarize_static,
        gaussian as gaussian,
        gaussian_learned as gaussian_learned,
        grey as grey,
    )
    from ae_jax.export import export_stablehlo as export_stablehlo, export_torch_state as export_torch_state
    from ae_jax.models import (
        Classifier as Classifier,
        ConvEncoder as ConvEncoder,
        DenseEncoder as DenseEncoder,
        conv_autoencoder as conv_autoencoder,
        dense_autoencoder as dense_autoencoder,
    )
    from ae_jax.objectives import (
        autoencoder as autoencoder,
        classifier as classifier,
        contractive as contractive,
        cross_entropy_autoencoder as cross_entropy_autoencoder,
        denoising as denoising,
        sparse_kl as sparse_kl,
        sparse_l1 as sparse_l1,
    )
    from ae_jax.process import keep_programs as keep_programs
    from ae_jax.random_search import (
        choice as choice,
        integer_uniform as integer_uniform,
        log_uniform as log_uniform,
        uniform as uniform,
    )
    from ae_jax.runs import Run as Run
    from ae_jax.types import Interrupted as Interrupted, Plan as Plan, UsageError as UsageError, hparams as hparams
    from ae_jax.vae import conv_vae as conv_vae, conv_vqvae as conv_vqvae, dense_vae as dense_vae
    from ae_jax.variational import (
        elbo as elbo,
        free_bits as free_bits,
        iwae as iwae,
        iwae_doubly_reparameterised as iwae_doubly_reparameterised,
        vector_quantised as vector_quantised,
        wae_mmd as wae_mmd,
    )

_HOMES = {
    "api": "Searched fit load search",
    "distributions": "bernoulli binarize_dynamic binarize_static gaussian gaussian_learned grey",
    "export": "export_stablehlo export_torch_state",
    "models": "Classifier ConvEncoder DenseEncoder conv_autoencoder dense_autoencoder",
    "objectives": "autoencoder classifier contractive cross_entropy_autoencoder denoising sparse_kl sparse_l1",
    "process": "keep_programs",
    "random_search": "choice integer_uniform log_uniform uniform",
    "runs": "Run",
    "types": "Interrupted Plan UsageError hparams",
    "vae": "conv_vae conv_vqvae dense_vae",
    "variational": "elbo free_bits iwae iwae_doubly_reparameterised vector_quantised wae_mmd",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}
__all__ = ["corruptions", *_HOME_OF]
_MODULES = ("evaluation", "files", "images", "recipes", "sklearn")  # of further functions, as ae_jax.files.info


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in __all__ and name not in _MODULES:
        raise AttributeError(f"module 'ae_jax' has no attribute {name!r}")
    module = importlib.import_module(f"ae_jax.{_HOME_OF.get(name, name)}")
    value = getattr(module, name, module)
    globals()[name] = value  # found there from now on
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))])
