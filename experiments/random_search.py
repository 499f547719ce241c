"""Random searches of the reports (protocols A1, B3, C1), each with its own priors.

    python -m experiments.random_search --study A1 --dataset mnist --budget full --resume
    python -m experiments.random_search --study B3 --trials-from best.csv --export csv

A1 is report A's search over learning rate, L2, dropout and epochs (174 trials, best validation MSE 0.0320), B3
report B's with 5-fold cross-validation (5 trials, 0.0187), C1 report C's over architectures with early stopping
(50 trials, 0.04). Validation alone selects; the best trial is then tested once. Writes an npz with every trial's
hyper-parameters, curves and status, and draws the report's Fig. 1, a scatter for each hyper-parameter and parallel
coordinates. On two CPU cores, MNIST in full: 64 trials of A1 took 31 minutes, B3 24; digits quick half a minute.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from ae_jax import data, evaluation, interactive, plotting, results, search, trials
from ae_jax.engine import Halving
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import Objective, autoencoder
from ae_jax.optimizers import OPTIMIZERS
from ae_jax.search import choice, integer_uniform, log_uniform, uniform
from ae_jax.training import Data
from ae_jax.types import Plan, UsageError
from experiments import common, running, tables
from experiments.report import Row, print_table

STUDY = "random_search"
LOG = {"learning_rate", "l2"}  # drawn on logarithmic axes


def build(latent=4, conv1=8, conv2=16, conv3=32, hidden=64, batch_size=512, optimizer="adam") -> tuple[Objective, Plan]:
    """What the statics of a trial select. Its parameters are the static names a table of trials may hold."""
    channels = {"conv1": conv1, "conv2": conv2, "conv3": conv3}
    sizes = {"latent": latent, **channels, "hidden": hidden, "batch_size": batch_size}
    for name, size in sizes.items():
        if not (isinstance(size, int) and size >= 1):
            raise UsageError(f"{name} {size} is not allowed: give a whole number of at least 1")
    if optimizer not in OPTIMIZERS:
        raise UsageError(f"optimizer {optimizer!r} is not allowed: choose one of {', '.join(OPTIMIZERS)}")
    model = conv_autoencoder(latent, tuple(channels.values()), hidden)
    return autoencoder(model), Plan(batch_size, optimizer)


class Study(NamedTuple):
    """A search of a report: its priors, given the number of epochs that stands for the report's most."""

    space: Callable[[int, int], dict[str, Any]]  # (epochs, batch size) -> priors and plain values
    folds: int = 1
    patience: int | None = None
    reported: float | None = None  # best validation MSE
    reported_test: float | None = None
    reported_spearman: float | None = None  # of the L2 penalty
    reported_best: str = ""


def space_a1(epochs: int, batch_size: int) -> dict[str, Any]:
    """Report A, section II; epochs are 10 to 50 in the full budget."""
    tenths = [max(1, round(epochs * share)) for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
    return {
        "learning_rate": log_uniform(1e-3, 1e-1),
        "l2": log_uniform(1e-4, 1e-2),
        "dropout": uniform(0.0, 0.25),
        "epochs": choice(tenths, p=[0.25, 0.25, 0.20, 0.20, 0.10]),
        "latent": 4,
        "batch_size": batch_size,
        "optimizer": "adamax",
    }


def space_b3(epochs: int, batch_size: int) -> dict[str, Any]:
    """Report B, section 3.1; the priors are ours. ``batch_size`` is the largest of four."""
    return {
        "learning_rate": log_uniform(1e-4, 1e-2),
        "dropout": uniform(0.0, 0.5),
        "latent": integer_uniform(2, 64),
        "batch_size": choice([max(1, batch_size // share) for share in (8, 4, 2, 1)]),
        "l2": 5e-5,
        "epochs": epochs,
    }


def space_c1(epochs: int, batch_size: int) -> dict[str, Any]:
    """Report C, section 2.1; the batch size is ours."""
    return {
        "conv1": choice([8, 16, 32, 64]),
        "conv2": choice([16, 32, 64]),
        "conv3": choice([32, 64]),
        "hidden": choice([32, 64]),
        "learning_rate": choice([1e-5, 1e-4, 1e-3]),
        "l2": choice([1e-5, 1e-4, 1e-3]),
        "dropout": uniform(0.1, 0.5),
        "epochs": epochs,
        "latent": 2,
        "batch_size": batch_size,
    }


STUDIES = {
    "A1": Study(
        space_a1,
        reported=0.0320,
        reported_spearman=0.979,
        reported_best="lr 0.0136, L2 1.08e-4, dropout 0.0216, 40 epochs",
    ),  # fmt: skip
    "B3": Study(
        space_b3,
        folds=5,
        reported=0.0187,
        reported_test=0.0187,
        reported_best="batch 128, lr 0.006, d 48, dropout 0.0775",
    ),  # fmt: skip
    "C1": Study(
        space_c1,
        patience=5,
        reported=0.04,
        reported_test=0.04,
        reported_best="8/16/64/64, lr 1e-3, L2 1e-5, dropout 0.1",
    ),  # fmt: skip
}
FULL_TRIALS = {"A1": 174, "B3": 5, "C1": 50}
QUICK_TRIALS = {"A1": 12, "B3": 2, "C1": 3}
BUDGETS = {
    study: {
        "quick": {
            "digits": common.Budget(epochs=10, batch_size=64),
            "mnist": common.Budget(epochs=5, batch_size=128, limit=10_000),
        },
        "full": dict.fromkeys(("digits", "mnist"), common.Budget(epochs, batch_size)),
    }
    for study, epochs, batch_size in (("A1", 50, 512), ("B3", 40, 512), ("C1", 50, 128))
}


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """Random search over the convolutional autoencoder, as one of the reports did it."""

    study: Literal["A1", "B3", "C1"] = "A1"
    """Whose search: report A's, B's (cross-validated) or C's (architectures, early stopping)."""
    trials: int | None = None
    """Number of trials; the default is the report's, or a few with the quick budget."""
    trials_from: Path | None = None
    """Run the hyper-parameters in this CSV or npz, a row each, instead of drawing them."""
    halving: tuple[int, int] | None = None
    """FIRST FACTOR: successive halving; at epochs FIRST, FIRST * FACTOR, ... only the best 1/FACTOR go on."""
    dry_run: bool = False
    """Print groups, programs, steps and memory, and train nothing."""
    export: Literal["csv"] | None = None
    """Also write the table of trials as CSV."""
    top: int = 10
    """Rows of the ranking to print."""


def study(options: Options) -> Path | None:
    """Draw or read the trials, run them, save, draw, rank, compare."""
    chosen = STUDIES[options.study]
    setting = common.prepare(options, BUDGETS[options.study])
    _, budget, dataset, _ = setting
    drawn = _trials(options, chosen.space(budget.epochs, budget.batch_size))
    searched = search.plan_search(drawn, build, seed=options.seed, folds=chosen.folds)
    count = len(dataset.train_images)
    folds = data.kfold(count, chosen.folds, options.seed) if chosen.folds > 1 else [data.holdout(count)]
    splits = trials.stack_splits(folds)
    halving = options.halving and Halving(*options.halving)
    name = f"{STUDY}/{options.study}"
    print(f"{options.study}: {searched}")
    if options.dry_run:
        running.dry_run(setting, searched.groups, splits)
        return None
    runs = running.train(name, setting, searched.groups, splits, chosen.patience, halving)
    if not running.is_writer():
        return None
    outcome = search.collect(searched, runs)
    best = int(outcome.ranking[0])
    if not np.isfinite(outcome.score[best]):
        raise UsageError("every trial diverged: narrow the priors towards smaller learning rates")
    arrays = tables.plain(drawn) | outcome._asdict()
    arrays |= _test_best(searched, runs, best, common.test_data(dataset), options)
    numbers = ", ".join(f"{name.replace('_', ' ')} {_range(drawn[name])}" for name in ("epochs", "batch_size"))
    npz = running.save(
        name, setting, runs, arrays, _rows(chosen, options.study, arrays),
        caption=f"{options.study}, {searched}. {common.describe(setting, numbers)}",
        deviations=deviations(options), study=options.study, folds=chosen.folds, patience=chosen.patience,
    )  # fmt: skip
    paths = draw(npz)
    if options.export:
        paths.append(tables.write_csv(npz.with_suffix(".csv"), tables.trial_rows(arrays)))
    print_ranking(npz, options.top)
    return running.finish(setting, npz, paths, name)


def deviations(options: Options) -> tuple[str, ...]:
    """The options that part a run from the report's protocol, if given: among them fewer trials, but not more."""
    fewer = options.trials is not None and options.trials < FULL_TRIALS[options.study]
    return ("trials_from", "halving", *(["trials"] if fewer else []))


def _trials(options: Options, space: Mapping[str, Any]) -> search.Trials:
    """The table of trials: drawn from the priors, or read from a file that may leave out the plain values."""
    if options.trials_from is None:
        count = options.trials or (FULL_TRIALS if options.budget == "full" else QUICK_TRIALS)[options.study]
        return search.sample(common.study_key(options), space, count)
    given = common.given(options, "epochs", "batch_size")
    fixed = {name: value for name, value in space.items() if not callable(value)} | given
    return tables.read_trials(options.trials_from, build, fixed, required=space, limit=options.trials, refuse=given)


def _test_best(searched: search.Search, runs, best: int, test_data: Data, options: Options) -> dict[str, np.ndarray]:
    """The parameters of the best trial and their test MSE, one for each fold."""
    group, lanes = search.trial_lanes(searched, best)
    per_lane = runs[group].params, searched.groups[group].lanes.hparams
    params, hparams = jax.tree.map(lambda leaf: leaf[lanes], per_lane)
    key = jax.random.fold_in(common.study_key(options), 1)
    test = evaluation.score(searched.groups[group].objective, params, hparams, key, test_data)["loss"]
    flat = flatten_dict(params["params"], sep="/")
    return {"best_test_mse": test} | {f"best_params/{path}": leaf for path, leaf in flat.items()}


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low}-{high}"


def draw(npz: Path) -> list[Path]:
    """Fig. 1 of report A, a scatter for each hyper-parameter, parallel coordinates: from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    drawn = tables.varying_numbers(arrays)
    if not drawn:  # a single trial, or the same one again and again
        return []
    caption, stem, score = meta["caption"], npz.with_suffix("").name, arrays["score"]
    scatter = functools.partial(
        plotting.scatter_grid, y=score, log_x=LOG, ylabel="validation MSE per pixel", caption=caption
    )
    title = "Validation error against each hyper-parameter"
    paths = scatter(npz.with_name(f"{stem}_scatter"), drawn, title=title)
    if "l2" in drawn:
        title = "Fig. 1  Error against the L2 penalty"
        paths += scatter(npz.with_name(f"{stem}_fig1_l2"), {"l2": drawn["l2"]}, title=title)
    page = npz.with_name(f"{stem}_parallel.html")
    return [*paths, interactive.parallel_coordinates(page, drawn | {"validation MSE": score}, log=LOG, title=caption)]


def _correlations(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Spearman's rank correlation of each hyper-parameter that varies with the validation error."""
    from scipy.stats import spearmanr

    finite = np.isfinite(arrays["score"])
    varying = {name: values[finite] for name, values in tables.varying_numbers(arrays).items()}
    return {
        name: float(spearmanr(values, arrays["score"][finite]).statistic)
        for name, values in varying.items()
        if len(np.unique(values)) > 1
    }


def _rows(chosen: Study, protocol: str, arrays: dict[str, np.ndarray]) -> list[Row]:
    best = arrays["ranking"][0]
    rows = [
        Row(f"{protocol} best validation MSE", chosen.reported, [arrays["score"][best]]),
        Row(f"{protocol} its test MSE", chosen.reported_test, arrays["best_test_mse"]),
    ]
    if "l2" in (correlations := _correlations(arrays)) and chosen.reported_spearman:
        rows.append(Row(f"{protocol} Spearman(L2, MSE)", chosen.reported_spearman, [correlations["l2"]], True))
    return rows


def print_ranking(npz: Path, top: int) -> None:
    """The best trials and the rank correlations."""
    arrays, meta = results.load(npz, STUDY)
    rows = tables.trial_rows(arrays)
    header = [name for name in rows[0] if not name.startswith("fold_")]
    ranked = [[tables.text(row[name]) for name in header] for row in rows[:top]]
    best = (
        f"{min(top, len(rows))} of {len(rows)} trials. Report's best: {STUDIES[meta['config']['study']].reported_best}"
    )
    print_table("Ranking by validation MSE", header, ranked, best)
    if correlations := [(name, f"{rho:+.3f}") for name, rho in _correlations(arrays).items()]:
        print_table("Spearman rank correlation with the validation MSE", ("", "rho"), correlations)


if __name__ == "__main__":
    common.main(Options, study)
