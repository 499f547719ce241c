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

from ae_jax import evaluation
from ae_jax.lanes import Group, Lanes, lane_grid
from ae_jax.models import Classifier, ConvEncoder, conv_autoencoder
from ae_jax.objectives import autoencoder, classifier
from ae_jax.runs import Run
from ae_jax.types import Plan, PyTree, UsageError, hparams
from experiments import common, comparison, latent_space, plotting, reports, running, study
from experiments.comparison import Numbers
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training


class Protocol(NamedTuple):
    """How a classifier is made of an encoder.

    latent: code sizes of the autoencoders; source: whose hyper-parameters they and the classifiers take.
    fresh: modules of the encoder that are replaced. trainable: what learns while the rest is frozen.
    losses, accuracies: the report's of the test images, by the name of the run.
    """

    latent: tuple[int, ...]
    source: latent_space.Protocol
    model: nn.Module
    fresh: tuple[str, ...]
    trainable: tuple[str, ...]
    losses: Numbers | None
    accuracies: Numbers


PROTOCOLS = {
    "B6": Protocol(
        (2, 10), latent_space.PROTOCOLS["B4"], ConvEncoder(latent=10), fresh=("Dense_1",), trainable=("Dense_1",),
        losses=reports.b.CLASSIFIER_LOSS, accuracies=reports.b.CLASSIFIER_ACCURACY,
    ),
    "C3": Protocol(
        (2,), latent_space.PROTOCOLS["C2"], Classifier(ConvEncoder(2, reports.c.CHANNELS)), fresh=(),
        trainable=("Dense_0", "Dense_1", "head"), losses=None, accuracies=reports.c.CLASSIFIER_ACCURACY,
    ),
}  # fmt: skip
BUDGETS = common.budgets(
    digits=Budget(epochs=40, batch_size=64),
    mnist=Budget(epochs=3, batch_size=128, limit=10_000),
    full=Budget(epochs=20, batch_size=128),
)
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
    return reports.best(PROTOCOLS[options.study].source.best, options.dataset)


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
    protocol, scores = PROTOCOLS[options.study], [evaluation.score(run, setup.key, setup.test) for run in runs.values()]
    predictions = [evaluation.predict(run[0], images) for run in runs.values()]
    probes = {d: study.probe(setup, run[0]) for d, run in autoencoders(setup).items()}
    arrays = study.histories(runs) | {
        "runs": np.array(list(runs)),
        "test_loss": np.array([score["loss"] for score in scores]),
        "test_accuracy": np.array([score["accuracy"] for score in scores]),
        "confusion": np.array([evaluation.confusion(labels, classes) for classes in predictions]),
        "probe_accuracy": np.array(list(probes.values())),
    }
    what = f"{options.study} {{}}: test"
    losses = comparison.rows(f"{what} loss", runs, arrays["test_loss"], protocol.losses)
    accuracies = comparison.rows(f"{what} accuracy", runs, arrays["test_accuracy"], protocol.accuracies, True)
    rows = [row for of_run in zip(losses, accuracies, strict=True) for row in of_run]
    rows += comparison.rows(f"{options.study} linear probe of the codes, {{}}", probes, probes.values(), None, True)
    return Measured(arrays, rows, config=numbers(options))


def draw(saved: Saved) -> Paths:
    """Learning curves and confusion matrices."""
    names = saved.arrays["runs"].tolist()
    yield from saved.draw(
        plotting.line_plot, "curves", plotting.series(names, saved.arrays["validation_loss"]), xlabel="epoch",
        ylabel="validation cross-entropy (nats)", title="Classifiers from pretrained encoders", from_zero=True,
    )  # fmt: skip
    panels = dict(zip(names, saved.arrays["confusion"], strict=True))
    title = "Confusion matrices on the test set, first seed"
    yield from saved.draw(plotting.confusion_matrices, "confusion", panels, title=title)


STUDY = Study("transfer", Options, BUDGETS, plan, measure, draw, deviations=("encoder",))

if __name__ == "__main__":
    study.main(STUDY)
