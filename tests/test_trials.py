"""The engine: lanes equal single runs, leave when they should, and never touch each other."""

import functools
import pathlib

import jax
import numpy as np
import pytest

from ae_jax import calls, checkpoints, layers, progress, sharing, trials
from ae_jax.batching import PADDING
from ae_jax.engine import Halving, Settings
from ae_jax.lanes import DIVERGED, DONE, HALVED, STOPPED, Group, make_lanes, stack_splits
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError, hparams, tree_size
from tests import scripted

PLAN = Plan(batch_size=16, optimizer="adam")
SPLITS = stack_splits([(np.arange(0, 120), np.arange(120, 160)), (np.arange(40, 160), np.arange(0, 40))])


@pytest.fixture
def run(objective, data):
    """``run(lanes, **settings)`` trains lanes of the small objective."""

    def call(chosen, monitor=trials.Monitor(), splits=SPLITS, **settings):
        return trials.run_lanes(objective, PLAN, chosen, data, splits, Settings(**settings), monitor)

    return call


@pytest.fixture
def play(data):
    """``play(table, **settings)`` trains lanes whose losses are the rows of ``table``, see :mod:`tests.scripted`."""

    def call(table, trial=None, monitor=trials.Monitor(), **settings):
        group = scripted.group(table, trial)
        (results,) = trials.run_groups([group], data, scripted.SPLITS, Settings(**settings), monitor)
        return results

    return call


def mixed_lanes(**overrides):
    numbers = {"learning_rate": [1e-3, 1e-2, 3e-3], "dropout": [0.0, 0.2, 0.1], "epochs": [3, 7, 5]} | overrides
    return make_lanes(hparams(**numbers), seed=[5, 6, 7], split=[0, 1, 0], trial=np.arange(3))


def one_lane(lanes, index):
    return jax.tree.map(lambda leaf: leaf[index : index + 1], lanes)


def assert_close(results, reference, tolerance=1e-5):
    """Another program, so equal up to float32 rounding that a few epochs of training have amplified."""
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance / 10)
    jax.tree.map(close, compared(results), compared(reference))


def compared(results):
    """What a run must reproduce."""
    return results.status, results.epochs, results.curves, results.loss, results.params


def test_a_lane_equals_the_same_lane_alone(run):
    """On one CPU device bit for bit: it is the same program. Budgets need not be multiples of the segment."""
    chosen = mixed_lanes(dropout=[0.05, 0.2, 0.1])  # alone, one without dropout would be a program without masks
    together = run(chosen, segment=2)
    assert together.status.tolist() == [DONE] * 3
    assert together.epochs.tolist() == [3, 7, 5]
    assert np.isnan(together.curves.train_loss[0, 3:]).all()
    for index, epochs in enumerate(together.epochs):
        alone = run(one_lane(chosen, index), segment=2)
        np.testing.assert_array_equal(together.curves.train_loss[index, :epochs], alone.curves.train_loss[0])
        np.testing.assert_array_equal(together.curves.validation_loss[index, :epochs], alone.curves.validation_loss[0])
        jax.tree.map(
            lambda many, one, i=index: np.testing.assert_array_equal(many[i], one[0]), together.params, alone.params
        )


@pytest.mark.parametrize("segment,lanes_per_call", [(1, 1), (5, 3), (5, 2)])
def test_segments_and_calls_change_nothing(run, segment, lanes_per_call):
    """However the work is cut, the same numbers; another lane count is another program: 1e-5 of rounding."""
    reference, results = (
        run(mixed_lanes(), segment=2),
        run(mixed_lanes(), segment=segment, lanes_per_call=lanes_per_call),
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), compared(results), compared(reference)
    )


def test_training_lowers_the_loss(run):
    results = run(make_lanes(hparams(learning_rate=1e-2, epochs=12)))
    assert results.shape == ()
    assert results.curves.validation_loss[-1] < 0.8 * results.curves.validation_loss[0]
    assert results.loss == results.curves.validation_loss[-1]


def test_a_poisoned_lane_is_frozen_and_alone(run):
    healthy = run(mixed_lanes())
    poisoned = run(mixed_lanes(learning_rate=[1e-3, 1e38, 3e-3]))
    assert poisoned.status.tolist() == [DONE, DIVERGED, DONE]
    assert poisoned.loss[1] == np.inf
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(poisoned.params))
    for index in (0, 2):
        jax.tree.map(lambda a, b, i=index: np.testing.assert_array_equal(a[i], b[i]), poisoned.params, healthy.params)


def test_patience_stops_and_keeps_the_best(run):
    """A rate of 0.3 soon stops improving; the loss is that of the kept parameters, the lowest of the curve."""
    results = run(make_lanes(hparams(learning_rate=[0.3, 1e-3], epochs=30), seed=[0, 1]), patience=3, keep_best=True)
    assert results.status[0] == STOPPED
    curve = results.curves.validation_loss[0, : results.epochs[0]]
    assert results.loss[0] == curve.min()
    assert results.epochs[0] == curve.argmin() + 1 + 3


@pytest.mark.parametrize("patience,epochs", [(1, 3), (2, 7), (3, 8), (None, 8)])
def test_patience_counts_from_the_last_improvement(play, patience, epochs):
    """A loss as low as the lowest is no improvement. The kept parameters, which count epochs, are the best's."""
    curve = [5, 4, 4, 3, 2, 2, 3, 6]
    results = play([curve], patience=patience, keep_best=patience is not None, segment=3)
    assert results.epochs == epochs
    assert results.status == (DONE if epochs == 8 else STOPPED)
    best = 8 if patience is None else np.argmin(curve[:epochs]) + 1
    assert results.params["epochs"] == best
    assert results.loss == curve[best - 1]
    np.testing.assert_array_equal(results.curves.validation_loss[0, :epochs], curve[:epochs])
    assert results.curves.validation_loss.shape == (1, 8) and np.isnan(results.curves.validation_loss[0, epochs:]).all()


def test_the_best_epoch_and_the_last_are_had_from_one_training(data):
    """The parameters count epochs: the lowest loss is in the second of three."""
    group = scripted.group([[3, 1, 2]])
    trained = trials.train_groups([group], data, scripted.SPLITS)
    for keep_best, epoch, loss in ((True, 2, 1), (False, 3, 2)):
        (run,) = trials.results([group], trained, keep_best)
        assert (run.params["epochs"], run.loss) == (epoch, loss)


def test_halving_by_hand(play):
    """Of five trials that reach epoch 2, three go on: by the lowest loss so far, equal ones by their number."""
    results = play(
        [
            [1, 9, 9, 9],  # was best once
            [3, 3, 3, 3],  # as good as the next, and before it
            [3, 3, 3, 3],
            [5, 2, 7, 7],
            [0, np.nan, 0, 0],  # does not reach the rung
            [4, 4, 0, 0],  # would have been the best
        ],
        halving=Halving(2, 2),
    )
    assert results.status.tolist() == [DONE, DONE, HALVED, DONE, DIVERGED, HALVED]
    assert results.epochs.tolist() == [4, 4, 2, 4, 2, 2]
    assert results.loss.tolist() == [9, 3, 3, 7, np.inf, 4]


def halved(table, trial, halving):
    """Epochs of each lane under ``halving``, from its full curves, one trial after another in plain Python."""
    diverged = np.isnan(table)
    ends = [int(row.argmax()) + 1 if row.any() else len(row) for row in diverged]
    lanes = {t: np.flatnonzero(trial == t) for t in set(trial.tolist())}
    rung = halving.first
    while rung < table.shape[1]:
        lowest = np.where(diverged[:, :rung].any(1), np.inf, table[:, :rung].min(1))
        competing = [t for t in lanes if np.isfinite(lowest[lanes[t]]).any()]
        ranked = sorted(competing, key=lambda t, lowest=lowest: (lowest[lanes[t]].mean(), t))
        for t in ranked[-(-len(ranked) // halving.factor) :]:
            for lane in lanes.pop(t):
                ends[lane] = min(ends[lane], rung)
        rung *= halving.factor
    return ends


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("halving", [Halving(1, 3), Halving(2, 2)])
def test_halving_keeps_whom_the_full_curves_rank_first(play, seed, halving):
    """Twelve trials of two folds: losses of one digit, so that many are equal, and a lane in twelve diverges."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 10, (24, 10)).astype(np.float32)
    table[rng.integers(0, 24, 2), rng.integers(0, 10, 2)] = np.nan
    trial = rng.permutation(np.repeat(np.arange(12), 2))
    results = play(table, trial, halving=halving, segment=4)
    np.testing.assert_array_equal(results.epochs, halved(table, trial, halving))


def test_halving_keeps_the_best_trials(run):
    """Nine trials of a network, factor 3: three go on at epoch 1, one at epoch 3; two folds of a trial leave together.

    Which they are, the curves of a search without halving tell.
    """
    lanes = make_lanes(
        hparams(learning_rate=np.repeat(np.geomspace(1e-5, 1e-2, 9), 2), epochs=6),
        split=np.tile([0, 1], 9), trial=np.repeat(np.arange(9), 2),
    )  # fmt: skip
    full, results = run(lanes), run(lanes, halving=Halving(1, 3))
    np.testing.assert_array_equal(results.epochs, halved(full.curves.validation_loss, lanes.trial, Halving(1, 3)))
    assert sorted(results.epochs[::2].tolist()) == [1] * 6 + [3] * 2 + [6]
    (winner,) = np.flatnonzero(results.epochs[::2] == 6)
    np.testing.assert_array_equal(results.loss[2 * winner :][:2], full.loss[2 * winner :][:2])


def test_a_padded_fold_sees_only_its_own_examples(run, objective, data):
    """Of two folds of 99 and 100 examples one is padded. Whatever lies outside it, its numbers stay the same."""
    folds = stack_splits([(np.arange(0, 100), np.arange(100, 133)), (np.arange(60, 159), np.arange(0, 34))])
    assert (folds.train == PADDING).sum() == (folds.validation == PADDING).sum() == 1
    lanes = make_lanes(hparams(learning_rate=1e-2, epochs=3), seed=3, split=[0, 1])
    expected = run(lanes, splits=folds)
    images = np.array(data.images)
    images[34:60] = images[159:] = 77  # PADDING, -1, would take the last image
    results = trials.run_lanes(objective, PLAN, lanes, data._replace(images=jax.numpy.asarray(images)), folds)
    assert results.loss[1] == expected.loss[1]
    assert results.loss[0] != expected.loss[0]


@pytest.mark.parametrize("rates", [[0.0, 0.0], [0.0, 0.1]])
def test_masks_are_drawn_only_where_a_lane_drops(run, monkeypatch, rates):
    drawn = []

    def bits(key, shape):
        drawn.append(shape)
        return jax.random.bits(key, shape)

    monkeypatch.setattr(layers, "dropout_bits", bits)
    run(make_lanes(hparams(dropout=rates), seed=[0, 1]), segment=11)  # of no other test: traced here
    assert bool(drawn) == any(rates)


def test_without_validation_the_training_loss_is_monitored(run):
    results = run(
        make_lanes(hparams(learning_rate=1e-2, epochs=2)), splits=stack_splits([(np.arange(16), np.arange(0))])
    )
    assert np.isnan(results.curves.validation_loss).all()
    assert results.loss == results.curves.train_loss[-1]


def test_parameters_lost_in_the_last_step_are_a_divergence(run):
    """One step an epoch: its loss, taken before the step, is finite, and no validation looks at what the step made."""
    splits = stack_splits([(np.arange(16), np.arange(0))])
    rates = np.float32([1e-3, np.inf])  # which no user can give
    results = run(make_lanes(hparams(noise=[0, 0], epochs=1)._replace(learning_rate=rates)), splits=splits)
    assert np.isfinite(results.curves.train_loss).all()
    assert results.status.tolist() == [DONE, DIVERGED]


def test_the_validation_set_alone_selects(run, objective, data):
    """Examples outside the splits (a test set) may be anything: every number stays the same."""
    images = np.array(data.images)
    images[160:] = 77
    other = trials.run_lanes(objective, PLAN, mixed_lanes(), data._replace(images=jax.numpy.asarray(images)), SPLITS)
    jax.tree.map(np.testing.assert_array_equal, other.params, run(mixed_lanes()).params)


def stop_after(calls):
    """A monitor that stops the run after so many calls."""
    reports = []
    return trials.Monitor(reports.append, should_stop=lambda: len(reports) >= calls)


def test_resuming_gives_the_same_bits(run, tmp_path):
    """Stopped after every single call, then resumed, until done: the run that was never stopped."""
    reference = run(mixed_lanes(), segment=2)
    for _ in range(2 + 4 + 3):  # a call for each segment of two epochs
        with pytest.raises(trials.Interrupted):
            run(mixed_lanes(), stop_after(1), segment=2, checkpoint_folder=tmp_path)
    resumed = run(mixed_lanes(), segment=2, checkpoint_folder=tmp_path)
    assert resumed.cost.train_seconds == 0
    jax.tree.map(np.testing.assert_array_equal, compared(resumed), compared(reference))


def test_a_halving_is_resumed_as_it_was_judged(play, tmp_path):
    """Nine trials stopped and resumed after every call: some lanes are past a rung while others wait at it.

    Those that go on get worse at once, so that whoever judges a rung again by later losses takes others.
    """
    table = np.tile(np.arange(9.0)[::-1, None], 6) + [0, 20, 20, 40, 40, 40]
    settings = {"halving": Halving(1, 3), "segment": 2}
    reference = play(table, **settings)
    assert reference.epochs.tolist() == [1] * 6 + [3, 3, 6]
    for _ in range(9 + 3 + 2):  # nine lanes to epoch 1, three to 3, one to 6 in two segments
        with pytest.raises(trials.Interrupted):
            play(table, monitor=stop_after(1), checkpoint_folder=tmp_path, **settings)
    resumed = play(table, checkpoint_folder=tmp_path, **settings)
    jax.tree.map(np.testing.assert_array_equal, compared(resumed), compared(reference))


def test_a_trial_with_a_diverged_fold_is_not_promoted(run):
    """Three trials of two folds; one fold of the best diverges at once."""
    rates = [1e-2, 1e38, 1e-4, 1e-4, 1e-5, 1e-5]
    lanes = make_lanes(hparams(learning_rate=rates, epochs=3), split=[0, 1] * 3, trial=np.repeat(np.arange(3), 2))
    results = run(lanes, halving=Halving(1, 3))
    assert results.epochs.tolist() == [1, 1, 3, 3, 1, 1]
    assert results.status.tolist() == [HALVED, DIVERGED, DONE, DONE, HALVED, HALVED]


def test_a_fold_that_diverged_late_counts_against_its_trial(play):
    """At rung 3 trial 0 has the lower losses, but one of its folds diverged at epoch 2."""
    table = [[0.1, np.nan, 0.1, 0.1], [0.1] * 4, [0.5] * 4, [0.5] * 4]
    results = play(table, trial=[0, 0, 1, 1], halving=Halving(3, 2))
    assert results.status.tolist() == [DIVERGED, HALVED, DONE, DONE]
    assert results.epochs.tolist() == [2, 3, 4, 4]


def sizes(log):
    """The lanes of each program that was compiled, in order, from a run's log."""
    return [int(line.split("compiling for ")[1].split()[0]) for line in log if "compiling for" in line]


@pytest.mark.parametrize("where", ["compiling", "running"])
def test_out_of_memory_halves_the_call(run, monkeypatch, where):
    """XLA refuses programs of more than two lanes: the search warns, goes on with one, and ends the same."""
    compile_program, log = jax.stages.Lowered.compile, []

    def refuse(*arguments, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte")

    def on_small_device(lowered, *arguments, **options):
        if jax.tree.leaves(lowered.in_avals)[0].shape[0] <= 2:
            return compile_program(lowered, *arguments, **options)
        return refuse if where == "running" else refuse()

    reference = run(mixed_lanes())
    monkeypatch.setattr(jax.stages.Lowered, "compile", on_small_device)
    with pytest.warns(UserWarning, match="3 lanes do not fit the device: going on with 1"):
        results = run(mixed_lanes(), trials.Monitor(log=log.append), lanes_per_call=3)
    assert sizes(log)[-1] == 1
    assert_close(results, reference)


def test_another_error_of_the_device_is_not_taken_for_too_little_memory(run, monkeypatch):
    log = []

    def fail(*arguments, **options):
        raise jax.errors.JaxRuntimeError("INTERNAL: no luck")

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="no luck"):
        run(mixed_lanes(), trials.Monitor(log=log.append), lanes_per_call=3)
    assert set(sizes(log)) == {3}


@pytest.mark.parametrize("share,fitting", [(1.1, 3), (0.8, 2), (0.4, 1), (0.1, 1)])
def test_a_call_takes_as_many_lanes_as_the_device_has_memory_for(run, objective, data, monkeypatch, share, fitting):
    """A device that tells of memory for a share of a program of three lanes; the same numbers come out."""
    (three,) = trials.start([Group("adam", objective, PLAN, mixed_lanes())], data, SPLITS, Settings(lanes_per_call=3))
    need = three.memory() - tree_size((three.store, three.curves))
    limit = share * need / calls.USABLE_MEMORY
    device, log = type(jax.devices()[0]), []
    monkeypatch.setattr(device, "memory_stats", lambda self: {"bytes_limit": limit})
    results = run(mixed_lanes(), trials.Monitor(log=log.append), lanes_per_call=3)
    assert sizes(log)[:2] == [3, fitting if fitting < 3 else 1]  # the lane of seven epochs ends alone
    warned = f"adam: 3 lanes need more memory than there is, taking {fitting} at a time"
    assert (warned in log) == (fitting < 3)
    assert_close(results, run(mixed_lanes()))


@pytest.mark.parametrize("model", ["dense", "convolutional"])
def test_the_accelerators_form_trains_the_same_lanes(objective, data, monkeypatch, model):
    """All lanes and microbatches at once by vmap: on this CPU the same numbers and masks, to float32 rounding."""
    if model == "convolutional":
        objective = autoencoder(conv_autoencoder(2, channels=(2,), hidden=4))
    log = []

    def train(chosen):
        own = chosen._replace(loss=lambda *arguments: chosen.loss(*arguments))  # traced anew, in this form
        lanes = mixed_lanes(epochs=2)
        monitor = trials.Monitor(log=log.append)
        return trials.run_lanes(own, PLAN, lanes, data, SPLITS, Settings(segment=2), monitor)

    one_by_one = train(objective)
    monkeypatch.setattr(sharing, "one_by_one", lambda: False)
    at_once = train(objective)
    assert sizes(log) == [1, 3]
    assert_close(at_once, one_by_one, 1e-4)


@pytest.mark.filterwarnings("ignore:.*is damaged")
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "removed", "both"])
def test_a_damaged_checkpoint_falls_back(run, tmp_path, damage):
    """To the one before, or to the start of that lane if there is none; the end is the same."""
    with pytest.raises(trials.Interrupted):
        run(mixed_lanes(), stop_after(8), segment=2, checkpoint_folder=tmp_path)
    newest = sorted(tmp_path.glob("*.msgpack"))[1]
    previous = newest.with_suffix(".previous")
    content = newest.read_bytes()
    broken = {"truncated": content[: len(content) // 2], "garbage": bytes(len(content)), "empty": b"", "both": b"x"}
    newest.unlink() if damage == "removed" else newest.write_bytes(broken[damage])
    if damage == "both":
        previous.write_bytes(b"y")
    seen = []
    resumed = run(mixed_lanes(), trials.Monitor(report=seen.append), segment=2, checkpoint_folder=tmp_path)
    assert len(seen) == (4 if damage == "both" else 2)  # calls that had to be run again, and the last one
    jax.tree.map(np.testing.assert_array_equal, compared(resumed), compared(run(mixed_lanes(), segment=2)))


def test_identity_of_a_checkpoint_folder(tmp_path):
    folder = tmp_path / "search"
    checkpoints.open_folder(folder, {"seed": 0, "rates": (1, 2)}, resume=False)
    checkpoints.open_folder(folder, {"seed": 0, "rates": (1, 2)}, resume=True)
    with pytest.raises(UsageError, match="give resume=True"):
        checkpoints.open_folder(folder, {"seed": 0, "rates": (1, 2)}, resume=False)
    with pytest.raises(UsageError, match="seed was 0 and is now 1"):
        checkpoints.open_folder(folder, {"seed": 1, "rates": (1, 2)}, resume=True)


@pytest.mark.parametrize("name", ["photo.png", "group000-lane00000.msgpack.bak", "sub/search.json"])
def test_a_folder_with_anything_else_in_it_is_refused_and_left_as_it_is(tmp_path, name):
    (path := tmp_path / "mine" / name).parent.mkdir(parents=True)
    path.write_text("precious")
    for taken in (tmp_path / "mine", path):
        with pytest.raises(UsageError, match="give a folder that is new or empty"):
            checkpoints.open_folder(taken, {"seed": 0}, resume=True)
    assert path.read_text() == "precious"
    with pytest.raises(UsageError, match="cannot be written"):
        checkpoints.open_folder(pathlib.Path("/proc/nowhere"), {"seed": 0}, resume=True)


def test_lanes_without_an_identity_are_nobodys(run, tmp_path):
    """A kill while a finished search is cleaned up must not hand its lanes to the next one."""
    folder = tmp_path / "search"
    run(mixed_lanes(), checkpoint_folder=folder)
    assert len(list(folder.iterdir())) > 3
    (folder / checkpoints.IDENTITY).unlink()
    checkpoints.open_folder(folder, {"seed": 1}, resume=True)
    assert [path.name for path in folder.iterdir()] == [checkpoints.IDENTITY]
    checkpoints.remove_folder(folder)
    assert not list(tmp_path.iterdir())


def test_progress_counts_every_epoch(run):
    seen = []
    run(mixed_lanes(), trials.Monitor(report=seen.append), segment=2)
    assert seen[-1].epochs_done == 15
    assert seen[-1].epochs_left == seen[-1].running == 0
    assert [p.epochs_done for p in seen] == sorted(p.epochs_done for p in seen)
    assert all(p.images_per_second > 0 and np.isfinite(p.validation_loss) for p in seen)
    assert {p.epochs_restored for p in seen} == {0}


def test_progress_tells_what_checkpoints_gave(run, tmp_path):
    with pytest.raises(trials.Interrupted):
        run(mixed_lanes(), stop_after(2), segment=2, checkpoint_folder=tmp_path)
    seen = []
    run(mixed_lanes(), trials.Monitor(report=seen.append), segment=2, checkpoint_folder=tmp_path)
    restored = {p.epochs_restored for p in seen}
    assert len(restored) == 1 and 0 < restored.pop() < seen[0].epochs_done


def test_the_time_left_goes_by_what_this_process_did(monkeypatch, capsys):
    """Ten epochs in ten seconds beside fifty from checkpoints, and fifty to go."""
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr("ae_jax.progress.time.time", lambda: now[0])
    with progress.progress_bar("test", 110, shown=True) as monitor:
        monitor.log("compiled")
        now[0] += 10
        monitor.report(trials.Progress("all", 2, 2, 5, 60, 50, 50, 0.1, None, 1.0))
    assert "60/110 epochs [00:50 left" in capsys.readouterr().err


def test_two_groups_in_one_search(objective, data):
    """Their programs are compiled side by side, before the first call."""
    groups = [Group(str(size), objective, Plan(size, "adam"), mixed_lanes()) for size in (16, 32)]
    events = []
    monitor = trials.Monitor(lambda _: events.append("call"), events.append)
    first, second = trials.run_groups(groups, data, SPLITS, monitor=monitor)
    assert first.status.tolist() == second.status.tolist() == [DONE] * 3
    assert not np.array_equal(first.loss, second.loss)
    started, compiled = events[: events.index("call")], [event for event in events if "compiled in" in event]
    assert {event.split(":")[0] for event in compiled} == {"16", "32"} and set(compiled) <= set(started)


@pytest.mark.parametrize(
    "numbers,message",
    [
        ({"learning_rate": 0.0}, "learning_rate 0 is not allowed: it must be greater than 0"),
        ({"learning_rate": np.nan}, "learning_rate nan"),
        ({"l2": -1.0}, "l2 -1"),
        ({"dropout": 1.0}, "dropout 1 is not allowed: it must be at least 0 and less than 1"),
        ({"momentum": 1.5}, "momentum"),
        ({"noise": -0.1}, "noise"),
        ({"epochs": 0}, "epochs 0"),
    ],
)
def test_impossible_numbers_are_refused(numbers, message):
    with pytest.raises(UsageError, match=message):
        hparams(**numbers)


def test_a_batch_larger_than_the_data_is_refused(objective, data):
    with pytest.raises(UsageError, match="batch size 500 does not fit a training split of 120"):
        trials.run_lanes(objective, Plan(500, "adam"), mixed_lanes(), data, SPLITS)


def test_lanes_start_from_pretrained_parameters(objective, data, run):
    """Each lane from its own row; the rest of the tree is fresh. At learning rate zero nothing moves."""
    chosen = mixed_lanes(learning_rate=1e-30, epochs=1)
    encoder = run(mixed_lanes(), segment=2).params["params"]["encoder"]
    group = Group("transfer", objective, PLAN, chosen, {"params": {"encoder": encoder}})
    (result,) = trials.run_groups([group], data, SPLITS)
    jax.tree.map(np.testing.assert_array_equal, result.params["params"]["encoder"], encoder)
    fresh = run(chosen).params["params"]
    jax.tree.map(np.testing.assert_array_equal, result.params["params"]["decoder"], fresh["decoder"])


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        (
            {"params": {"head": {}}},
            "/params/head: the model has no such module, only encoder, decoder|decoder, encoder",
        ),
        ({"params": {"encoder": {"Dense_0": {"bias": np.zeros((1, 3))}}}}, r"bias: shape \(1, 3\), the model has"),
    ],
)
def test_pretrained_parameters_must_fit(objective, data, pretrained, message):
    group = Group("transfer", objective, PLAN, one_lane(mixed_lanes(), 0), pretrained)
    with pytest.raises(UsageError, match=message):
        trials.run_groups([group], data, SPLITS)
