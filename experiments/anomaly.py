"""Anomaly detection by reconstruction error: a digit that was never trained on stands out (beyond the reports).

    python -m experiments.anomaly --dataset mnist --budget full

Report E names anomaly detection among the uses of autoencoders. For each digit a dense autoencoder is trained on the
other nine and scores the test set by its reconstruction error; the area under the ROC curve (AUC) tells the left-out
digit from the rest. The ten are lanes of one program that differ in their training split. Expected on MNIST: digits
with much ink (0, 2, 8) far above 0.5, the digit 1, whose few strokes any decoder can draw, below it. Runtime on two
CPU cores: digits quick half a minute, MNIST full 10 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ae_jax import engine, evaluation, plotting, results, trials
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError, hparams
from experiments import common, running
from experiments.report import Row

STUDY = "anomaly"
DIGITS = np.arange(10)
LATENT, WIDTHS = 32, (256, 128)
SHOWN = 10  # images of each row of the sheet

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=40, batch_size=64),
        "mnist": common.Budget(epochs=4, batch_size=128, limit=10_000),
    },
    "full": {
        "digits": common.Budget(epochs=200, batch_size=64),
        "mnist": common.Budget(epochs=30, batch_size=128),
    },
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Detect a left-out digit by its reconstruction error."""


def study(options: Options) -> Path | None:
    """Train ten times on nine digits, score the test set, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    labels = dataset.test_labels
    if missing := set(DIGITS.tolist()) - set(labels.tolist()):
        raise UsageError(f"no test image of {', '.join(map(str, sorted(missing)))}: give a larger --limit")
    none = np.empty(0, np.int32)
    splits = trials.stack_splits([(np.flatnonzero(dataset.train_labels != digit), none) for digit in DIGITS])
    seeds = common.seeds(setting)
    model = dense_autoencoder(LATENT, WIDTHS)
    lanes = trials.make_lanes(
        hparams(epochs=budget.epochs), seed=np.tile(seeds, len(DIGITS)), split=np.repeat(DIGITS, len(seeds))
    )
    groups = [engine.Group("nine digits", autoencoder(model), Plan(budget.batch_size), lanes)]
    runs = running.train(STUDY, setting, groups, splits)
    if not running.is_writer():
        return None

    test = common.unit_images(dataset.test_images)
    errors = evaluation.reconstruction_errors(model, runs[0].params, test, test)
    errors = running.unless_diverged(errors.T, runs[0].status).T.reshape(len(DIGITS), len(seeds), -1)
    most = np.argsort(-errors[:, 0], axis=1)[:, :SHOWN]
    arrays = {
        "digit": DIGITS,
        "seed": seeds,
        "label": labels,
        "errors": errors,
        "auc": np.array([[auc(run, labels == digit) for run in of] for digit, of in zip(DIGITS, errors, strict=True)]),
        "train_loss": runs[0].train_loss.reshape(len(DIGITS), len(seeds), -1),
        "most_anomalous": dataset.test_images[most] / np.float32(255),
    }
    rows = [Row(f"AUC, digit {k} left out", None, of, True) for k, of in zip(DIGITS, arrays["auc"], strict=True)]
    rows.append(Row("AUC, mean over digits", None, arrays["auc"].mean(0), True))
    npz = running.save(STUDY, setting, runs, arrays, rows, latent=LATENT, widths=WIDTHS)
    return running.finish(setting, npz, draw(npz), STUDY)


def auc(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """Area under the ROC curve: how often an anomaly scores above a normal example; NaN for scores that are.

    ``scores [n]`` are the higher the more anomalous; ``anomalous [n]`` is bool.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(anomalous, scores)) if np.isfinite(scores).all() else np.nan


def draw(npz: Path) -> list[Path]:
    """AUC of each digit, errors of the easiest and the hardest one, the most anomalous images: from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    digits, caption, mean = arrays["digit"], meta["caption"], arrays["auc"].mean(1)
    paths = plotting.bar_panels(
        npz.with_name(f"{STUDY}_auc"), [f"digit {k}" for k in digits], {"area under the ROC curve": arrays["auc"]},
        title="Telling a left-out digit by its error", caption=caption,
    )  # fmt: skip
    for which, row in (("easiest", np.nanargmax(mean)), ("hardest", np.nanargmin(mean))):
        left_out, errors = arrays["label"] == digits[row], arrays["errors"][row, 0]
        edges = np.histogram_bin_edges(errors, bins=30)
        series = [
            plotting.Series(label, (edges[1:] + edges[:-1]) / 2, np.histogram(group, edges, density=True)[0], "")
            for label, group in (("other digits", errors[~left_out]), (f"digit {digits[row]}", errors[left_out]))
        ]
        paths += plotting.line_plot(
            npz.with_name(f"{STUDY}_{which}"), series, from_zero=True, xlabel="reconstruction MSE per pixel",
            ylabel="density of the test images", caption=caption,
            title=f"The {which} digit to tell: {digits[row]}, AUC {arrays['auc'][row, 0]:.3f}",
        )  # fmt: skip
    return paths + plotting.image_sheet(
        npz.with_name(f"{STUDY}_images"), list(arrays["most_anomalous"]), [f"without {k}" for k in digits],
        title="Test images with the largest error, by the digit left out", caption=caption,
    )  # fmt: skip


if __name__ == "__main__":
    common.main(Options, study)
