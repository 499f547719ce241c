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
coordinates, and of the best trial curves, reconstructions and a table. On two CPU cores, MNIST in full: A1 took 72
minutes, B3 30, C1 two and a half hours; digits quick half a minute.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from ae_jax import corruptions, data, evaluation, random_search
from ae_jax.engine import Halving
from ae_jax.lanes import stack_splits
from ae_jax.runs import Run
from experiments import common, search_results, search_trials, study, tables
from experiments.search_trials import Planned
from experiments.spaces import BUDGETS, PROTOCOLS
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


def plan(setup: Setup) -> Training:
    """A lane for each trial and fold."""
    options, protocol, searched = setup.options, PROTOCOLS[setup.options.study], search_trials.planned(setup)
    print(f"{options.study}: {searched}")
    count = len(setup.dataset.train_images)
    folds = data.kfold(count, protocol.folds, options.seed) if protocol.folds > 1 else [data.holdout(count)]
    halving = options.halving and Halving(*options.halving)
    early = protocol.patience is not None
    return Training(searched.search.groups, stack_splits(folds), protocol.patience, keep_best=early, halving=halving)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Trials, curves and ranking; the test error of the best trial, by each of its folds; what was trained beside."""
    protocol, searched, clean = PROTOCOLS[setup.options.study], search_trials.planned(setup), setup.test_images[:SHOWN]
    trained, count = list(runs.values()), searched.drawn
    everything = random_search.collect(searched.search, trained)
    outcome = jax.tree.map(lambda values: values[:count], everything)
    outcome = outcome._replace(ranking=everything.ranking[everything.ranking < count])
    trials = {name: values[:count] for name, values in searched.search.trials.items()}
    best = random_search.trial_run(trained, int(outcome.ranking[0]))
    arrays = tables.plain(trials)
    arrays |= {KEPT_AS.get(name, name): values for name, values in outcome._asdict().items()}
    arrays["best_test_loss"] = _test_loss(setup, best)
    arrays |= {"images": np.asarray(clean), "reconstructions": evaluation.reconstruct(best[0], _shown(setup, clean))}
    arrays |= {f"best_params/{path}": leaf for path, leaf in flatten_dict(best.params["params"], sep="/").items()}
    arrays["constant_mse"] = np.asarray(jnp.var(setup.train_images, 0).mean())
    arrays |= _beside(setup, searched, trained, everything)
    numbers = (f"{name.replace('_', ' ')} {_range(trials[name])}" for name in ("epochs", "batch_size"))
    title = search_trials.title(setup.options)
    caption = f"{title}, {searched}. {common.describe(setup, ', '.join(numbers))}"
    config = {"folds": protocol.folds, "patience": protocol.patience}
    return Measured(arrays, search_results.rows(setup.options.study, title, arrays), caption, config)


def _shown(setup: Setup, clean: jax.Array) -> jax.Array:
    """The first test images as the models get them."""
    noise = setup.options.noise
    return clean if noise is None else corruptions.gaussian(setup.child(4), clean, noise)


def _test_loss(setup: Setup, run: Run) -> np.ndarray:
    return evaluation.score(run, setup.child(3), setup.test)["loss"]


def _beside(
    setup: Setup, searched: Planned, trained: list[Run], everything: random_search.Outcome
) -> dict[str, np.ndarray]:
    """Hyper-parameters and losses of what was trained beside the search, ``[beside, folds]``; nothing without any."""
    if not searched.beside:
        return {}
    first, trials = searched.drawn, searched.search.trials
    names = {"fold_score": everything.fold_loss, "status": everything.status, "train_loss": everything.train_loss}
    tested = [random_search.trial_run(trained, first + number) for number in range(len(searched.beside))]
    return {
        "beside": np.array(searched.beside),
        **{f"beside_{name}": values[first:] for name, values in (trials | names).items()},
        "beside_test_loss": np.array([_test_loss(setup, run) for run in tested]),
    }


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
    search_results.draw, search_results.show, export, search_trials.deviations,
)  # fmt: skip

if __name__ == "__main__":
    study.main(STUDY)
