"""What a user is told after a training that went nowhere: models that diverged, models that learned the mean image."""

from __future__ import annotations

import warnings

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ae_jax import evaluation
from ae_jax.batching import evaluation_batch, unit
from ae_jax.objectives import Objective, output_shape
from ae_jax.runs import Run
from ae_jax.types import AnyArray

LEARNED_NOTHING = 0.98  # of the mean image's error: one that is as large is told
JUDGED = 64  # images at the least: of few, the mean image is closer to them than to others
_NAMED = 3  # models in a warning, at most


def warn(run: Run, images: ArrayLike) -> None:
    """Warn of models that diverged, and of those that reconstruct no better than the mean image.

    That is judged by the mean squared error on ``images``, some that were trained on, whatever the objective: the pixel
    mean of these very images is the best that a constant can do. A model without reconstructions is not judged.
    """
    if run.diverged.any():
        warnings.warn(
            f"{_models(run, run.diverged)} diverged: give a smaller learning rate or another seed", stacklevel=3
        )
    if not _reconstructs(run.objective):
        return
    given = unit(jnp.asarray(images))
    constant = float(np.asarray(given).var(0).mean())
    error = evaluation.reconstruction_error(run, given, given)
    if constant and (nothing := error >= LEARNED_NOTHING * constant).any():
        warnings.warn(
            f"{_models(run, nothing)} came no closer to the images than their mean (squared error "
            f"{error[nothing].min():.4g}, the mean image's {constant:.4g}): give more epochs or a larger learning rate",
            stacklevel=3,
        )


def some(images: AnyArray, trained: np.ndarray) -> AnyArray:
    """Some of the ``images`` at ``trained``, evenly over all: a batch of an evaluation, or ``JUDGED`` if it is less."""
    count = min(max(evaluation_batch(images.shape[1:]), JUDGED), len(trained))
    return images[trained[np.linspace(0, len(trained) - 1, count).astype(int)]]


def _reconstructs(objective: Objective) -> bool:
    """Whether the model makes images of images alone; one of the user's own may take or give anything else."""
    try:
        return output_shape(objective) == objective.image
    except Exception:  # of the user's code
        return False


def _models(run: Run, which: np.ndarray) -> str:
    """How many of the run's models those are, and the first by what tells them apart."""
    if which.size == 1:
        return "the model"
    numbers = run.lanes.hparams._asdict() | {"seed": run.lanes.seed}
    varying = {name: values.ravel() for name, values in numbers.items() if len(np.unique(values)) > 1}
    ids = np.flatnonzero(which)
    names = [", ".join(f"{name} {values[i]:.4g}" for name, values in varying.items()) for i in ids[:_NAMED]]
    return f"{len(ids)} of {which.size} models ({'; '.join(names)}{'; ...' * (len(ids) > _NAMED)})"
