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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flax.traverse_util import flatten_dict

from ae_jax import data, evaluation, random_search
from ae_jax.engine import Halving
from ae_jax.lanes import stack_splits
from experiments import common, interactive, plotting, study, tables
from experiments.comparison import print_table
from experiments.spaces import BUDGETS, FULL_TRIALS, PROTOCOLS, QUICK_TRIALS, Protocol, build
from experiments.study import Measured, Paths, Row, Runs, Saved, Setup, Study, Training

KEPT_AS = {"loss": "score", "fold_loss": "fold_score"}  # of a trial, in the npz and the table
LOG = {"learning_rate", "l2"}  # drawn on logarithmic axes


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


@functools.lru_cache(maxsize=1)
def planned(setup: Setup) -> random_search.Planned:
    """The trials, drawn or read, sorted into groups of lanes."""
    options, budget, protocol = setup.options, setup.budget, PROTOCOLS[setup.options.study]
    drawn = _trials(setup, protocol.space(budget.epochs, budget.batch_size))
    return random_search.plan_search(drawn, build, seed=options.seed, folds=protocol.folds)


def plan(setup: Setup) -> Training:
    """A lane for each trial and fold."""
    options, protocol, searched = setup.options, PROTOCOLS[setup.options.study], planned(setup)
    print(f"{options.study}: {searched}")
    count = len(setup.dataset.train_images)
    folds = data.kfold(count, protocol.folds, options.seed) if protocol.folds > 1 else [data.holdout(count)]
    halving = options.halving and Halving(*options.halving)
    early = protocol.patience is not None
    return Training(searched.groups, stack_splits(folds), protocol.patience, keep_best=early, halving=halving)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Trials, curves and ranking; the test error of the best trial, by each of its folds."""
    options, protocol, searched = setup.options, PROTOCOLS[setup.options.study], planned(setup)
    outcome = random_search.collect(searched, list(runs.values()))
    best = random_search.trial_run(list(runs.values()), int(outcome.ranking[0]))
    arrays = tables.plain(searched.trials)
    arrays |= {KEPT_AS.get(name, name): values for name, values in outcome._asdict().items()}
    arrays["best_test_mse"] = evaluation.score(best, setup.child(3), setup.test)["loss"]
    arrays |= {f"best_params/{path}": leaf for path, leaf in flatten_dict(best.params["params"], sep="/").items()}
    numbers = (f"{name.replace('_', ' ')} {_range(searched.trials[name])}" for name in ("epochs", "batch_size"))
    caption = f"{options.study}, {searched}. {common.describe(setup, ', '.join(numbers))}"
    config = {"folds": protocol.folds, "patience": protocol.patience}
    return Measured(arrays, _rows(protocol, options.study, arrays), caption, config)


def deviations(options: Options) -> tuple[str, ...]:
    """The options that part a run from the report's protocol, if given: among them fewer trials, but not more."""
    fewer = options.trials is not None and options.trials < FULL_TRIALS[options.study]
    return ("trials_from", "halving", *(["trials"] if fewer else []))


def _trials(setup: Setup, space: Mapping[str, Any]) -> random_search.Trials:
    """The table of trials: drawn from the priors, or read from a file that may leave out the plain values."""
    options = setup.options
    if options.trials_from is None:
        count = options.trials or (FULL_TRIALS if options.budget == "full" else QUICK_TRIALS)[options.study]
        return random_search.sample(setup.key, space, count)
    given = common.given(options, "epochs", "batch_size")
    fixed = {name: value for name, value in space.items() if not callable(value)} | given
    return tables.read_trials(options.trials_from, build, fixed, required=space, limit=options.trials, refuse=given)


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low}-{high}"


def draw(saved: Saved) -> Paths:
    """Fig. 1 of report A, a scatter for each hyper-parameter, parallel coordinates."""
    drawn, score = tables.varying_numbers(saved.arrays), saved.arrays["score"]
    if not drawn:  # a single trial, or the same one again and again
        return
    panels = {"scatter": (drawn, "Validation error against each hyper-parameter")}
    if "l2" in drawn:
        panels["fig1_l2"] = {"l2": drawn["l2"]}, "Fig. 1  Error against the L2 penalty"
    for name, (columns, title) in panels.items():
        yield from saved.draw(
            plotting.scatter_grid, name, columns, score, log_x=LOG, ylabel="validation MSE per pixel", title=title
        )
    columns, page = drawn | {"validation MSE": score}, saved.place("parallel").with_suffix(".html")
    yield interactive.parallel_coordinates(page, columns, log=LOG, title=saved.caption)


def _rows(protocol: Protocol, name: str, arrays: dict[str, np.ndarray]) -> list[Row]:
    best = arrays["ranking"][0]
    rows = [
        Row(f"{name} best validation MSE", protocol.reported, [arrays["score"][best]], source=protocol.source),
        Row(f"{name} its test MSE", protocol.reported_test, arrays["best_test_mse"]),
    ]
    if "l2" in (correlations := tables.correlations(arrays)) and protocol.reported_spearman:
        spearman = [correlations["l2"]]
        rows.append(Row(f"{name} Spearman(L2, MSE)", protocol.reported_spearman, spearman, True, protocol.source))
    return rows


def export(setup: Setup, runs: Runs, saved: Saved) -> list[Path]:
    """The table of trials as CSV, if asked for."""
    if setup.options.export is None:
        return []
    return [tables.write_csv(saved.npz.with_suffix(".csv"), tables.trial_rows(saved.arrays))]


def show(saved: Saved) -> None:
    """The best trials and the rank correlations."""
    ranked = tables.trial_rows(saved.arrays)
    top = min(saved.meta["config"]["options"]["top"], len(ranked))
    header = [name for name in ranked[0] if not name.startswith("fold_")]
    cells = [[random_search.short(trial[name]) for name in header] for trial in ranked[:top]]
    best = f"{top} of {len(ranked)} trials. Report's best: {PROTOCOLS[saved.meta['config']['study']].reported_best}"
    print_table("Ranking by validation MSE", header, cells, best)
    if correlations := [(name, f"{rho:+.3f}") for name, rho in tables.correlations(saved.arrays).items()]:
        print_table("Spearman rank correlation with the validation MSE", ("", "rho"), correlations)


STUDY = Study(
    "random_search", Options, lambda options: BUDGETS[options.study], plan, measure, draw, show, export, deviations,
)  # fmt: skip

if __name__ == "__main__":
    study.main(STUDY)
