"""What a trained run does with a user's arrays: encode, decode, reconstruct, predict, sample, score.

The methods of ``Run``. Images come as ``images.as_images`` takes them and are checked against the model. They are
worked on in batches of one size, the last one filled up: a few compiled programs serve any number of images, and a code
does not depend on which images came with it. What comes out leads with the run's shape (``runs``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ae_jax import evaluation, generation, latent
from ae_jax.batching import Data, evaluation_batch, unit
from ae_jax.images import as_images
from ae_jax.models import Autoencoder, apply
from ae_jax.objectives import Objective, classes, output_shape, parameter_shapes
from ae_jax.runs import Run, by_batches
from ae_jax.types import PyTree, UsageError, a, whole
from ae_jax.vae import VQVAE

BATCHES_AT_ONCE = 8  # in one call, at most: a power of two


def encode(run: Run, images: ArrayLike) -> np.ndarray:
    """Codes by every lane: ``[*run.shape, n, latent]``, or vectors of the book of a VQ-VAE."""
    _require(run, hasattr(run.model, "code"), "code")
    images = of_model(run, images)
    return _in_calls(run, len(images), lambda some: latent.encode(run, images[some]))


def decode(run: Run, codes: ArrayLike) -> np.ndarray:
    """Images of codes, each lane's own or the same for all: ``[*run.shape, n, H, W, C]``."""
    _require(run, hasattr(run.model, "decode"), "decoder")
    try:
        codes = np.asarray(codes, np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"these codes are no array of numbers ({error}): give {_axes('n', '...')}") from error
    size = code_shape(run.objective)
    *lead, count = codes.shape[: -len(size)] or (0,)
    if codes.shape[-len(size) :] != size or tuple(lead) not in ((), run.shape) or not count:
        lanes = f", or {_axes(*run.shape, 'n', *size)} for each lane its own" if run.shape else ""
        raise UsageError(f"codes of shape {list(codes.shape)} are not allowed: give {_axes('n', *size)}{lanes}")
    codes = np.broadcast_to(codes, (*run.shape, count, *size))
    return _in_calls(run, count, lambda some: latent.decode(run, codes[(slice(None),) * len(run.shape) + (some,)]))


def reconstruct(run: Run, images: ArrayLike) -> np.ndarray:
    """Images as every lane gives them back: ``[*run.shape, n, H, W, C]``."""
    _require(run, output_shape(run.objective) == run.model.image, "decoder")
    images = of_model(run, images)
    return _in_calls(run, len(images), lambda some: run.map(_reconstruct, jnp.asarray(images[some])))


def predict(run: Run, images: ArrayLike) -> np.ndarray:
    """The most likely class by every lane: ``[*run.shape, n]`` int32, -1 by one that diverged."""
    if not classes(run.objective):
        raise UsageError("the classes of images are told by a classifier: train one, ae_jax.classifier(model)")
    images = of_model(run, images)
    return _in_calls(run, len(images), lambda some: evaluation.predict(run, jnp.asarray(images[some])))


def sample(run: Run, n: int, seed: int = 0, like: ArrayLike | None = None, components: int = 10) -> np.ndarray:
    """New images ``[*run.shape, n, H, W, C]``: from the model's prior, or from a mixture like the codes of ``like``."""
    _require(run, hasattr(run.model, "decode"), "decoder")
    if like is None and isinstance(run.model, Autoencoder):
        raise UsageError("a plain autoencoder has no distribution of codes to draw from: give images, like=images")
    n, key, components = whole("n", n), jax.random.key(whole("seed", seed, 0)), whole("components", components)
    if like is None:
        return decode(run, _prior_codes(run, key, n))
    codes, size = encode(run, like), code_shape(run.objective)
    flat = codes.reshape(*codes.shape[: -len(size)], -1)
    drawn = generation.mixture_codes(key, flat, n, min(components, flat.shape[-2]))
    drawn = drawn.reshape(*run.shape, n, *size)
    return decode(run, run.map(_nearest, each=(drawn,)) if isinstance(run.model, VQVAE) else drawn)


def _prior_codes(run: Run, key: Array, n: int) -> np.ndarray:
    """Codes from N(0, I), the same for every lane, or vectors of each lane's book with equal chances."""
    size = code_shape(run.objective)
    if not isinstance(run.model, VQVAE):
        return generation.prior_codes(key, run.shape, n, *size)
    return run.map(_vectors, jax.random.randint(key, (n, size[0]), 0, run.model.quantiser.codes))


def score(run: Run, images: ArrayLike, labels: ArrayLike | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    """Loss and metrics of the run's objective: ``[*run.shape]`` each."""
    images = of_model(run, images)
    labels = labels_for([run.objective], labels, len(images))
    return evaluation.score(run, jax.random.key(whole("seed", seed, 0)), Data(jnp.asarray(images), jnp.asarray(labels)))


def of_model(run: Run, images: ArrayLike) -> np.ndarray | Array:
    """``images`` as :func:`~ae_jax.images.as_images` gives them. Raises UsageError unless they are of the model's."""
    found, wanted = as_images(images), run.model.image
    if found.shape[1:] != wanted:
        raise UsageError(
            f"images of shape {_axes(*found.shape[1:])} are not allowed: this model takes those of {_axes(*wanted)}"
        )
    return found


def labels_for(objectives: Sequence[Objective], labels: ArrayLike | None, n: int) -> np.ndarray:
    """Labels int32 ``[n]``, zeros where none are needed. Raises UsageError for a classifier's that do not fit it."""
    count = min(filter(None, map(classes, objectives)), default=None)
    if labels is None:
        if count:
            raise UsageError("a classifier learns from labels: give one for each image, whole numbers from 0")
        return np.zeros(n, np.int32)
    try:
        labels = np.asarray(labels)
    except ValueError as error:
        raise UsageError(f"these labels are no array ({error}): give {n} whole numbers") from error
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise UsageError(f"labels {labels.dtype} of shape {list(labels.shape)} are not allowed: give {n} whole numbers")
    if count and not (labels.min() >= 0 and labels.max() < count):
        raise UsageError(
            f"labels from {labels.min()} to {labels.max()} are not allowed: this classifier has {count} classes"
        )
    return labels.astype(np.int32)


@functools.cache
def code_shape(objective: Objective) -> tuple[int, ...]:
    """Of the code of one image: ``(latent,)``, or ``(positions, code_size)``."""
    image = jax.ShapeDtypeStruct((1, *objective.image), jnp.float32)
    encode = functools.partial(objective.model.apply, method="code")
    return jax.eval_shape(encode, parameter_shapes(objective), image).shape[1:]


def _require(run: Run, present: bool, part: str) -> None:
    """UsageError unless ``part`` of the model is there."""
    if not present:
        advice = "predict tells its classes" if classes(run.objective) else "build it of ae_jax.models"
        raise UsageError(f"{a(type(run.model).__name__)} has no {part}: {advice}")


def _axes(*sizes: int | str) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _in_calls(run: Run, n: int, call: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``call(indices)`` for ``range(n)`` in whole batches, put together: ``[*run.shape, n, ...]``.

    The last call is filled up with the last example. Its batches are a power of two, so that few programs do.
    """
    size, axis, start, outputs = evaluation_batch(run.objective.image), len(run.shape), 0, []
    while start < n:
        batches = -(-(n - start) // size)
        stop = start + size * min(BATCHES_AT_ONCE, 1 << (batches - 1).bit_length())
        outputs.append(call(np.arange(start, stop).clip(max=n - 1)))
        start = stop
    return np.take(np.concatenate(outputs, axis), np.arange(n), axis)


def _reconstruct(objective: Objective, params: PyTree, images: Array) -> Array:
    return by_batches(objective, lambda some: apply(objective.model, params, unit(some)), images)


def _vectors(objective: Objective, params: PyTree, numbers: Array) -> Array:
    return params["params"]["quantiser"]["book"][numbers]


def _nearest(objective: Objective, params: PyTree, vectors: Array) -> Array:
    return apply(objective.model, params, vectors, method="quantise")[0]
