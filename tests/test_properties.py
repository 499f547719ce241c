"""Laws for any input, tried on what hypothesis makes up: the same few in CI, many by ``make properties``.

Shapes come from short lists, so that XLA compiles little.
"""

import contextlib
import functools
import itertools
import math
import os
import shutil
import string
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra import numpy as of_numpy

from ae_jax import checkpoints, convolutions, corruptions, evaluation, random_search, results, runs, trials, widening
from ae_jax.data import holdout, kfold
from ae_jax.engine import Halving, Settings
from ae_jax.lanes import HALVED
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder, parameter_shapes
from ae_jax.optimizers import OPTIMIZERS
from ae_jax.types import Interrupted, Plan
from experiments import tables
from tests import aimed, made, scripted

EXAMPLES = os.environ.get("AE_JAX_TEST_EXAMPLES")
settings.register_profile(
    "ours", max_examples=int(EXAMPLES or 10), derandomize=EXAMPLES is None, deadline=None, database=None
)
settings.load_profile("ours")

NAMES = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=9).map("x{}".format)
SHAPES = of_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
DTYPES = st.one_of(
    of_numpy.boolean_dtypes(),
    of_numpy.integer_dtypes(endianness="="),
    of_numpy.unsigned_integer_dtypes(endianness="="),
    of_numpy.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
)
ARRAYS = DTYPES.flatmap(lambda dtype: of_numpy.arrays(dtype, SHAPES))
WORDS = of_numpy.arrays(of_numpy.unicode_string_dtypes(endianness="=", max_len=5), SHAPES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def assert_same(one, other):
    """Bit for bit, in shape and kind too."""
    assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(st.dictionaries(NAMES, ARRAYS | WORDS, max_size=4), st.dictionaries(NAMES, JSON, max_size=3))
def test_results_come_back(arrays, config):
    with tempfile.TemporaryDirectory() as folder:
        path = results.save(Path(folder) / "r.npz", arrays, {"study": "mine", "config": config})
        found, meta = results.load(path, "mine")
    assert meta == {"study": "mine", "config": config} and found.keys() == arrays.keys()
    for name, values in arrays.items():
        assert_same(found[name], values)


TREES = st.recursive(ARRAYS, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3), max_leaves=6)


@given(TREES)
def test_checkpoints_come_back(tree):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lane.msgpack"
        checkpoints.save(path, tree)
        found = checkpoints.load(path, jax.tree.map(np.zeros_like, tree))
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    jax.tree.map(assert_same, found, tree)


@given(of_numpy.arrays(np.float32, 3), of_numpy.arrays(np.float32, 3), st.floats(0, 1))
def test_a_crash_at_any_operation_leaves_a_checkpoint(old, new, written):
    """What a folder holds just before each operation on a file, whatever part of a file had been written by then."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as watching:
        path = Path(name) / "folder" / "lane.msgpack"
        path.parent.mkdir()
        checkpoints.save(path, old)
        states, looking = [], []

        def crash(_):
            if looking:
                return  # at a copy of what there was
            looking.append(True)
            shutil.copytree(path.parent, state := Path(name) / f"state {len(states)}")
            for partial in state.glob(".*"):
                partial.write_bytes((content := partial.read_bytes())[: int(written * len(content))])
            states.append(state)
            looking.clear()

        for event in ("open", "os.rename"):
            watching.enter_context(aimed.watched(event, "*lane*", crash))
        checkpoints.save(path, new)
        watching.close()
        assert len(states) >= 3  # the old one renamed, the new one opened and renamed
        for state in states:
            found = checkpoints.load(state / path.name, old)
            assert found.tobytes() in (old.tobytes(), new.tobytes())
        assert_same(checkpoints.load(path, old), new)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
COLUMNS = {
    "learning_rate": FINITE, "l2": FINITE, "epochs": st.integers(1, 10**5), "latent": st.integers(1, 10**5),
    "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
}  # fmt: skip


@given(st.lists(st.fixed_dictionaries(COLUMNS), min_size=1, max_size=5))
def test_a_table_of_trials_comes_back(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = tables.write_csv(Path(folder) / "trials.csv", rows)
        found = tables.read_trials(path, lambda latent, optimizer: None, {}, required=COLUMNS)
    assert {name: values.tolist() for name, values in found.items()} == {
        name: [row[name] for row in rows] for name in COLUMNS
    }


def build(latent, batch_size):
    return autoencoder(dense_autoencoder(latent, (8,))), Plan(batch_size)


TRIALS = st.lists(
    st.tuples(
        st.sampled_from(np.float32([1e-4, 1e-3, 0.1]).tolist()), st.sampled_from([2, 3]), st.sampled_from([8, 16])
    ),
    min_size=1,
    max_size=9,
)


@given(TRIALS, st.integers(1, 3), st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_a_search_trains_each_fold_of_each_trial_once_and_gives_it_back(rows, folds, seed, rng):
    """Whatever the order of the groups, and of the lanes that a run holds."""
    drawn = dict(zip(("learning_rate", "latent", "batch_size"), map(np.array, zip(*rows, strict=True)), strict=True))
    planned = random_search.plan_search(drawn, build, seed=seed, folds=folds)
    where = [
        pair for group in planned.groups for pair in np.c_[group.lanes.trial.flat, group.lanes.split.flat].tolist()
    ]
    assert sorted(where) == [[*pair] for pair in itertools.product(range(len(rows)), range(folds))]
    seeds = np.concatenate([group.lanes.seed.ravel() for group in planned.groups])
    assert sorted(seeds) == [*range(seed, seed + len(rows) * folds)]
    found = []
    for group in rng.sample(planned.groups, len(planned.groups)):
        lanes, status = group.lanes, np.zeros(group.lanes.shape, np.int32)
        assert group.objective is build(*(drawn[name][lanes.trial[0, 0]] for name in ("latent", "batch_size")))[0]
        np.testing.assert_array_equal(lanes.hparams.learning_rate, drawn["learning_rate"][lanes.trial])
        loss = 10.0 * lanes.trial + lanes.split
        curves = runs.Curves(loss[..., None] + [0, 0.5], loss[..., None] + [0.25, 0.75])
        run = runs.Run(group.name, group.objective, group.plan, lanes, status, status + 2, curves, loss, {})
        found.append(run)
    outcome = random_search.collect(planned, found)
    expected = 10.0 * np.arange(len(rows))[:, None] + np.arange(folds)
    np.testing.assert_array_equal(outcome.fold_loss, expected)
    np.testing.assert_array_equal(outcome.train_loss, expected[..., None] + [0, 0.5])
    np.testing.assert_array_equal(outcome.validation_loss, expected[..., None] + [0.25, 0.75])
    assert outcome.ranking.tolist() == [*range(len(rows))]


@given(st.integers(2, 300), st.data())
def test_splits_are_disjoint_and_cover(n, data):
    folds = kfold(n, data.draw(st.integers(2, n)), data.draw(st.integers(0, 2**32 - 1)))
    fraction = data.draw(st.floats(1 / n, 1 - 1 / n))
    for train, validation in [*folds, holdout(n, fraction)]:
        assert sorted([*train, *validation]) == [*range(n)]
    assert sorted(np.concatenate([validation for _, validation in folds])) == [*range(n)]
    sizes = [len(validation) for _, validation in folds]
    assert max(sizes) - min(sizes) <= 1


MODEL = dense_autoencoder(2, (3,), image=(2, 2, 1))
LANES = 3


@functools.cache
def some_params():
    """Leaves ``[LANES, ...]`` that no symmetry hides anything in."""
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(autoencoder(MODEL))
    return jax.tree.map(lambda leaf: rng.normal(size=(LANES, *leaf.shape)).astype(np.float32), shapes)


@given(st.sampled_from([1, 2, 255, 256, 257, 513]), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_an_evaluation_is_the_float64_mean_for_any_number_of_images(n, seed, scale):
    images = (scale * np.random.default_rng(seed).uniform(size=(n, 2, 2, 1))).astype(np.float32)
    run = made.run_of(MODEL, some_params())
    copies = np.stack([made.apply(MODEL, run[lane].params, images) for lane in range(LANES)]).astype(np.float64)
    errors = np.square(copies - images).mean((2, 3, 4))
    np.testing.assert_allclose(evaluation.reconstruction_errors(run, images, images), errors, rtol=1e-4)
    np.testing.assert_allclose(evaluation.reconstruction_error(run, images, images), errors.mean(1), rtol=1e-4)


FAMILIES = {
    "dense": lambda latent: autoencoder(dense_autoencoder(latent, (5,), image=(3, 2, 1))),
    "conv": lambda latent: autoencoder(conv_autoencoder(latent, (2,), 4, image=(8, 8, 1))),
}


@given(st.sampled_from(sorted(FAMILIES)), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(0, 9))
def test_what_was_widened_is_narrowed_to_itself(family, latent, more, lanes, seed):
    rng = np.random.default_rng(seed)
    small, large = (FAMILIES[family](size) for size in (latent, latent + more))
    params = jax.tree.map(
        lambda leaf: rng.normal(size=(lanes, *leaf.shape)).astype(np.float32), parameter_shapes(small)
    )
    wide = widening.widen(params, parameter_shapes(large))
    assert jax.tree.map(np.shape, wide) == jax.tree.map(lambda leaf: (lanes, *leaf.shape), parameter_shapes(large))
    jax.tree.map(assert_same, widening.narrow(wide, small), params)
    sums = [sum(np.abs(leaf).sum(dtype=float) for leaf in jax.tree.leaves(tree)) for tree in (wide, params)]
    assert math.isclose(*sums)  # zeros alone were added


TABLE = (5, 4)  # lanes and epochs
LOSSES = of_numpy.arrays(np.float32, TABLE, elements=st.sampled_from([*range(6), *[np.nan] * 2]), fill=st.nothing())
HALVINGS = st.builds(Halving, st.integers(1, 3), st.integers(2, 4))


def ends(table):
    """How many epochs each lane counts: up to its first NaN, that one included."""
    return [next((epoch for epoch, loss in enumerate(row, 1) if np.isnan(loss)), len(row)) for row in table]


def halved(table, halving, trial):
    """Which lanes go on to the end, by the rule in plain Python: the best ``ceil(n / factor)`` trials at each rung."""
    rung, going = halving.first, set(range(len(table)))
    while rung < table.shape[1]:
        here = [lane for lane in going if not np.isnan(table[lane, :rung]).any()]
        scores = {}
        for lane, seen in enumerate(table[:, :rung]):
            scores.setdefault(trial[lane], []).append(math.inf if np.isnan(seen).any() else float(seen.min()))
        competing = sorted({trial[lane] for lane in here}, key=lambda t: (np.mean(scores[t]), t))
        kept = competing[: math.ceil(len(competing) / halving.factor)]
        going -= {lane for lane in here if trial[lane] not in kept}
        rung *= halving.factor
    return going


IN_PAIRS = 0, 0, 1, 1, 2  # of which trial each lane is


@given(LOSSES, HALVINGS, st.sampled_from([(0, 1, 2, 3, 4), IN_PAIRS]))
@example(  # the best lane of all diverges before the rung, so that its trial is the worst
    table=np.float32([[0, np.nan, 0, 0], [1] * 4, [2] * 4, [2] * 4, [3] * 4]), halving=Halving(2, 2), trial=IN_PAIRS
)
def test_halving_keeps_the_best_of_any_losses(data, table, halving, trial):
    """Ties and lanes that diverge included; a trial of several lanes counts by their mean."""
    group = scripted.group(table, np.array(trial))
    (run,) = trials.run_groups([group], data, scripted.SPLITS, Settings(halving=halving, lanes_per_call=5))
    going = halved(table, halving, trial)
    assert {*np.flatnonzero(run.status != HALVED)} == going
    for lane, counted in enumerate(run.epochs):
        assert counted == ends(table)[lane] or lane not in going
        assert_same(run.curves.validation_loss[lane, :counted], table[lane, :counted])


@given(LOSSES, st.integers(1, 4), st.sampled_from([1, 2, 5]), st.lists(st.integers(1, 4), max_size=2))
def test_any_segment_call_and_stop_gives_each_lane_its_own_curve(data, table, segment, lanes_per_call, stops):
    """A lane's losses are written down beforehand; a run that is stopped goes on from its checkpoints."""
    group = scripted.group(table)
    with tempfile.TemporaryDirectory() as folder:
        chosen = Settings(segment, lanes_per_call=lanes_per_call, checkpoint_folder=Path(folder) / "lanes")
        for calls in [*stops, None]:
            reports = []
            monitor = trials.Monitor(
                reports.append,
                should_stop=lambda calls=calls, reports=reports: calls is not None and len(reports) >= calls,
            )
            with contextlib.suppress(Interrupted):
                (run,) = trials.run_groups([group], data, scripted.SPLITS, chosen, monitor)
    assert run.epochs.tolist() == ends(table)
    for lane, counted in enumerate(run.epochs):
        assert_same(run.curves.validation_loss[lane, :counted], table[lane, :counted])


SIZES = st.sampled_from([(3, 5), (8, 6), (9, 9)])


@given(SIZES, st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2), st.integers(0, 99))
def test_any_convolution_is_that_of_lax_and_has_its_adjoint(size, kernel, stride, top, left, seed):
    """``<C x, y> = <x, C' y>`` for every implementation, C' its transpose by JAX."""
    padding = (top, left)
    shape = [convolutions.output_size(n, kernel, stride, p) for n, p in zip(size, padding, strict=True)]
    if min(shape) < 1:
        return
    rng = np.random.default_rng(seed)
    weights, x, y = (
        rng.normal(size=of).astype(np.float32) for of in ((kernel, kernel, 2, 3), (2, *size, 4), (3, *shape, 4))
    )

    @jax.jit
    def all_of_them(weights, x, y):
        found = []
        for implementation in convolutions.IMPLEMENTATIONS.values():
            convolve = functools.partial(implementation, weights, stride=stride, padding=padding)
            found.append((convolve(x=x), jax.linear_transpose(lambda x, convolve=convolve: convolve(x=x), x)(y)[0]))
        return found

    found = [jax.tree.map(np.float64, pair) for pair in all_of_them(weights, x, y)]
    for forward, backward in found:
        np.testing.assert_allclose(forward, found[-1][0], atol=1e-4)
        np.testing.assert_allclose((forward * y).sum(), (x * backward).sum(), atol=1e-3)


BOUNDS = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6)).map(lambda of: (of[0], of[0] + of[1]))
POSITIVE = st.tuples(st.floats(1e-30, 1e3), st.floats(1.001, 1e30)).map(lambda of: (of[0], of[0] * of[1]))
WHOLE = st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**6)).map(lambda of: (of[0], sum(of)))


@given(BOUNDS, POSITIVE, WHOLE, st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 2**31 - 1))
def test_priors_stay_in_their_support(bounds, positive, whole, values, seed):
    key = jax.random.key(seed)
    for low, high, prior in (
        (*bounds, random_search.uniform(*bounds)),
        (*positive, random_search.log_uniform(*positive)),
        (*whole, random_search.integer_uniform(*whole)),
    ):
        drawn = prior(key, 64)
        slack = 1e-6 * max(abs(low), abs(high)) if drawn.dtype.kind == "f" else 0
        assert drawn.shape == (64,) and low - slack <= drawn.min() and drawn.max() <= high + slack
    assert set(random_search.choice(values)(key, 64)) <= set(values)


@functools.partial(jax.jit, static_argnums=0)
def corrupted(corrupt, key, images, level):
    return corrupt(key, images, level)


IMAGE_SHAPES = st.sampled_from([(3, 8, 8, 1), (2, 5, 9, 3)])
LEVELS = st.floats(0, 1, width=32)


@pytest.mark.parametrize("name", ["occlusion", "occlusion_shared_grey", "masking", "salt_and_pepper", "gaussian"])
@given(IMAGE_SHAPES, LEVELS, st.integers(0, 2**31 - 1))
def test_corruptions_keep_shape_range_and_area(name, shape, level, seed):
    images = 2 + np.random.default_rng(seed).uniform(size=shape).astype(np.float32)  # above every value that is set
    found = np.asarray(corrupted(getattr(corruptions, name), jax.random.key(seed), images, level))
    assert (found.dtype, found.shape) == (images.dtype, images.shape)
    hit = found != images
    if name == "gaussian":
        assert np.isfinite(found).all()
        assert hit.mean() > 0.9 if level > 0.1 else level > 0 or not hit.any()  # little noise is lost to rounding
        return
    assert ((found[hit] >= 0) & (found[hit] <= 1)).all()
    if name.startswith("occlusion"):
        sides = [int(np.float32(np.round(np.sqrt(np.float32(level)) * n))) for n in shape[1:3]]
        np.testing.assert_array_equal(hit.sum((1, 2)), math.prod(sides))
