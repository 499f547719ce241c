"""What was trained: a :class:`Run` knows its model, its lanes and their shape, and how each of them ended.

Everything after training takes runs. One rule for the lane axes everywhere: results have the shape of the run first,
``[*run.shape, ...]``, none for a lane alone, and are NaN (-1 if they are integers) for a lane that diverged.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ae_jax import host, sharing
from ae_jax.batching import evaluation_batches
from ae_jax.calls import Calls
from ae_jax.lanes import DIVERGED, DONE, HALVED, Lanes, lane_grid
from ae_jax.objectives import Objective, parameter_count, parameter_shapes
from ae_jax.types import Plan, PyTree, UsageError, a
from ae_jax.widening import alike, widen


class Curves(NamedTuple):
    """Losses by epoch ``[*shape, epochs]``, NaN after a lane's last; without validation that loss is NaN."""

    train_loss: np.ndarray
    validation_loss: np.ndarray


class Cost(NamedTuple):
    """What training took. Programs that compile side by side slow each other down, so that their seconds overlap."""

    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    images: int = 0


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A trained group of lanes. ``run[i]`` is a part of it, indexed as an array of its shape would be.

    A pickle holds a model by its recipe, as the file of :meth:`save` does: no code of a user's own.

    >>> import ae_jax, numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
    >>> objective = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, widths=(8,)))
    >>> run = ae_jax.fit(objective, images, epochs=2, batch_size=16, seeds=range(3))
    >>> codes = run.best.encode(images)
    >>> codes.shape, run.best.decode(codes[:5]).shape, run.reconstruct(images[:5]).shape
    ((64, 2), (5, 28, 28, 1), (3, 5, 28, 28, 1))
    >>> run.score(images)["loss"].shape, run[:2].shape
    ((3,), (2,))

    status: ``[*shape]`` int32, see ``lanes.STATUS_NAMES``.
    epochs: ``[*shape]`` int32, trained by each lane.
    loss: ``[*shape]``, the monitored loss of ``params``: of the validation images, or else of the training; infinite
        for a diverged lane.
    params: leaves ``[*shape, ...]``, those of the best or of the last epoch, as the settings say.
    """

    name: str
    objective: Objective
    plan: Plan
    lanes: Lanes
    status: np.ndarray
    epochs: np.ndarray
    curves: Curves
    loss: np.ndarray
    params: PyTree
    cost: Cost = Cost()

    def __repr__(self) -> str:
        return f"Run({self.name!r}, shape={self.shape}, lowest loss {self.loss.min():.4g})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the lanes; ``()`` for a lane alone."""
        return self.lanes.shape

    @property
    def model(self) -> nn.Module:
        """The model of every lane."""
        return self.objective.model

    @property
    def diverged(self) -> np.ndarray:
        """Which lanes did: bool ``[*shape]``."""
        return self.status == DIVERGED

    def __getitem__(self, index: Any) -> Run:
        """The lanes at ``index``, whatever NumPy takes as one for this shape; a UsageError if that is none."""
        ids = np.arange(self.status.size).reshape(self.shape)[index]
        if not np.size(ids):
            raise UsageError(f"{self.name}: no lane is chosen of {self.status.size}; give an index that finds some")

        def part(tree: PyTree) -> PyTree:
            return host.take(host.reshape(tree, len(self.shape), (self.status.size,)), ids)

        fields = ("lanes", "status", "epochs", "curves", "loss", "params")
        return dataclasses.replace(self, **{name: part(getattr(self, name)) for name in fields})

    @property
    def best(self) -> Run:
        """The lane with the lowest loss; those that a halving ended come last. UsageError if all diverged."""
        if self.diverged.all():
            raise UsageError(f"{self.name}: every lane diverged; give smaller learning rates or another seed")
        flat = np.lexsort((self.loss.ravel(), (self.status == HALVED).ravel(), self.diverged.ravel()))
        return self[np.unravel_index(flat[0], self.shape)] if self.shape else self

    def encode(self, images: ArrayLike) -> np.ndarray:
        """Codes of images by every lane: ``[n, ...] -> [*shape, n, latent]``.

        Those of a VAE are its means, those of a VQ-VAE vectors of its book, ``[*shape, n, positions, code_size]``.
        Images are taken as in :func:`ae_jax.fit`, any number of them, and encoded as they are, never binarised.
        """
        from ae_jax import inference

        return inference.encode(self, images)

    def decode(self, codes: ArrayLike) -> np.ndarray:
        """Images of codes: ``[*shape, n, latent] -> [*shape, n, H, W, C]``; codes ``[n, latent]`` go to every lane.

        Raises UsageError for a model without a decoder, as a classifier, and for codes of another shape.
        """
        from ae_jax import inference

        return inference.decode(self, codes)

    def reconstruct(self, images: ArrayLike) -> np.ndarray:
        """Images as every lane gives them back: ``[n, ...] -> [*shape, n, H, W, C]``, float32 in [0, 1]."""
        from ae_jax import inference

        return inference.reconstruct(self, images)

    def sample(self, n: int, seed: int = 0, *, like: ArrayLike | None = None, components: int = 10) -> np.ndarray:
        """``n`` new images by every lane: ``[*shape, n, H, W, C]``.

        Args:
            seed: of the draws; the same gives the same images.
            like: images whose codes the new ones are drawn like, by a Gaussian mixture of ``components`` (which
                scikit-learn fits). A plain autoencoder needs them, as its codes have no distribution of their own;
                without them a VAE draws from its prior N(0, I), a VQ-VAE from its book with equal chances.
        """
        from ae_jax import inference

        return inference.sample(self, n, seed, like, components)

    def score(self, images: ArrayLike, labels: ArrayLike | None = None, seed: int = 0) -> dict[str, np.ndarray]:
        """The objective's loss and metrics of every lane, exact means over the images: ``[*shape]`` each.

        ``seed`` is that of an objective that draws (noise, codes), the same draws for all lanes. A classifier needs
        the labels ``[n]``. What is of a batch rather than of an image (the MMD of ``wae_mmd``, the activity of
        ``sparse_kl``) is a mean over batches, the last of them padded.
        """
        from ae_jax import inference

        return inference.score(self, images, labels, seed)

    def predict(self, images: ArrayLike) -> np.ndarray:
        """The most likely class by every lane of a classifier: ``[n, ...] -> [*shape, n]``, -1 where it diverged."""
        from ae_jax import inference

        return inference.predict(self, images)

    def save(self, path: str | Path) -> Path:
        """Keep the model in a file, which :func:`ae_jax.load` reads; see :func:`ae_jax.files.save`."""
        from ae_jax import files

        return files.save(self, path)

    def map(self, function: Callable, *inputs: PyTree, each: Sequence[PyTree] = (), static: tuple = ()) -> PyTree:
        """``function(objective, params, *each, *inputs, *static)`` of every lane, on the host: ``[*shape, ...]``.

        As many lanes at a time as memory allows.

        Args:
            function: pure and traceable, defined once: it is compiled for each objective and shape.
            inputs: equal for all lanes.
            each: with leading axes ``[*shape, ...]``, an entry for each lane.
            static: hashable.
        """
        return _map(self, function, inputs, each, static)


def one_lane(run: Run) -> Run:
    """``run`` itself. Raises UsageError unless it is a lane alone that did not diverge."""
    if not isinstance(run, Run):
        raise UsageError(f"{a(type(run).__name__)} is not allowed as a run: give what fit or load returned")
    if run.shape or run.diverged:
        diverged = ", diverged" if np.any(run.diverged) else ""
        raise UsageError(f"{run.name}: lanes {run.shape}{diverged} are not one trained model; give run.best")
    return run


def of_params(name: str, objective: Objective, params: PyTree) -> Run:
    """Parameters of one lane from elsewhere as a lane alone, without curves or loss."""
    none = np.empty(0, np.float32)
    return Run(
        name, objective, Plan(), lane_grid(), status=np.array(DONE, np.int32), epochs=np.array(0, np.int32),
        curves=Curves(none, none), loss=np.array(np.nan, np.float32), params=jax.tree.map(np.asarray, params),
    )  # fmt: skip


def map_runs(function: Callable, runs: Run | Sequence[Run], *inputs: PyTree, static: tuple = ()) -> Any:
    """:meth:`Run.map` of a run, or of each of several: then a list.

    Runs whose models differ in the size of their codes alone are one program: ``function`` must not depend on it, nor
    on anything else of the objective but its model.
    """
    if isinstance(runs, Run):
        return runs.map(function, *inputs, static=static)
    together: list[list[int]] = []
    for number, run in enumerate(runs):
        for numbers in together:
            if alike([runs[numbers[0]].objective, run.objective]):
                numbers.append(number)
                break
        else:
            together.append([number])
    outputs = {}
    for numbers in together:
        members = [runs[number] for number in numbers]
        mapped = _merged(members).map(function, *inputs, static=static)
        ends = itertools.accumulate((run.status.size for run in members), initial=0)
        for number, run, span in zip(numbers, members, itertools.pairwise(ends), strict=True):
            outputs[number] = host.reshape(host.take(mapped, slice(*span)), 1, run.shape)
    return [outputs[number] for number in range(len(runs))]


def _merged(runs: Sequence[Run]) -> Run:
    """The lanes of all ``runs``, in order and flat, as lanes of the widest; without curves."""
    widest = max(runs, key=lambda run: parameter_count(run.objective))
    shapes = parameter_shapes(widest.objective)
    flat = [host.reshape((run.lanes, run.status, run.params), len(run.shape), (run.status.size,)) for run in runs]
    lanes, status, params = host.concatenate((*tree[:2], widen(tree[2], shapes)) for tree in flat)
    return dataclasses.replace(widest, lanes=lanes, status=status, params=params)


def by_batches(objective: Objective, function: Callable[..., PyTree], *inputs: Array) -> PyTree:
    """``function`` of ``inputs [n, ...]``, batch by batch as its images allow, put together: leaves ``[n, ...]``."""
    return by_numbered_batches(objective, lambda _, *batch: function(*batch), *inputs)


def by_numbered_batches(objective: Objective, function: Callable[..., PyTree], *inputs: Array) -> PyTree:
    """:func:`by_batches` of a function that gets the batch's number first, to draw from a key of its own."""
    n = len(inputs[0])
    batches = evaluation_batches(objective.image, jnp.arange(n))  # the padding comes last; it gives some example

    def of_batch(number_and_indices: tuple[Array, Array]) -> PyTree:
        number, indices = number_and_indices
        return function(number, *(array[indices] for array in inputs))

    outputs = jax.lax.map(of_batch, (jnp.arange(len(batches)), batches))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:n], outputs)


def _map(run: Run, function: Callable, inputs: tuple, each: Sequence[PyTree], static: tuple) -> PyTree:
    lanes = host.reshape((run.params, *each), len(run.shape), (run.status.size,))
    lower = functools.partial(_program.lower, function, run.objective, static)
    calls = Calls(lower, run.status.size)
    waiting, outputs = np.arange(run.status.size), []
    while waiting.size:
        served, output = calls(waiting, lambda ids: (host.take(lanes, ids), inputs))
        outputs.append(host.take(output, slice(len(served))))
        waiting = waiting[len(served) :]
    marked = jax.tree.map(functools.partial(_mark, run.diverged.ravel()), host.concatenate(outputs))
    return host.reshape(marked, 1, run.shape)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _program(function: Callable, objective: Objective, static: tuple, lanes: tuple, inputs: tuple) -> PyTree:
    return sharing.lane_map(lambda *lane: function(objective, *lane, *jax.tree.map(_again, inputs), *static), *lanes)


def _again(leaf: Array) -> Array:
    """An input of every lane; told of a key, that it is meant to be used again, so that lanes draw the same."""
    return jax.random.clone(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _mark(diverged: np.ndarray, values: np.ndarray) -> np.ndarray:
    """NaN, or -1 among integers, for the lanes that diverged."""
    if diverged.any() and values.dtype.kind in "fi":
        values[diverged] = np.nan if values.dtype.kind == "f" else -1
    return values
