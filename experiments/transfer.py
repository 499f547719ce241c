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
import jax.numpy as jnp
import numpy as np

from ae_jax import engine, evaluation, latent, plotting, results, trials
from ae_jax.models import Autoencoder, Classifier, ConvEncoder, conv_autoencoder
from ae_jax.objectives import autoencoder, classifier
from ae_jax.types import Plan, PyTree, UsageError, hparams
from experiments import common, latent_space, pretrained, running
from experiments.report import Row

STUDY = "transfer"
PROBED = 10_000  # training images that the linear probe learns from


class Study(NamedTuple):
    """How a classifier is made of an encoder.

    latent: code sizes of the autoencoders; source: whose hyper-parameters they and the classifiers take.
    fresh: modules of the encoder that are replaced. trainable: what learns while the rest is frozen.
    """

    latent: tuple[int, ...]
    source: str
    model: nn.Module
    fresh: tuple[str, ...]
    trainable: tuple[str, ...]
    reported: dict[str, tuple[float | None, float]]  # run -> test loss, accuracy


_C_CHANNELS = latent_space.STUDIES["C2"].channels
STUDIES = {
    "B6": Study(
        (2, 10), "B4", ConvEncoder(latent=10), fresh=("Dense_1",), trainable=("Dense_1",),
        reported={
            "fine-tuned, d = 2": (0.115, 0.9646),
            "fine-tuned, d = 10": (0.064, 0.9804),
            "from scratch": (None, 0.9904),
        },
    ),
    "C3": Study(
        (2,), "C2", Classifier(ConvEncoder(2, _C_CHANNELS)), fresh=(), trainable=("Dense_0", "Dense_1", "head"),
        reported={"frozen, d = 2": (None, 0.95)},
    ),
}  # fmt: skip
BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=40, batch_size=64),
        "mnist": common.Budget(epochs=3, batch_size=128, limit=10_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), common.Budget(epochs=20, batch_size=128)),
}
PRETRAINING = {"quick": 1, "full": 2}  # epochs of the autoencoder for one of the classifier


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Classifiers from pretrained encoders: frozen, fine-tuned, and from scratch."""

    study: Literal["B6", "C3"] = "B6"
    """Whose: report B's (a new last layer) or report C's (frozen convolutions)."""
    encoder: Path | None = None
    """An npz of experiments.latent_space whose encoder is used instead of training autoencoders."""


def study(options: Options) -> Path | None:
    """Pretrain or read encoders, train the classifiers, test, save, draw, compare."""
    chosen = STUDIES[options.study]
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    name = f"{STUDY}/{options.study}"
    autoencoders, of_autoencoders = _autoencoders(setting, chosen, f"{name}_autoencoder")
    encoders = {f"d = {d}": params["params"]["encoder"] for d, (_, params) in autoencoders.items()}
    starts = {
        f"{how}, {d}": {layer: leaves for layer, leaves in encoder.items() if layer not in chosen.fresh}
        for how in ("frozen", "fine-tuned")
        for d, encoder in encoders.items()
    } | {"from scratch": None}
    numbers = _numbers(options, chosen)
    lanes = trials.make_lanes(hparams(**numbers, epochs=budget.epochs), seed=common.seeds(setting))
    nested = isinstance(chosen.model, Classifier)
    objective = classifier(chosen.model)
    groups = [
        engine.Group(
            label,
            objective,
            Plan(budget.batch_size, trainable=chosen.trainable if label.startswith("frozen") else None),
            lanes,
            layers and {"params": {"encoder": layers} if nested else layers},
        )
        for label, layers in starts.items()
    ]
    runs = running.train(name, setting, groups)
    if not running.is_writer():
        return None

    images, labels = common.unit_images(dataset.test_images), dataset.test_labels
    key = common.study_key(options)
    scores = [evaluation.score(objective, run.params, lanes.hparams, key, common.test_data(dataset)) for run in runs]
    predictions = [np.asarray(evaluation.predict(chosen.model, run.params, images)[0]) for run in runs]
    probes = {f"d = {d}": _probe(model, params, setting) for d, (model, params) in autoencoders.items()}
    arrays = {
        "runs": np.array(list(starts)),
        "status": np.array([run.status for run in runs]),
        "train_loss": np.array([run.train_loss for run in runs]),
        "validation_loss": np.array([run.validation_loss for run in runs]),
        "test_loss": np.array([score["loss"] for score in scores]),
        "test_accuracy": np.array([score["accuracy"] for score in scores]),
        "confusion": np.array([evaluation.confusion(labels, classes) for classes in predictions]),
        "probe_accuracy": np.array(list(probes.values())),
    }
    rows = []
    for label, score, run in zip(starts, scores, runs, strict=True):
        loss, accuracy = (running.unless_diverged(score[name], run.status) for name in ("loss", "accuracy"))
        reported_loss, reported_accuracy = chosen.reported.get(label, (None, None))
        rows.append(Row(f"{options.study} {label}: test loss", reported_loss, loss))
        rows.append(Row(f"{options.study} {label}: test accuracy", reported_accuracy, accuracy, True))
    rows += [Row(f"{options.study} linear probe of the codes, {d}", None, [value], True) for d, value in probes.items()]
    npz = running.save(
        name, setting, [*of_autoencoders, *runs], arrays, rows, deviations=("encoder",), study=options.study, **numbers
    )
    return running.finish(setting, npz, draw(npz), name, f"{name}_autoencoder")


def _autoencoders(
    setting: common.Setting, chosen: Study, name: str
) -> tuple[dict[int, tuple[Autoencoder, PyTree]], list[trials.Results]]:
    """Code size -> model and parameters with a lane for each seed; and the runs that made them, if any."""
    options, budget, _, _ = setting
    seeds = common.seeds(setting)
    if options.encoder is not None:
        model, params, _ = pretrained.read(options.encoder)
        wanted = latent_space.STUDIES[chosen.source].channels
        if model.encoder.channels != wanted:
            raise UsageError(
                f"{options.encoder}: an encoder with channels {model.encoder.channels}, "
                f"study {options.study} needs {wanted}"
            )
        repeated = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (len(seeds), *leaf.shape)), params)
        return {model.encoder.latent: (model, repeated)}, []
    source = latent_space.STUDIES[chosen.source]
    numbers = _numbers(options, chosen)
    epochs = PRETRAINING[options.budget] * budget.epochs
    lanes = trials.make_lanes(hparams(**numbers, epochs=epochs), seed=seeds)
    models = {d: conv_autoencoder(d, source.channels) for d in chosen.latent}
    groups = [
        engine.Group(f"autoencoder d={d}", autoencoder(model), Plan(budget.batch_size, source.optimizer), lanes)
        for d, model in models.items()
    ]
    runs = running.train(name, setting, groups)
    return {d: (model, run.params) for (d, model), run in zip(models.items(), runs, strict=True)}, runs


def _numbers(options: Options, chosen: Study) -> dict[str, float]:
    """Learning rate, L2 and dropout; on digits, ours."""
    return latent_space.STUDIES[chosen.source].numbers if options.dataset == "mnist" else latent_space.DIGITS_NUMBERS


def _probe(model: Autoencoder, params: PyTree, setting: common.Setting) -> float:
    """Accuracy of a linear probe of the first lane's codes."""
    lane = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), params)
    dataset = setting.dataset
    train, test = (
        latent.encode(model, lane, common.unit_images(x)) for x in (dataset.train_images[:PROBED], dataset.test_images)
    )
    return evaluation.linear_probe(train, dataset.train_labels[:PROBED], test, dataset.test_labels)


def draw(npz: Path) -> list[Path]:
    """Learning curves and confusion matrices, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    stem, caption = npz.with_suffix("").name, f"{meta['config']['study']}. {meta['caption']}"
    series = [
        plotting.Series(str(label), 1 + np.arange(curves.shape[1]), curves, marker="")
        for label, curves in zip(arrays["runs"], arrays["validation_loss"], strict=True)
    ]
    paths = plotting.line_plot(
        npz.with_name(f"{stem}_curves"), series, xlabel="epoch", ylabel="validation cross-entropy (nats)",
        title="Classifiers from pretrained encoders", caption=caption, from_zero=True,
    )  # fmt: skip
    panels = dict(zip(map(str, arrays["runs"]), arrays["confusion"], strict=True))
    title = "Confusion matrices on the test set, first seed"
    return paths + plotting.confusion_matrices(npz.with_name(f"{stem}_confusion"), panels, title=title, caption=caption)


if __name__ == "__main__":
    common.main(Options, study)
