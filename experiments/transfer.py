"""Classifying digits with a pretrained encoder (report B, sections 2.3 and 3.3; C, 2.2 and 3.2; protocols B6, C3).

    python -m experiments.transfer --study B6 --dataset mnist --budget full

B6 takes the encoders of autoencoders with d = 2 and d = 10, replaces the last dense layer by one with ten classes,
and trains that layer alone (frozen, as the report's text says) or everything (fine-tuned), for 20 epochs (its section
3.3) and for 40 (2.3); the same network from scratch stands where the report has a CNN of an earlier homework, tuned for
itself. Reported: d = 2 test loss 0.115 and accuracy 0.9646, d = 10 0.064 and 0.9804, that CNN 0.9904. A linear layer
on frozen features of these sizes does not reach that: expect about 0.84 and 0.92 frozen, and the reported figures
fine-tuned. C3 freezes the convolutions, trains the two dense layers of the encoder and a new one of ten classes on the
two-dimensional code. Reported accuracy 0.95. As its premise is a smaller dataset, it also trains with a fortieth of the
labels, or as many as ``--labels`` says, in as many steps, on the encoders of all images. Beside both: a linear probe of
the codes. Draws learning curves and confusion matrices. ``--encoder`` takes the autoencoder of another run. Runtime
on two CPU cores: digits quick a minute, MNIST full: B6 8 minutes, C3 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from ae_jax import data, evaluation
from ae_jax.lanes import Group, Lanes, lane_grid, stack_splits
from ae_jax.models import Classifier, ConvEncoder, conv_autoencoder
from ae_jax.objectives import autoencoder, classifier
from ae_jax.runs import Run
from ae_jax.types import Plan, PyTree, UsageError, hparams
from experiments import common, comparison, latent_space, plotting, reports, running, study
from experiments.comparison import Numbers
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training


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
    labels: int | None = None
    """Labelled images of a further training of the classifiers, whose encoders have seen all images; the default is a
    fortieth of them for C3, and none for B6."""


def numbers(options: Options) -> dict[str, float]:
    """The hyper-parameters, of autoencoders and classifiers alike."""
    return reports.best(PROTOCOLS[options.study].source.best, options.dataset)


def plan(setup: Setup) -> Training:
    """The classifiers of all labels. The autoencoders, and the classifiers of few labels, are trained here before."""
    options, lengths = setup.options, PROTOCOLS[setup.options.study].lengths
    few = labels(setup)
    if options.encoder is None:
        running.train(setup, pretraining(setup), stage="autoencoder")
    else:
        setup.earlier["autoencoder"] = read(options.encoder, options.study)
    if few is not None:
        running.train(setup, few_labels(setup, few), stage="few labels")
    return Training(classifiers(setup, [setup.budget.epochs * length for length in lengths], setup.budget.batch_size))


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
    groups = classifiers(setup, epochs, min(count, setup.budget.batch_size))
    return Training(groups, stack_splits([(train[:count], validation[: max(1, count // 4)])]))


def classifiers(setup: Setup, epochs: Sequence[int], batch_size: int) -> list[Group]:
    """A group for each way to start, lanes ``[epochs, seeds]``."""
    protocol = PROTOCOLS[setup.options.study]
    lanes = lane_grid(hparams(**numbers(setup.options)), epochs=epochs, seed=setup.seeds)
    objective = classifier(protocol.model)
    free, frozen = Plan(batch_size), Plan(batch_size, trainable=protocol.trainable)
    starts = {d: start(protocol, run, lanes) for d, run in autoencoders(setup).items()}
    groups = [
        Group(f"{how}, {d}", objective, training, lanes, layers)
        for how, training in (("frozen", frozen), ("fine-tuned", free))
        for d, layers in starts.items()
    ]
    return [*groups, Group("from scratch", objective, free, lanes)]


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
    return {f"d = {run.model.encoder.latent}": run for run in earlier(setup, "autoencoder").values()}


def earlier(setup: Setup, stage: str) -> Runs:
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


def measure(setup: Setup, runs: Runs) -> Measured:
    """Losses and accuracies of every run, ``[runs, lengths, seeds]``; confusion and the probes are the first seed's."""
    options, images, truth = setup.options, setup.test_images, setup.dataset.test_labels
    scores = [evaluation.score(run, setup.key, setup.test) for run in runs.values()]
    predictions = [evaluation.predict(run[0, 0], images) for run in runs.values()]
    probes = {d: study.probe(setup, run[0]) for d, run in autoencoders(setup).items()}
    arrays = study.histories(runs) | {
        "runs": np.array(list(runs)),
        "epochs": np.array([setup.budget.epochs * length for length in PROTOCOLS[options.study].lengths]),
        "final_train_loss": np.array([at_the_end(run) for run in runs.values()]),
        "final_validation_loss": np.array([run.loss for run in runs.values()]),
        "test_loss": np.array([score["loss"] for score in scores]),
        "test_accuracy": np.array([score["accuracy"] for score in scores]),
        "confusion": np.array([evaluation.confusion(truth, classes) for classes in predictions]),
        "probe_accuracy": np.array(list(probes.values())),
    }
    rows = [*table(options.study, arrays)]
    rows += comparison.rows(f"{options.study} linear probe of the codes, {{}}", probes, probes.values(), None, True)
    if few := earlier(setup, "few labels"):
        scores = [evaluation.score(run, setup.key, setup.test) for run in few.values()]
        arrays["few_labels"] = np.array(labels(setup))
        arrays["few_test_accuracy"] = np.array([score["accuracy"][0] for score in scores])
        what = f"{options.study} {{}}, {labels(setup):,} labels: test accuracy"
        rows += comparison.rows(what, few, arrays["few_test_accuracy"], None, True)
    steps = {name: 1e3 * run.cost.train_seconds * run.plan.batch_size / run.cost.images for name, run in runs.items()}
    rows += comparison.rows(f"{options.study} {{}}: milliseconds a step, validation included", steps, steps.values())
    return Measured(arrays, rows, config=numbers(options))


def table(name: str, arrays: dict[str, np.ndarray]) -> Iterator[Row]:
    """Every run's test loss and accuracy, and of the other losses those that the report tells."""
    runs, lengths, final = arrays["runs"].tolist(), arrays["epochs"], arrays["final_validation_loss"]
    of_epochs = np.nansum(arrays["validation_loss"], -1) / lengths[:, None]
    quantities = {
        "training loss": arrays["final_train_loss"],
        "validation loss": final,
        "validation loss, mean of the epochs": np.where(np.isfinite(final), of_epochs, np.nan),
        "test loss": arrays["test_loss"],
        "test accuracy": arrays["test_accuracy"],
    }
    for length, epochs in enumerate(lengths):
        where = f", {epochs} epochs" if len(lengths) > 1 else ""
        for quantity, values in quantities.items():
            reported = PROTOCOLS[name].reported.get(quantity.split(",")[0], Numbers({}))
            told = [run for run in runs if quantity.startswith("test") or run in reported.values]
            ours = [values[runs.index(run), length] for run in told]
            what = f"{name} {{}}{where}: {quantity}"
            yield from comparison.rows(what, told, ours, reported, quantity == "test accuracy")


def at_the_end(run: Run) -> np.ndarray:
    """The training loss of each lane's last epoch: ``[*run.shape]``."""
    return np.take_along_axis(run.curves.train_loss, run.epochs[..., None] - 1, -1)[..., 0]


def draw(saved: Saved) -> Paths:
    """Learning curves of the longest trainings, and confusion matrices."""
    names, curves = saved.arrays["runs"].tolist(), (saved.arrays["train_loss"], saved.arrays["validation_loss"])
    panels = {
        name: plotting.series(("training", "validation"), [of_part[run, -1] for of_part in curves])
        for run, name in enumerate(names)
    }
    yield from saved.draw(
        plotting.line_panels, "curves", panels, xlabel="epoch", ylabel="cross-entropy (nats)",
        title="Classifiers from pretrained encoders",
    )  # fmt: skip
    panels = dict(zip(names, saved.arrays["confusion"], strict=True))
    title = "Confusion matrices on the test set, first seed"
    yield from saved.draw(plotting.confusion_matrices, "confusion", panels, title=title)


STUDY = Study("transfer", Options, BUDGETS, plan, measure, draw, deviations=("encoder", "labels"))

if __name__ == "__main__":
    study.main(STUDY)
