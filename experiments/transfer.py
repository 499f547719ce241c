"""Classifying digits with a pretrained encoder (report B, sections 2.3 and 3.3; C, 2.2 and 3.2; protocols B6, C3).

    python -m experiments.transfer --study B6 --dataset mnist --budget full

B6 takes the encoders of autoencoders with d = 2 and d = 10, replaces the last dense layer by one with ten classes,
and trains that layer alone (frozen, as the report's text says) or everything (fine-tuned); the same network from
scratch stands where the report has a CNN of an earlier homework, tuned for itself. Reported: d = 2 test loss 0.115
and accuracy 0.9646, d = 10 0.064 and 0.9804, that CNN 0.9904. A linear layer on frozen features of these sizes does
not reach that: expect about 0.84 and 0.92 frozen, and the reported figures fine-tuned. C3 freezes the convolutions,
trains the two dense layers of the encoder and a new one of ten classes on the two-dimensional code. Reported
accuracy 0.95. Beside both: a linear probe of the codes. Draws learning curves and confusion matrices. ``--encoder``
takes the autoencoder of another run. Runtime on two CPU cores: digits quick a minute, MNIST full 4 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from ae_jax import evaluation, latent, plotting
from ae_jax.lanes import Group, Lanes, lane_grid
from ae_jax.models import Classifier, ConvEncoder, conv_autoencoder
from ae_jax.objectives import autoencoder, classifier
from ae_jax.runs import Run
from ae_jax.types import Plan, PyTree, UsageError, hparams
from experiments import common, latent_space, reported, running, study
from experiments.common import Budget, Setup
from experiments.report import Row
from experiments.running import Training
from experiments.study import Measured, Runs, Saved, Study

PROBED = 10_000  # training images that the linear probe learns from


class Protocol(NamedTuple):
    """How a classifier is made of an encoder.

    latent: code sizes of the autoencoders; source: whose hyper-parameters they and the classifiers take.
    fresh: modules of the encoder that are replaced. trainable: what learns while the rest is frozen.
    figures: the report's test loss and accuracy, by the name of the run.
    """

    latent: tuple[int, ...]
    source: latent_space.Protocol
    model: nn.Module
    fresh: tuple[str, ...]
    trainable: tuple[str, ...]
    figures: dict[str, tuple[float | None, float]]


PROTOCOLS = {
    "B6": Protocol(
        (2, 10), latent_space.PROTOCOLS["B4"], ConvEncoder(latent=10), fresh=("Dense_1",), trainable=("Dense_1",),
        figures={
            "fine-tuned, d = 2": (0.115, 0.9646),
            "fine-tuned, d = 10": (0.064, 0.9804),
            "from scratch": (None, 0.9904),
        },
    ),
    "C3": Protocol(
        (2,), latent_space.PROTOCOLS["C2"], Classifier(ConvEncoder(2, reported.C_CHANNELS)), fresh=(),
        trainable=("Dense_0", "Dense_1", "head"), figures={"frozen, d = 2": (None, 0.95)},
    ),
}  # fmt: skip
BUDGETS = {
    "quick": {
        "digits": Budget(epochs=40, batch_size=64),
        "mnist": Budget(epochs=3, batch_size=128, limit=10_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), Budget(epochs=20, batch_size=128)),
}
PRETRAINING = {"quick": 1, "full": 2}  # epochs of an autoencoder for one of a classifier


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Classifiers from pretrained encoders: frozen, fine-tuned, and from scratch."""

    study: Literal["B6", "C3"] = "B6"
    """Whose: report B's (a new last layer) or report C's (frozen convolutions)."""
    encoder: Path | None = None
    """A model of experiments.latent_space, .safetensors, whose encoder is used instead of training autoencoders."""


def numbers(options: Options) -> dict[str, float]:
    """The hyper-parameters, of autoencoders and classifiers alike."""
    return reported.best(PROTOCOLS[options.study].source.best, options.dataset)


def plan(setup: Setup) -> Training:
    """A group for each way to start, a lane for each seed. The autoencoders before that are trained or read here."""
    options, budget, protocol = setup.options, setup.budget, PROTOCOLS[setup.options.study]
    if options.encoder is None:
        running.train(setup, pretraining(setup), stage="autoencoder")
    else:
        setup.earlier["autoencoder"] = read(options.encoder, options.study)
    lanes = lane_grid(hparams(**numbers(options), epochs=budget.epochs), seed=setup.seeds)
    objective = classifier(protocol.model)
    free, frozen = Plan(budget.batch_size), Plan(budget.batch_size, trainable=protocol.trainable)
    starts = {d: start(protocol, run, lanes) for d, run in autoencoders(setup).items()}
    groups = [
        Group(f"{how}, {d}", objective, training, lanes, layers)
        for how, training in (("frozen", frozen), ("fine-tuned", free))
        for d, layers in starts.items()
    ]
    return Training([*groups, Group("from scratch", objective, free, lanes)])


def pretraining(setup: Setup) -> Training:
    """A group for each code size, a lane for each seed."""
    options, protocol = setup.options, PROTOCOLS[setup.options.study]
    epochs = PRETRAINING[options.budget] * setup.budget.epochs
    lanes = lane_grid(hparams(**numbers(options), epochs=epochs), seed=setup.seeds)
    models = {d: conv_autoencoder(d, protocol.source.channels) for d in protocol.latent}
    how = Plan(setup.budget.batch_size, protocol.source.optimizer)
    return Training([Group(f"d={d}", autoencoder(model), how, lanes) for d, model in models.items()])


def read(path: Path, study: str) -> Run:
    """The autoencoder in a file, its one lane along an axis of seeds. UsageError unless it fits the protocol."""
    run = latent_space.read_model(path)
    wanted, found = PROTOCOLS[study].source.channels, run.model.encoder.channels
    if found != wanted:
        raise UsageError(f"{path}: an encoder with channels {found}, study {study} needs {wanted}")
    return run[np.newaxis]


def autoencoders(setup: Setup) -> dict[str, Run]:
    """Those that were trained or read, ``[seeds]`` each, by code size."""
    return {f"d = {run.model.encoder.latent}": run for run in setup.earlier.values()}


def start(protocol: Protocol, run: Run, lanes: Lanes) -> PyTree:
    """What a classifier keeps of each lane's encoder; NaN if the autoencoder diverged, as the classifier then does."""
    layers = {name: layer for name, layer in run.map(_encoder).items() if name not in protocol.fresh}
    layers = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (*lanes.shape, *leaf.shape[1:])), layers)
    return {"params": {"encoder": layers} if isinstance(protocol.model, Classifier) else layers}


def _encoder(_, params: PyTree) -> PyTree:
    return params["params"]["encoder"]


def measure(setup: Setup, runs: Runs) -> Measured:
    """Test loss and accuracy of every run: ``[runs, seeds]``; confusion and the probes are the first seed's."""
    options, images, labels = setup.options, setup.test_images, setup.dataset.test_labels
    scores = {name: evaluation.score(run, setup.key, setup.test) for name, run in runs.items()}
    predictions = [evaluation.predict(run[0], images) for run in runs.values()]
    probes = {d: probe(setup, run[0]) for d, run in autoencoders(setup).items()}
    arrays = {
        "runs": np.array(list(runs)),
        "status": np.array([run.status for run in runs.values()]),
        "train_loss": np.array([run.curves.train_loss for run in runs.values()]),
        "validation_loss": np.array([run.curves.validation_loss for run in runs.values()]),
        "test_loss": np.array([score["loss"] for score in scores.values()]),
        "test_accuracy": np.array([score["accuracy"] for score in scores.values()]),
        "confusion": np.array([evaluation.confusion(labels, classes) for classes in predictions]),
        "probe_accuracy": np.array(list(probes.values())),
    }
    rows = []
    for name, score in scores.items():
        loss, accuracy = PROTOCOLS[options.study].figures.get(name, (None, None))
        rows.append(Row(f"{options.study} {name}: test loss", loss, score["loss"]))
        rows.append(Row(f"{options.study} {name}: test accuracy", accuracy, score["accuracy"], True))
    rows += [Row(f"{options.study} linear probe of the codes, {d}", None, [value], True) for d, value in probes.items()]
    return Measured(arrays, rows, config=numbers(options))


def probe(setup: Setup, run: Run) -> float:
    """Test accuracy of a linear probe of a lane's codes."""
    dataset = setup.dataset
    train, test = (latent.encode(run, images) for images in (setup.train_images[:PROBED], setup.test_images))
    return evaluation.linear_probe(train, dataset.train_labels[:PROBED], test, dataset.test_labels)


def draw(saved: Saved) -> list[Path]:
    """Learning curves and confusion matrices."""
    names, caption = saved.arrays["runs"].tolist(), saved.caption
    series = [
        plotting.Series(name, 1 + np.arange(curves.shape[1]), curves, marker="")
        for name, curves in zip(names, saved.arrays["validation_loss"], strict=True)
    ]
    paths = plotting.line_plot(
        saved.place("curves"), series, xlabel="epoch", ylabel="validation cross-entropy (nats)",
        title="Classifiers from pretrained encoders", caption=caption, from_zero=True,
    )  # fmt: skip
    panels = dict(zip(names, saved.arrays["confusion"], strict=True))
    title = "Confusion matrices on the test set, first seed"
    return paths + plotting.confusion_matrices(saved.place("confusion"), panels, title=title, caption=caption)


STUDY = Study("transfer", Options, BUDGETS, plan, measure, draw, deviations=("encoder",))

if __name__ == "__main__":
    study.main(STUDY)
