"""What a model is trained for: an :class:`Objective` is two pure functions, built by one function for each idea.

Builders are decorated with ``recipes.recipe``: the same model gives the same objective, so that a compiled program is
found again, and the objective says how it was built.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ae_jax import losses, recipes
from ae_jax.activations import ACTIVATIONS
from ae_jax.corruptions import Corruption
from ae_jax.models import Autoencoder, apply
from ae_jax.recipes import Recipe, recipe
from ae_jax.types import Batch, HParams, ImageShape, PyTree, Range, UsageError, number


class Objective(NamedTuple):
    """``init`` makes parameters, ``loss`` scores a batch; training and evaluation share both.

    init: ``key -> params``; consumes the key.
    loss: ``(params, key, batch, hparams, train) -> (loss [batch], metrics of [batch])``; consumes the key.
        ``train`` is a Python bool: dropout acts only when it is true.
    separable: whether the loss of an example depends on that example alone. If not, its batch is never divided.
    recipe: how it was built, set by the builder's decorator; None for one that was put together by hand.
    """

    init: Callable[[Array], PyTree]
    loss: Callable[[PyTree, Array, Batch, HParams, bool], tuple[Array, dict[str, Array]]]
    separable: bool
    recipe: Recipe | None = None

    def __reduce__(self) -> tuple:
        """A pickle holds the recipe. Raises UsageError as :func:`recipes.portable` does."""
        return recipes.build, (recipes.portable(self),)

    @property
    def made(self) -> Recipe:
        """How it was built. Raises UsageError for one without a recipe."""
        if self.recipe is None:
            raise UsageError("an objective without a recipe does not say its model: decorate its builder with recipe")
        return self.recipe

    @property
    def model(self) -> nn.Module:
        """The model it was built from. Raises UsageError as :attr:`made` does."""
        return self.made.model

    @property
    def image(self) -> ImageShape:
        """Height, width and channels of the images that it is for. Raises UsageError as :attr:`made` does."""
        return self.model.image


@functools.cache
def init_of(model: nn.Module) -> Callable[[Array], PyTree]:
    """``key -> params``, the same function for equal models, so that one program initialises them for all objectives.

    Consumes the key.
    """
    return lambda key: model.init(key, jnp.zeros((1, *model.image)))


@functools.cache
def parameter_shapes(objective: Objective) -> PyTree:
    """The parameters of one lane, shapes and dtypes without values."""
    return jax.eval_shape(objective.init, jax.random.key(0))


def parameter_count(objective: Objective) -> int:
    """Numbers in the parameters of one lane."""
    return sum(leaf.size for leaf in jax.tree.leaves(parameter_shapes(objective)))


@functools.cache
def output_shape(objective: Objective) -> tuple[int, ...]:
    """Of what the model makes of one image: the image's own if it reconstructs, ``(classes,)`` if it classifies."""
    image = jax.ShapeDtypeStruct((1, *objective.image), jnp.float32)
    return jax.eval_shape(objective.model.apply, parameter_shapes(objective), image).shape[1:]


def classes(objective: Objective) -> int | None:
    """How many classes a :func:`classifier` tells apart; None for an objective that does without labels."""
    if objective.recipe is None or objective.recipe.builder != "objectives.classifier":
        return None
    return output_shape(objective)[0]


@recipe
def autoencoder(model: Autoencoder) -> Objective:
    """Mean squared reconstruction error of each image (the plain autoencoder of every report).

    >>> import ae_jax
    >>> objective = ae_jax.autoencoder(ae_jax.conv_autoencoder(8))
    """

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        reconstruction = apply(model, params, batch.images, hparams.dropout, train, rngs={"dropout": key})
        return losses.mean_squared_error(reconstruction, batch.images), {}

    return Objective(init_of(model), loss, separable=True)


@recipe
def denoising(model: Autoencoder, corrupt: Corruption) -> Objective:
    """The plain objective with a corrupted input and a clean target (reports A section IV, B 2.2, C 2.3).

    The corruption is drawn afresh at every step, at level ``hparams.noise``; evaluation corrupts too, so that what is
    validated is what was trained. :func:`~ae_jax.evaluation.reconstruction_error` scores on any other input.

    >>> import ae_jax
    >>> model = ae_jax.conv_autoencoder(8)
    >>> objective = ae_jax.denoising(model, ae_jax.corruptions.gaussian)  # its level: fit(..., noise=0.25)
    """

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        noise_key, dropout_key = jax.random.split(key)
        corrupted = corrupt(noise_key, batch.images, hparams.noise)
        reconstruction = apply(model, params, corrupted, hparams.dropout, train, rngs={"dropout": dropout_key})
        return losses.mean_squared_error(reconstruction, batch.images), {}

    return Objective(init_of(model), loss, separable=True)


@recipe
def cross_entropy_autoencoder(model: Autoencoder) -> Objective:
    """Pixel-mean binary cross-entropy of the reconstruction (report E, eq. 5); the metric ``mse`` beside it.

    It is computed from the logits. Raises UsageError for a model whose output is no sigmoid.

    >>> import ae_jax
    >>> ae_jax.cross_entropy_autoencoder(ae_jax.dense_autoencoder(2)).image
    (28, 28, 1)
    """
    if model.output is not nn.sigmoid:
        raise UsageError("a cross-entropy of pixels is of probabilities: build the model with output=nn.sigmoid")

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        encode_key, decode_key = jax.random.split(key)
        codes = apply(
            model, params, batch.images, hparams.dropout, train, rngs={"dropout": encode_key}, method=Autoencoder.encode
        )
        logits = apply(
            model, params, codes, hparams.dropout, train, rngs={"dropout": decode_key}, method=Autoencoder.logits
        )
        mse = losses.mean_squared_error(model.output(logits), batch.images)
        return losses.binary_cross_entropy(logits, batch.images), {"mse": mse}

    return Objective(init_of(model), loss, separable=True)


def _regularised(model: Autoencoder, penalty: Callable[[PyTree, Array], Array], separable: bool = True) -> Objective:
    """Reconstruction error plus ``hparams.penalty`` times ``penalty(params, images)`` of ``[batch]``, in training.

    Evaluation is the reconstruction error alone, so that models with other penalties can be compared; its metric
    ``penalty`` is the unweighted second term.
    """

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        reconstruction = apply(model, params, batch.images, hparams.dropout, train, rngs={"dropout": key})
        error = losses.mean_squared_error(reconstruction, batch.images)
        extra = penalty(params, batch.images)
        return error + hparams.penalty * extra if train else error, {"penalty": extra}

    return Objective(init_of(model), loss, separable)


@recipe
def sparse_l1(model: Autoencoder) -> Objective:
    """Sparse autoencoder: the penalty is the mean absolute value of an image's code.

    >>> import ae_jax
    >>> ae_jax.sparse_l1(ae_jax.dense_autoencoder(64)).image
    (28, 28, 1)
    """
    return _regularised(model, lambda params, images: jnp.abs(_encode(model, params, images)).mean(1))


@recipe
def sparse_kl(model: Autoencoder, rho: float = 0.05) -> Objective:
    """Sparse autoencoder (Ng 2011): ``sum_j KL(rho || mean activation of unit j)``, the mean over the batch.

    The code activations must lie in (0, 1), as a sigmoid's do. In evaluation the mean counts the padding, so that
    the metric is an estimate. Raises UsageError for an activation of ours that leaves it, and unless ``rho`` lies
    there too.

    >>> import ae_jax, flax.linen as nn
    >>> ae_jax.sparse_kl(ae_jax.dense_autoencoder(64, code_activation=nn.sigmoid), rho=0.1).recipe.rho
    0.1
    """
    number("rho", rho, Range("above 0 and below 1", lambda x: 0 < x < 1))
    activation = getattr(model.encoder, "code_activation", None)
    if activation is not nn.sigmoid and activation in ACTIVATIONS.values():
        raise UsageError("sparse_kl is of units between 0 and 1: build the encoder with code_activation=nn.sigmoid")

    def penalty(params: PyTree, images: Array) -> Array:
        activation = _encode(model, params, images).mean(0)
        return jnp.broadcast_to(losses.bernoulli_kl(rho, activation).sum(), images.shape[:1])

    return _regularised(model, penalty, separable=False)


@recipe
def contractive(model: Autoencoder) -> Objective:
    """Contractive autoencoder (Rifai et al. 2011): the penalty is ``||J||_F^2`` of the encoder at each image.

    >>> import ae_jax
    >>> ae_jax.contractive(ae_jax.dense_autoencoder(8)).image
    (28, 28, 1)
    """
    return _regularised(model, lambda params, images: jnp.square(jacobian(model, params, images)).sum((0, 2, 3, 4)))


def jacobian(model: nn.Module, params: PyTree, images: Array) -> Array:
    """Derivatives of each image's code by its own pixels: ``[latent, batch, *image]``.

    Exact, one reverse pass for each latent dimension: an image's code depends on that image alone, so the sum of
    one code over the batch has the gradients of all images side by side.
    """

    def codes(images: Array) -> Array:
        return apply(model, params, images, method="code").sum(0)

    return jax.jacrev(codes)(images)


@recipe
def classifier(model: nn.Module) -> Objective:
    """Cross-entropy of the labels under a model ``images -> logits [batch, classes]``; metric ``accuracy``.

    >>> import ae_jax
    >>> objective = ae_jax.classifier(ae_jax.Classifier(ae_jax.ConvEncoder(16), classes=10))
    """

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        logits = apply(model, params, batch.images, hparams.dropout, train, rngs={"dropout": key})
        return losses.cross_entropy(logits, batch.labels), {"accuracy": logits.argmax(1) == batch.labels}

    return Objective(init_of(model), loss, separable=True)


def _encode(model: nn.Module, params: PyTree, images: Array) -> Array:
    return apply(model, params, images, method="encode")
