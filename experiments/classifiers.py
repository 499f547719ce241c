"""Classifiers made of the encoders of autoencoders, for ``transfer``: whose, how they start, what they train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from ae_jax import data
from ae_jax.lanes import Group, Lanes, lane_grid, stack_splits
from ae_jax.models import Classifier, ConvEncoder, conv_autoencoder
from ae_jax.objectives import autoencoder, classifier
from ae_jax.runs import Run
from ae_jax.types import Plan, PyTree, UsageError, hparams
from experiments import latent_space, reports
from experiments.common import Options, Setup
from experiments.comparison import Numbers
from experiments.running import Training

PRETRAINING = {"quick": 1, "full": 2}  # epochs of an autoencoder for one of a classifier


class Protocol(NamedTuple):
    """How a classifier is made of an encoder.

    latent: code sizes of the autoencoders; source: whose hyper-parameters they and the classifiers take.
    fresh: modules of the encoder that are replaced. trainable: what learns while the rest is frozen.
    reported: the report's numbers by quantity and by the name of the run.
    lengths: how long classifiers train, in epochs of the budget.
    fewer: the share of the labels that another training does with is one of so many.
    """

    latent: tuple[int, ...]
    source: latent_space.Protocol
    model: nn.Module
    fresh: tuple[str, ...]
    trainable: tuple[str, ...]
    reported: dict[str, Numbers]
    lengths: tuple[int, ...] = (1,)
    fewer: int | None = None


PROTOCOLS = {
    "B6": Protocol(
        (2, 10), latent_space.PROTOCOLS["B4"], ConvEncoder(latent=10), fresh=("Dense_1",), trainable=("Dense_1",),
        reported=reports.b.CLASSIFIER, lengths=(1, 2),
    ),
    "C3": Protocol(
        (2,), latent_space.PROTOCOLS["C2"], Classifier(ConvEncoder(2, reports.c.CHANNELS)), fresh=(),
        trainable=("Dense_0", "Dense_1", "head"), reported=reports.c.CLASSIFIER, fewer=40,
    ),
}  # fmt: skip


def numbers(options: Options) -> dict[str, float]:
    """The hyper-parameters, of autoencoders and classifiers alike."""
    return reports.best(PROTOCOLS[options.study].source.best, options.dataset)


def pretraining(setup: Setup) -> Training:
    """A group for each code size, a lane for each seed."""
    options, protocol = setup.options, PROTOCOLS[setup.options.study]
    objectives = {f"d={d}": autoencoder(conv_autoencoder(d, protocol.source.channels)) for d in protocol.latent}
    epochs = PRETRAINING[options.budget] * setup.budget.epochs
    return Training(setup.groups(objectives, protocol.source.optimizer, **numbers(options), epochs=epochs))


def read(path: Path, study: str) -> Run:
    """The autoencoder in a file, its one lane along an axis of seeds. UsageError unless it fits the protocol."""
    run = latent_space.read_model(path)
    wanted, found = PROTOCOLS[study].source.channels, run.model.encoder.channels
    if found != wanted:
        raise UsageError(f"{path}: an encoder with channels {found}, study {study} needs {wanted}")
    return run[np.newaxis]


def labels(setup: Setup) -> int | None:
    """How many a further training does with, if any. UsageError for more than there are."""
    (train, _), given = data.holdout(len(setup.dataset.train_images)), setup.options.labels
    if given is not None and not 1 <= given <= len(train):
        raise UsageError(f"--labels {given} is not allowed: give 1 to {len(train)}, the images that are trained on")
    fewer = PROTOCOLS[setup.options.study].fewer
    return max(1, len(train) // fewer) if given is None and fewer else given


def few_labels(setup: Setup, count: int) -> Training:
    """The classifiers of ``count`` labelled images, and a fourth as many to validate, in as many steps as of all."""
    train, validation = data.holdout(len(setup.dataset.train_images))
    epochs = [setup.budget.epochs * (len(train) // count)]
    splits = stack_splits([(train[:count], validation[: max(1, count // 4)])])
    return Training(groups(setup, epochs, min(count, setup.budget.batch_size)), splits)


def groups(setup: Setup, epochs: Sequence[int], batch_size: int) -> list[Group]:
    """A group for each way to start, lanes ``[epochs, seeds]``."""
    protocol = PROTOCOLS[setup.options.study]
    lanes = lane_grid(hparams(**numbers(setup.options)), epochs=epochs, seed=setup.seeds)
    objective = classifier(protocol.model)
    free, frozen = Plan(batch_size), Plan(batch_size, trainable=protocol.trainable)
    starts = {d: start(protocol, run, lanes) for d, run in autoencoders(setup).items()}
    pretrained = [
        Group(f"{how}, {d}", objective, training, lanes, layers)
        for how, training in (("frozen", frozen), ("fine-tuned", free))
        for d, layers in starts.items()
    ]
    return [*pretrained, Group("from scratch", objective, free, lanes)]


def autoencoders(setup: Setup) -> dict[str, Run]:
    """Those that were trained or read, ``[seeds]`` each, by code size."""
    return {f"d = {run.model.encoder.latent}": run for run in earlier(setup, "autoencoder").values()}


def earlier(setup: Setup, stage: str) -> dict[str, Run]:
    """What was trained or read in a stage before."""
    found = {name: run for name, run in setup.earlier.items() if name.startswith(stage)}
    return {name.removeprefix(stage).strip(): run for name, run in found.items()}


def start(protocol: Protocol, run: Run, lanes: Lanes) -> PyTree:
    """What a classifier keeps of each lane's encoder; NaN if the autoencoder diverged, as the classifier then does."""
    layers = {name: layer for name, layer in run.map(_encoder).items() if name not in protocol.fresh}
    layers = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (*lanes.shape, *leaf.shape[1:])), layers)
    return {"params": {"encoder": layers} if isinstance(protocol.model, Classifier) else layers}


def _encoder(_, params: PyTree) -> PyTree:
    return params["params"]["encoder"]
