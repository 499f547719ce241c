"""Random searches of the reports (protocols A1, B3, C1, and B7's), each with its own priors.

    python -m experiments.random_search --study A1 --dataset mnist --budget full --resume
    python -m experiments.random_search --study B3 --trials-from best.csv --export csv
    python -m experiments.random_search --study C1 --noise 0.5 --latent 2 4 8 --dropout 0.1 0.5 --out results/c1-noise

A1 is report A's search over learning rate, L2, dropout and epochs (174 trials, best validation MSE 0.0320), B3
report B's with 5-fold cross-validation (5 trials, 0.0187), C1 report C's over architectures with early stopping
(50 trials, 0.04), B7 the search that report B proposes for its VAE, over the size of the code, the variance of the
likelihood, L2 and learning rate. B3, B7 and C1 train the report's best beside the drawn trials, B3 also by other L2
penalties. Validation alone selects; the best trial is then tested once. Writes an npz with every trial's
hyper-parameters, curves and status, and draws the report's Fig. 1, a scatter for each hyper-parameter, parallel
coordinates, and of the best trial curves, reconstructions and a table. On two CPU cores, MNIST in full: 64 trials of A1
took 31 minutes, B3 about 35; digits quick half a minute.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from ae_jax import corruptions, data, evaluation, random_search
from ae_jax.engine import Halving
from ae_jax.lanes import stack_splits
from ae_jax.objectives import Objective
from ae_jax.types import Plan, UsageError
from experiments import common, search_results, study, tables
from experiments.spaces import BUDGETS, FULL_TRIALS, PROTOCOLS, QUICK_TRIALS, under_noise
from experiments.study import Measured, Runs, Saved, Setup, Study, Training

KEPT_AS = {"loss": "score", "fold_loss": "fold_score"}  # of a trial, in the npz and the table
SHOWN = 10  # images on the sheet


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """Random search over the convolutional autoencoder, as one of the reports did it."""

    study: Literal["A1", "B3", "B7", "C1"] = "A1"
    """Whose search: report A's, B's (cross-validated), of B's VAE, or C's (architectures, early stopping)."""
    trials: int | None = None
    """Number of trials; the default is the report's, or a few with the quick budget."""
    latent: tuple[int, ...] | None = None
    """Draw the size of the code among these, too, as report C considers."""
    dropout: tuple[float, ...] | None = None
    """Draw the dropout among these rates, as 0.1 0.5: report C's [0.1, 0.5] may be a list, not an interval."""
    noise: float | None = None
    """Search denoisers of Gaussian noise of this deviation, as report C does; the target is clean."""
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


class Planned(NamedTuple):
    """The search, and what is trained beside it, whose trials are the last of the table."""

    search: random_search.Planned
    beside: tuple[str, ...]

    @property
    def drawn(self) -> int:
        """How many trials are the search's own."""
        return random_search.count(self.search.trials) - len(self.beside)

    def __str__(self) -> str:
        return f"{self.search}{f', {len(self.beside)} of them beside the search' if self.beside else ''}"


@functools.lru_cache(maxsize=1)
def planned(setup: Setup) -> Planned:
    """The trials, drawn or read, and those beside them, sorted into groups of lanes."""
    options, budget, protocol = setup.options, setup.budget, PROTOCOLS[setup.options.study]
    space = protocol.space(budget.epochs, budget.batch_size)
    given = common.given(options, "latent", "dropout")
    if unknown := given.keys() - space.keys():
        raise UsageError(f"--{min(unknown)}: study {options.study} has none; choose another --study")
    build = _build(options)
    trials = _trials(setup, space | {name: random_search.choice(values) for name, values in given.items()}, build)
    alone = options.trials_from is not None or options.halving is not None
    beside = {} if alone else protocol.beside(budget.epochs, budget.batch_size)
    fixed = {name: value for name, value in space.items() if not callable(value)}
    rows = [fixed | own for own in beside.values()]
    table = {name: np.concatenate([v, np.array([row[name] for row in rows], v.dtype)]) for name, v in trials.items()}
    if options.noise is not None:
        table["noise"] = np.full(random_search.count(table), options.noise)
    return Planned(random_search.plan_search(table, build, seed=options.seed, folds=protocol.folds), tuple(beside))


def _build(options: Options) -> Callable[..., tuple[Objective, Plan]]:
    """What the statics of a trial select. UsageError for noise where there is no denoiser."""
    build = PROTOCOLS[options.study].build
    if options.noise is None:
        return build
    if options.study == "B7":
        raise UsageError(f"--noise {options.noise}: study B7 has no denoiser; choose A1, B3 or C1")
    return under_noise(build)


def plan(setup: Setup) -> Training:
    """A lane for each trial and fold."""
    options, protocol, searched = setup.options, PROTOCOLS[setup.options.study], planned(setup)
    print(f"{options.study}: {searched}")
    count = len(setup.dataset.train_images)
    folds = data.kfold(count, protocol.folds, options.seed) if protocol.folds > 1 else [data.holdout(count)]
    halving = options.halving and Halving(*options.halving)
    early = protocol.patience is not None
    return Training(searched.search.groups, stack_splits(folds), protocol.patience, keep_best=early, halving=halving)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Trials, curves and ranking; the test error of the best trial, by each of its folds; what was trained beside."""
    protocol, searched, clean = PROTOCOLS[setup.options.study], planned(setup), setup.test_images[:SHOWN]
    everything, count = random_search.collect(searched.search, list(runs.values())), searched.drawn
    outcome = jax.tree.map(lambda values: values[:count], everything)
    outcome = outcome._replace(ranking=everything.ranking[everything.ranking < count])
    trials = {name: values[:count] for name, values in searched.search.trials.items()}
    best = random_search.trial_run(list(runs.values()), int(outcome.ranking[0]))
    arrays = tables.plain(trials)
    arrays |= {KEPT_AS.get(name, name): values for name, values in outcome._asdict().items()}
    arrays["best_test_loss"] = evaluation.score(best, setup.child(3), setup.test)["loss"]
    arrays |= {"images": np.asarray(clean), "reconstructions": evaluation.reconstruct(best[0], _shown(setup, clean))}
    arrays |= {f"best_params/{path}": leaf for path, leaf in flatten_dict(best.params["params"], sep="/").items()}
    arrays["constant_mse"] = np.asarray(jnp.var(setup.train_images, 0).mean())
    arrays |= _beside(setup, searched, runs, everything)
    numbers = (f"{name.replace('_', ' ')} {_range(trials[name])}" for name in ("epochs", "batch_size"))
    caption = f"{title(setup.options)}, {searched}. {common.describe(setup, ', '.join(numbers))}"
    config = {"folds": protocol.folds, "patience": protocol.patience}
    rows = search_results.rows(setup.options.study, title(setup.options), arrays)
    return Measured(arrays, rows, caption, config)


def _shown(setup: Setup, clean: jax.Array) -> jax.Array:
    """The first test images as the models get them."""
    noise = setup.options.noise
    return clean if noise is None else corruptions.gaussian(setup.child(4), clean, noise)


def _beside(setup: Setup, searched: Planned, runs: Runs, everything: random_search.Outcome) -> dict[str, np.ndarray]:
    """Hyper-parameters and losses of what was trained beside the search, ``[beside, folds]``; nothing without any."""
    if not searched.beside:
        return {}
    last = slice(searched.drawn, None)
    found = {"beside": np.array(searched.beside)}
    found |= {f"beside_{name}": values[last] for name, values in searched.search.trials.items()}
    names = {"fold_score": everything.fold_loss, "status": everything.status, "train_loss": everything.train_loss}
    found |= {f"beside_{name}": values[last] for name, values in names.items()}
    trials = range(searched.drawn, searched.drawn + len(searched.beside))
    tested = [random_search.trial_run(list(runs.values()), trial) for trial in trials]
    found["beside_test_loss"] = np.array([evaluation.score(run, setup.child(3), setup.test)["loss"] for run in tested])
    return found


def title(options: Options) -> str:
    """The study and what its priors were changed to, in words."""
    given = {name: getattr(options, name) for name in ("latent", "dropout", "noise")}
    words = [
        f"{name} {'' if name == 'noise' else 'among '}{', '.join(map(str, np.atleast_1d(value)))}"
        for name, value in given.items()
        if value is not None
    ]
    return ", ".join([options.study, *words])


def deviations(options: Options) -> tuple[str, ...]:
    """The options that part a run from the report's protocol, if given: among them fewer trials, but not more.

    Report C's dropout may be the list or the interval.
    """
    fewer = options.trials is not None and options.trials < FULL_TRIALS[options.study]
    listed = options.study == "C1" and options.dropout == (0.1, 0.5)
    return ("trials_from", "halving", "latent", "noise", *(["trials"] * fewer), *(["dropout"] * (not listed)))


def _trials(setup: Setup, space: Mapping[str, Any], build: Callable) -> random_search.Trials:
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


def export(setup: Setup, runs: Runs, saved: Saved) -> list[Path]:
    """The table of trials as CSV, if asked for."""
    if setup.options.export is None:
        return []
    return [tables.write_csv(saved.npz.with_suffix(".csv"), tables.trial_rows(saved.arrays))]


STUDY = Study(
    "random_search", Options, lambda options: BUDGETS[options.study], plan, measure,
    search_results.draw, search_results.show, export, deviations,
)  # fmt: skip

if __name__ == "__main__":
    study.main(STUDY)
