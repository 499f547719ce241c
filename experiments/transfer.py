"""Classifying digits with a pretrained encoder (report B, sections 2.3 and 3.3; C, 2.2 and 3.2; protocols B6, C3).

    python -m experiments.transfer --study B6 --dataset mnist --budget full

B6 takes the encoders of autoencoders with d = 2 and d = 10, replaces the last dense layer by one with ten classes,
and trains that layer alone (frozen, as the report's text says) or everything (fine-tuned), for 20 epochs (its section
3.3) and for 40 (2.3); the same network from scratch stands where the report has a CNN of an earlier homework, tuned for
itself. Reported: d = 2 test loss 0.115 and accuracy 0.9646, d = 10 0.064 and 0.9804, that CNN 0.9904. A linear layer
on frozen features of these sizes does not reach that: expect about 0.81 and 0.92 frozen, and the reported figures
fine-tuned. C3 freezes the convolutions, trains the two dense layers of the encoder and a new one of ten classes on the
two-dimensional code. Reported accuracy 0.95. As its premise is a smaller dataset, it also trains with a fortieth of the
labels, or as many as ``--labels`` says, in as many steps, on the encoders of all images. Beside both: a linear probe of
the codes. Draws learning curves and confusion matrices. ``--encoder`` takes the autoencoder of another run. Runtime
on two CPU cores: digits quick a minute, MNIST full: B6 8 minutes, C3 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from ae_jax import evaluation
from ae_jax.runs import Run
from experiments import classifiers, common, comparison, plotting, running, sheets, study
from experiments.classifiers import PROTOCOLS
from experiments.comparison import Numbers
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

BUDGETS = common.budgets(
    digits=Budget(epochs=40, batch_size=64),
    mnist=Budget(epochs=3, batch_size=128, limit=10_000),
    full=Budget(epochs=20, batch_size=128),
)


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


def plan(setup: Setup) -> Training:
    """The classifiers of all labels. The autoencoders, and the classifiers of few labels, are trained here before."""
    options, lengths = setup.options, PROTOCOLS[setup.options.study].lengths
    few = classifiers.labels(setup)
    if options.encoder is None:
        running.train(setup, classifiers.pretraining(setup), stage="autoencoder")
    else:
        setup.earlier["autoencoder"] = classifiers.read(options.encoder, options.study)
    if few is not None:
        running.train(setup, classifiers.few_labels(setup, few), stage="few labels")
    epochs = [setup.budget.epochs * length for length in lengths]
    return Training(classifiers.groups(setup, epochs, setup.budget.batch_size))


def measure(setup: Setup, runs: Runs) -> Measured:
    """Losses and accuracies of every run, ``[runs, lengths, seeds]``; confusion and the probes are the first seed's."""
    options, images, truth = setup.options, setup.test_images, setup.dataset.test_labels
    scores = [evaluation.score(run, setup.key, setup.test) for run in runs.values()]
    predictions = [evaluation.predict(run[0, 0], images) for run in runs.values()]
    probes = {d: study.probe(setup, run[0]) for d, run in classifiers.autoencoders(setup).items()}
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
    if few := classifiers.earlier(setup, "few labels"):
        scores = [evaluation.score(run, setup.key, setup.test) for run in few.values()]
        arrays["few_labels"] = np.array(classifiers.labels(setup))
        arrays["few_test_accuracy"] = np.array([score["accuracy"][0] for score in scores])
        what = f"{options.study} {{}}, {classifiers.labels(setup):,} labels: test accuracy"
        rows += comparison.rows(what, few, arrays["few_test_accuracy"], None, True)
    what = f"{options.study} {{}}: milliseconds a step, validation included"
    rows += comparison.rows(what, runs, map(milliseconds, runs.values()))
    return Measured(arrays, rows, config=classifiers.numbers(options))


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


def milliseconds(run: Run) -> float:
    """What a step took; NaN for a run that was done when it was resumed."""
    steps = run.cost.images / run.plan.batch_size
    return 1e3 * run.cost.train_seconds / steps if steps else np.nan


def draw(saved: Saved) -> Paths:
    """Learning curves of the longest trainings, and confusion matrices."""
    names, curves = saved.arrays["runs"], (saved.arrays[f"{part}_loss"][:, -1] for part in ("train", "validation"))
    panels = plotting.learning_curves(names, *curves)
    yield from saved.draw(
        plotting.line_panels, "curves", panels, xlabel="epoch", ylabel="cross-entropy (nats)",
        title="Classifiers from pretrained encoders",
    )  # fmt: skip
    panels = dict(zip(names, saved.arrays["confusion"], strict=True))
    title = "Confusion matrices on the test set, first seed"
    yield from saved.draw(sheets.confusion_matrices, "confusion", panels, title=title)


STUDY = Study("transfer", Options, BUDGETS, plan, measure, draw, deviations=("encoder", "labels"))

if __name__ == "__main__":
    study.main(STUDY)
