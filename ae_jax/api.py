"""The front door: train on one's own images, search for hyper-parameters, load what was kept.

Everything here is a call of the engine (``trials``): seeds, hyper-parameters and folds are lanes, and what comes back
is a :class:`~ae_jax.runs.Run`. The studies of ``experiments`` take the same way, so that the same numbers give the same
parameters, bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ae_jax import doubts, files, random_search, recipes, trials
from ae_jax.batching import Data, unit
from ae_jax.checkpoints import remove_folder
from ae_jax.data import holdout, kfold, no_holdout
from ae_jax.engine import Halving, Settings
from ae_jax.images import as_images
from ae_jax.inference import labels_for
from ae_jax.lanes import Group, lane_grid, stack_splits
from ae_jax.locks import alone
from ae_jax.objectives import Objective
from ae_jax.progress import progress_bar, watched
from ae_jax.random_search import Outcome, Prior, Trials
from ae_jax.runs import Run
from ae_jax.types import Plan, UsageError, a, as_path, flag, function, require_known, whole

SHOWN = 10  # trials of a search that is printed
DRAWS = 2  # child of a search's key; its first lane, which has the same seed, splits that key into the children 0 and 1

Split = tuple[np.ndarray, np.ndarray]  # indices to train and to validate on
ImageArray = np.ndarray | jax.Array  # as images.as_images gives them
Validation = float | ArrayLike | tuple[ArrayLike, ArrayLike] | None


def fit(
    objective: Objective, images: ArrayLike, labels: ArrayLike | None = None, *, epochs: int | Sequence[int],
    learning_rate: float | Sequence[float] = 1e-3, batch_size: int = 128, optimizer: str = "adam",
    seeds: int | Sequence[int] = 0, validation: Validation = 0.2, patience: int | None = None, keep_best: bool = True,
    checkpoints: str | Path | None = None, resume: bool = False, keep_checkpoints: bool = False,
    progress: bool | None = None, **hyper_parameters: float | Sequence[float],
) -> Run:  # fmt: skip
    """Train ``objective`` on ``images``: one model, or many side by side.

    >>> import ae_jax, numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
    >>> objective = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, widths=(8,)))
    >>> run = ae_jax.fit(objective, images, epochs=2, batch_size=16, seeds=range(3))
    >>> run.shape, run.curves.validation_loss.shape, run.best.encode(images).shape
    ((3,), (3, 2), (64, 2))

    Args:
        objective: what is learned, of a model for images of any shape: that of ``images`` is taken.
        images: a NumPy or JAX array, uint8 (scaled) or float in [0, 1] (left alone): ``[n, H, W]``, ``[n, H, W, C]``
            or, for dense networks, ``[n, features]``.
        labels: whole numbers ``[n]``, for a classifier.
        epochs: passes over the training images.
        batch_size, optimizer: see ``types.Plan``.
        seeds: a seed gives one model, a run of shape ``()``; a sequence one for each.
        validation: the fraction held out, the last of the images as they stand (so shuffle those that are sorted);
            or images, or (images, labels), to validate on; or None: then the training loss is monitored.
        patience: epochs without a lower monitored loss before a model is stopped.
        keep_best: the parameters of the epoch with the lowest monitored loss, or else of the last.
        checkpoints: a folder, where an interrupted training is kept, for ``resume=True`` to go on from.
        keep_checkpoints: whether the folder stays when all is trained, as for a caller who has yet to save the run:
            with ``resume=True`` it is had again at once. Otherwise it is removed.
        progress: a bar on stderr, or none; by default in a terminal and in a notebook.
        hyper_parameters: any other of ``types.HParams``, such as ``l2`` or ``dropout``. The learning rate, the epochs
            and these may be sequences too, each an axis of the run: in this order, these as they are given, then the
            seeds.

    Returns:
        The run. A model that diverged is marked in ``run.diverged``. There is a warning of those, and of models that
        reconstruct a batch of the images they learned from no better than the mean image of these does.

    Raises:
        UsageError: for any argument that is not allowed, and for checkpoints that another run is at work on.
        Interrupted: after the first Ctrl-C or SIGTERM, between two calls of the program. It is a KeyboardInterrupt.
    """
    require_known(hyper_parameters)
    keep_best, keep_checkpoints = flag("keep_best", keep_best), flag("keep_checkpoints", keep_checkpoints)
    images = as_images(images)
    objective = _for_images(objective, images)
    data, split = _examples(images, labels, validation, [objective])
    lanes = lane_grid(learning_rate=learning_rate, epochs=epochs, **hyper_parameters, seed=_seeds(seeds))
    folder = _folder(checkpoints, resume)
    settings = Settings(patience=patience, keep_best=keep_best, checkpoint_folder=folder, resume=resume)
    groups = [Group("fit", objective, Plan(batch_size, optimizer), lanes)]
    with _trained("fit", groups, data, [split], settings, progress, keep_checkpoints) as (run,):
        doubts.warn(run, doubts.some(images, split[0]))
    return run


@dataclasses.dataclass(frozen=True, eq=False)
class Searched:
    """A search that is done. Printed, it is a table of its best trials.

    planned: the trials, and the groups they were sorted into.
    runs: one for each group, its trials and folds ``[trials, folds]``.
    outcome: loss, status and curves of each trial in the order of the draws, and their ranking.
    """

    planned: random_search.Planned
    runs: list[Run]
    outcome: Outcome

    @property
    def trials(self) -> Trials:
        """What was drawn: hyper-parameter -> ``[trials]``."""
        return self.planned.trials

    @property
    def best(self) -> Run:
        """The model of the best trial, a lane alone; of its folds the one with the lowest validation loss."""
        return self.trial(int(self.outcome.ranking[0])).best

    @property
    def best_numbers(self) -> dict[str, Any]:
        """The hyper-parameters of the best trial."""
        return {name: values.tolist()[self.outcome.ranking[0]] for name, values in self.trials.items()}

    def trial(self, number: int) -> Run:
        """The models of a trial, one for each fold: a run of shape ``[folds]``."""
        return random_search.trial_run(self.runs, number)

    def __str__(self) -> str:
        """The ten best trials, a line each: rank, trial, loss and what was drawn."""
        names = [name for name, values in self.trials.items() if len(set(values.tolist())) > 1]
        rows = [["rank", "trial", "loss", *names]]
        for rank, trial in enumerate(self.outcome.ranking[:SHOWN].tolist(), 1):
            drawn = (self.trials[name].tolist()[trial] for name in names)
            rows.append([str(rank), str(trial), *map(random_search.short, (float(self.outcome.loss[trial]), *drawn))])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.rjust, row, widths)) for row in rows)
        return "\n".join([str(self.planned), *lines])


def search(
    build: Callable[..., Objective | tuple[Objective, Plan]], space: Mapping[str, Prior | Any], images: ArrayLike,
    labels: ArrayLike | None = None, *, trials: int, folds: int = 1, halving: tuple[int, int] | None = None,
    epochs: int | None = None, batch_size: int = 128, optimizer: str = "adam", seed: int = 0,
    validation: Validation = 0.2, patience: int | None = None, keep_best: bool = True,
    checkpoints: str | Path | None = None, resume: bool = False, keep_checkpoints: bool = False,
    progress: bool | None = None,
) -> Searched:  # fmt: skip
    """Random search: draw ``trials`` from ``space``, train them all, rank them by their validation loss.

    >>> import ae_jax, numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
    >>> def build(latent):
    ...     return ae_jax.autoencoder(ae_jax.dense_autoencoder(latent, widths=(8,)))
    >>> space = {"latent": ae_jax.choice([1, 2]), "learning_rate": ae_jax.log_uniform(1e-3, 1e-2)}
    >>> searched = ae_jax.search(build, space, images, trials=3, epochs=1, batch_size=16)
    >>> searched.best.shape, sorted(searched.best_numbers)
    ((), ['epochs', 'latent', 'learning_rate'])

    Args:
        build: what a trial learns, from those of ``space`` that are no numbers of ``types.HParams``: ``(**drawn) ->``
            an objective, or an objective and a ``Plan`` where batch size or optimizer are drawn too. Trials that agree
            in these train as one program.
        space: priors by name (``uniform``, ``log_uniform``, ``integer_uniform``, ``choice``); a plain value stands for
            itself.
        folds: 2 or more train each trial as often, on all but a fold of the images, in place of ``validation``.
        halving: ``(first, factor)``: at the epochs first, first * factor, ... only the best 1 / factor go on.
        epochs: of every trial, unless they are drawn.
        seed: of the draws, the folds and the first model; further models count on from it.
        images, labels, batch_size, optimizer, validation, patience and all that follow: as for :func:`fit`.

    Raises:
        UsageError, Interrupted: as :func:`fit`.
    """
    images, keep_best = as_images(images), flag("keep_best", keep_best)
    keep_checkpoints = flag("keep_checkpoints", keep_checkpoints)
    function("build", build)
    if not isinstance(space, Mapping) or not all(isinstance(name, str) for name in space):
        raise UsageError(f"space {space!r} is not allowed: give priors by name, such as {{'latent': choice([2, 8])}}")
    if epochs is not None:
        space = {"epochs": epochs, **space}
    if halving is not None and not (isinstance(halving, Sequence) and len(halving) == 2):
        raise UsageError(f"halving {halving!r} is not allowed: give (first epoch, factor), or None")
    seed = whole("seed", seed, 0)
    if "epochs" not in space:
        raise UsageError("no epochs are given: give epochs=20, or a prior for them in the space")
    drawn = random_search.sample(jax.random.fold_in(jax.random.key(seed), DRAWS), space, whole("trials", trials))
    folded = kfold(len(images), folds, seed) if whole("folds", folds) > 1 else None
    planned = random_search.plan_search(
        drawn, _for_trials(build, Plan(batch_size, optimizer), images), seed=seed, folds=folds
    )
    objectives = [group.objective for group in planned.groups]
    data, split = _examples(images, labels, None if folded else validation, objectives)
    settings = Settings(
        patience=patience, keep_best=keep_best, halving=halving and Halving(*halving),
        checkpoint_folder=_folder(checkpoints, resume), resume=resume,
    )  # fmt: skip
    with _trained("search", planned.groups, data, folded or [split], settings, progress, keep_checkpoints) as runs:
        return Searched(planned, runs, random_search.collect(planned, runs))


def load(path: str | Path) -> Run:
    """The run that :meth:`Run.save` kept in a file; see :func:`ae_jax.files.load`.

    >>> import ae_jax, numpy as np, pathlib, tempfile
    >>> images = np.random.default_rng(0).random((40, 6, 6))
    >>> objective = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, widths=(8,)))
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> path = ae_jax.fit(objective, images, epochs=1, batch_size=16, progress=False).save(path)
    >>> ae_jax.load(path).encode(images).shape
    (40, 2)
    """
    return files.load(path)


@contextlib.contextmanager
def _trained(
    title: str, groups: Sequence[Group], data: Data, splits: Sequence[Split], settings: Settings,
    progress: bool | None, keep: bool,
) -> Iterator[list[Run]]:  # fmt: skip
    """The groups, trained under a progress bar. Their checkpoints go when the ``with`` ends without an error."""
    shown = watched() if progress is None else flag("progress", progress)
    epochs = sum(int(group.lanes.hparams.epochs.sum()) for group in groups)
    folder = settings.checkpoint_folder
    with contextlib.nullcontext() if folder is None else alone(folder):
        with progress_bar(title, epochs, shown) as monitor:
            runs = trials.run_groups(groups, data, stack_splits(splits), settings, monitor)
        yield runs
        if folder is not None and not keep:
            remove_folder(folder)


def _for_images(objective: Objective, images: ImageArray) -> Objective:
    """``objective`` for images of this shape."""
    if not isinstance(objective, Objective):
        advice = "; of a model, make one: ae_jax.autoencoder(model)" if isinstance(objective, nn.Module) else ""
        raise UsageError(f"{a(type(objective).__name__)} is not allowed as an objective{advice}")
    _, height, width, channels = images.shape
    return recipes.sized(objective, (height, width, channels))


def _for_trials(build: Callable, plan: Plan, images: ImageArray) -> Callable[..., tuple[Objective, Plan]]:
    """``build`` with its objective for images of this shape, and with ``plan`` where it gives none itself."""

    @functools.wraps(build)  # its parameters are the names that a space may use
    def built(**statics: Any) -> tuple[Objective, Plan]:
        made = build(**statics)
        objective, own = made if type(made) is tuple and len(made) == 2 else (made, plan)
        if not isinstance(own, Plan):
            raise UsageError(f"{own!r} is not allowed beside an objective of build: give an ae_jax.Plan, or nothing")
        return _for_images(objective, images), own

    return built


def _examples(
    images: ImageArray, labels: ArrayLike | None, validation: Validation, objectives: Sequence[Objective]
) -> tuple[Data, Split]:
    """What lanes train and validate on; images to validate on stand behind the others."""
    labels, count = labels_for(objectives, labels, len(images)), len(images)
    if validation is None or isinstance(validation, numbers.Real):
        split = holdout(count, validation) if validation else no_holdout(count)
        return Data(jnp.asarray(images), jnp.asarray(labels)), split
    held, *rest = validation if isinstance(validation, tuple) and validation else (validation,)
    if isinstance(held, str | tuple | None) or len(rest) > 1:
        raise UsageError("this validation is not allowed: give a fraction, images, (images, labels), or None")
    (held_labels,) = rest or (None,)
    held = as_images(held)
    if held.shape[1:] != images.shape[1:]:
        raise UsageError(
            f"validation images of shape {list(held.shape[1:])} are not allowed: "
            f"give them in that of the others, {list(images.shape[1:])}"
        )
    both = [images, held] if images.dtype == held.dtype else [unit(jnp.asarray(of)) for of in (images, held)]
    labels = np.concatenate([labels, labels_for(objectives, held_labels, len(held))])
    indices = np.arange(count + len(held), dtype=np.int32)
    return Data(jnp.concatenate(both), jnp.asarray(labels)), (indices[:count], indices[count:])


def _seeds(seeds: int | Sequence[int]) -> np.ndarray:
    """Raises UsageError unless they are whole numbers that a key can be made of."""
    given = np.asarray(seeds)
    if given.dtype.kind not in "iu" or given.ndim > 1 or not given.size or given.min() < 0 or given.max() >= 2**31:
        raise UsageError(f"seeds {seeds!r} are not allowed: give a whole number from 0 to {2**31 - 1}, or a sequence")
    return given


def _folder(checkpoints: str | Path | None, resume: bool) -> Path | None:
    """Raises UsageError for what is no path, and for nothing to resume from."""
    if flag("resume", resume) and checkpoints is None:
        raise UsageError("there is nothing to resume from: give the folder too, checkpoints=...")
    return None if checkpoints is None else as_path(checkpoints)
