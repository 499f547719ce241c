"""The studies as their users run them: command lines, wrong ones too, kills, and what lies on the disk afterwards."""

import csv
import dataclasses
import json
import re
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from ae_jax import data, results
from ae_jax.lanes import STATUS_NAMES
from ae_jax.types import UsageError
from experiments import common, generators, run_all
from tests.aimed import CHECKPOINT, aimed, watched
from tests.commands import MODULES, ROOT, SMALL, STUDIES, in_group, noisy, words

A1 = STUDIES["random_search_A1"][1].split()
HALVING = "--study", "A1", "--trials", "4", "--epochs", "10", "--segment", "1", "--halving", "2", "2"
ONE_DEVICE = {"JAX_NUM_CPU_DEVICES": "1"}  # a process of its own with the devices of this one
CLOCKS = {
    "created", "compile_seconds", "train_seconds", "wall_seconds", "cpu_seconds", "peak_host_bytes", "resumed",
    "git_commit",
}  # fmt: skip
SEARCHED = {"best_test_loss", "images", "reconstructions"}  # of a search, from the test images
FREE_OPTIONS = {"out", "resume", "distributed", "coordinator", "num_processes", "process_id"}

searches = pytest.mark.xdist_group("random_search_A1")


def assert_same_results(path, reference, but=()):
    """Arrays bit for bit; of the provenance all but clocks, how the run was started, and ``but``."""
    (arrays, meta), (expected, expected_meta) = results.load(path), results.load(reference)
    assert arrays.keys() == expected.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)
    for side in (meta, expected_meta):
        for name in CLOCKS | set(but):
            del side[name]
        for name in FREE_OPTIONS:
            del side["config"]["options"][name]
    assert meta == expected_meta


def first_progress(stderr):
    """How many lane-epochs the bar told behind us when it first moved: more than a call's, if a run went on."""
    return next(n for n in map(int, re.findall(r"(\d+)/\d+ epochs", stderr)) if n)


def checkpoints(folder):
    return sorted(path.name for path in folder.glob("*.msgpack"))


def left_over(folder, ending):
    """Files under temporary names: a process died before they got their own."""
    return [path.name for path in folder.glob(f".*{ending}.*")]


@pytest.fixture(scope="module")
def ask(environment):
    """``ask(question)``: what ``python -m tests.aimed`` answers, the parent of the searches that aim at themselves."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.aimed"], env=environment | ONE_DEVICE, cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as parent:  # fmt: skip

        def call(question):
            print(json.dumps(question), file=parent.stdin, flush=True)
            return int(parent.stdout.readline())

        yield call


@pytest.fixture
def aimed_process(ask, tmp_path_factory, tmp_path):
    """``aimed_process(signal, event, pattern, counts, *arguments)`` starts a search that sends itself the signal.

    The call of what comes back waits for its end.
    """

    def start(signum, event, pattern, counts, *arguments, out=tmp_path):
        streams = [tmp_path_factory.mktemp("streams") / name for name in ("stdout", "stderr")]
        child = ask([*map(str, streams), signum, event, pattern, counts, *words(out, *arguments)])
        return lambda: subprocess.CompletedProcess(arguments, ask(child), *(path.read_text() for path in streams))

    return start


@searches
def test_a_search_killed_at_five_moments_ends_with_the_same_bits(ran, run_study, aimed_process, tmp_path):
    """Each kill is shown by what lies there to have hit its moment; each start goes on from what the last has left.

    The third is a second SIGTERM, which nobody is asked about any more.
    """
    folder, npz = tmp_path / "random_search_A1.checkpoints", tmp_path / "random_search_A1.npz"

    def kill(event, pattern, *counts, by="SIGKILL"):
        killed = aimed_process(by, event, pattern, counts, *A1, "--resume")()
        assert killed.returncode == -signal.Signals[by], killed.stderr

    kill("os.rename", "search.json", 1)  # at the start, before the folder says whose it is
    assert left_over(folder, "search.json") and not (folder / "search.json").exists()

    kill("open", ".*.msgpack.*", 4)  # the fourth lane has trained a segment of which nothing is written
    assert len(checkpoints(folder)) == 3 and not left_over(folder, "msgpack")

    kill(
        "os.rename", "group*", 2, 3, by="SIGTERM"
    )  # the fourth lane's is written, the first lane's second one is not: the old one is set aside
    assert len(checkpoints(folder)) == 3 and len(left_over(folder, "msgpack")) == 1
    assert len(list(folder.glob("*.previous"))) == 1

    kill("os.rename", npz.name, 1)  # all is trained, the results are under a temporary name
    assert len(checkpoints(folder)) == 4 and left_over(tmp_path, "npz") and not npz.exists()

    kill("os.rename", "*.png", 1)  # with the results there and the figures not
    assert npz.exists() and not list(tmp_path.glob("*.p??")) and folder.exists()

    with watched(*CHECKPOINT) as trained:
        finished = run_study("random_search", tmp_path, *A1, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert not trained
    assert_same_results(npz, ran("random_search_A1").npz)
    assert not folder.exists() and (tmp_path / "random_search_A1_scatter.png").exists()
    assert not list(tmp_path.glob(".*"))


@searches
def test_ctrl_c_stops_after_the_segment_and_resume_goes_on_from_there(ran, run_study, tmp_path):
    """What was trained is not trained again: the checkpoints written before and after are those of one run."""
    reference = ran("random_search_A1")
    total = int(reference.arrays["epochs"].sum())
    folder = tmp_path / "random_search_A1.checkpoints"
    with aimed(signal.SIGINT, *CHECKPOINT, 3) as before:
        stopped = run_study("random_search", tmp_path, *A1)
    assert stopped.returncode == 130
    assert "stopping after this segment" in stopped.stderr and "--resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert len(before) == len(checkpoints(folder)) == 3 and not list(tmp_path.glob("*.npz"))

    refused = run_study("random_search", tmp_path, *A1)
    assert refused.returncode == 2 and "give --resume" in refused.stderr
    other = run_study("random_search", tmp_path, *A1, "--resume", "--seed", "1")
    assert other.returncode == 2 and "seed was 0 and is now 1" in other.stderr
    assert len(checkpoints(folder)) == 3

    with watched(*CHECKPOINT) as after:
        resumed = run_study("random_search", tmp_path, *A1, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert len(after) == total - 3 and first_progress(resumed.stderr) == 4
    assert_same_results(tmp_path / "random_search_A1.npz", reference.npz)
    assert results.load(tmp_path / "random_search_A1.npz")[1]["resumed"] and not reference.meta["resumed"]
    assert first_progress(reference.done.stderr) == 1 and f"{total}/{total} epochs" in reference.done.stderr


@searches
def test_a_checkpoint_is_written_after_every_segment(run_study, tmp_path):
    """Two trials of 2 to 10 epochs in segments of 4; no run lies there to resume, which it says.

    Meanwhile the same line again is refused, without harm to the first.
    """
    line = "random_search", tmp_path, "--trials", "2", "--epochs", "10", "--segment", "4", "--resume"
    second = []
    with watched(*CHECKPOINT, lambda found: len(found) == 2 and second.append(run_study(*line))) as written:
        done = run_study(*line)
    assert done.returncode == 0 and "nothing to resume" in done.stderr
    assert second[0].returncode == 2 and second[0].stderr.count("\n") == 1
    assert f"error: {tmp_path / 'random_search_A1'}: another run is at work on it, process" in second[0].stderr
    assert "or take another --out" in second[0].stderr and not list(tmp_path.glob(".*"))
    epochs = results.load(tmp_path / "random_search_A1.npz")[0]["epochs"]
    assert len(written) == np.ceil(epochs / 4).sum()


@in_group("baseline")
def test_everything_at_once_resumes_an_unfinished_study(ran, run_study, tmp_path):
    """Stopped in the middle of a study, the same command trains the rest of it, and the numbers are the same."""
    arguments = "--only", "baseline", *STUDIES["baseline"][1].split()
    of_another = tmp_path / "baseline_factors.checkpoints" / "0"  # a study whose name begins alike
    of_another.mkdir(parents=True)
    with aimed(signal.SIGTERM, *CHECKPOINT, 5) as before:
        stopped = run_study("run_all", tmp_path, *arguments)
    assert stopped.returncode == 143 and "go on from the last checkpoint with --resume" in stopped.stderr
    assert len(before) == 5 and not list(tmp_path.glob("*.npz"))
    with watched(*CHECKPOINT) as after:
        first = run_study("run_all", tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    assert len(after) == 4 * 4 - 5 and first_progress(first.stderr) == 6  # two lanes of Adam, one each of the others
    assert_same_results(tmp_path / "baseline.npz", ran("baseline").npz)
    assert "B1 validation MSE" in (tmp_path / "reproduction.csv").read_text()
    assert of_another.exists() and not (tmp_path / "baseline.checkpoints").exists()

    written = (tmp_path / "baseline.npz").stat().st_mtime_ns
    again = run_study("run_all", tmp_path, *arguments)
    assert again.returncode == 0 and "baseline: already there" in again.stdout
    assert (tmp_path / "baseline.npz").stat().st_mtime_ns == written
    other = run_study("run_all", tmp_path, *arguments, "--seeds", "3")
    assert other.returncode == 2 and "seeds was 2 and is now 3" in other.stderr


def test_an_option_that_a_study_did_not_have_yet_was_at_its_default(tmp_path):
    options = generators.Options(dataset="digits", out=tmp_path)
    said = common.plain(options)
    del said["samples"]
    results.save(tmp_path / "generators.npz", {}, {"study": "generators", "config": {"options": said}})
    assert run_all._is_done(generators.STUDY, options)
    with pytest.raises(UsageError, match="samples was 1000 and is now 50"):
        run_all._is_done(generators.STUDY, dataclasses.replace(options, samples=50))


def test_a_study_that_fails_does_not_stop_the_others(short_gradients, run_study, tmp_path):
    """With five test images the anomaly study lacks a digit; the gradients need no more than that."""
    tiny = ["--dataset", "digits", "--limit", "5", "--batch-size", "2"]
    both = run_study("run_all", tmp_path, "--only", "anomaly", "gradients", tiny=tiny)
    assert both.returncode == 2 and "1 of 2 studies failed: anomaly" in both.stderr
    assert "anomaly failed: no test image of" in both.stderr
    with (tmp_path / "reproduction.csv").open() as file:
        assert {row["study"] for row in csv.DictReader(file)} == {"gradients"}
    assert [path.name for path in tmp_path.glob("*.npz")] == ["gradients.npz"]
    skipped = run_study("run_all", tmp_path, "--only", "anomaly", "gradients", "--skip", "anomaly", tiny=tiny)
    assert skipped.returncode == 0 and "[1/1] gradients: already there" in skipped.stdout
    none = run_study("run_all", tmp_path / "none", "--only", "anomaly", tiny=tiny)
    assert (
        none.returncode == 2
        and "1 of 1 studies failed: anomaly" in none.stderr
        and not list((tmp_path / "none").iterdir())
    )
    for option in ("--only", "--skip"):
        unknown = run_study("run_all", tmp_path, option, "A7")
        assert unknown.returncode == 2 and "no study 'A7': choose among compression" in unknown.stderr


@in_group("random_search_B3")
def test_a_table_of_trials_is_exported_and_run_again(ran, run_study, tmp_path):
    first = ran("random_search_B3")
    table = first.npz.with_suffix(".csv")
    rows = list(csv.DictReader(table.open()))
    assert {"rank", "learning_rate", "latent", "batch_size", "status", "score", "fold_4"} <= rows[0].keys()
    assert float(rows[0]["score"]) <= float(rows[1]["score"])
    again = run_study("random_search", tmp_path, "--study", "B3", "--trials-from", str(table))
    assert "leave out the option or the column" in again.stderr
    again = run_study("random_search", tmp_path, "--study", "B3", "--trials-from", str(table), tiny=SMALL)
    assert again.returncode == 0, again.stderr
    arrays, _ = results.load(tmp_path / "random_search_B3.npz", "random_search")
    best_first = first.arrays["ranking"]
    for name in ("learning_rate", "dropout", "l2", "latent", "batch_size", "epochs"):
        np.testing.assert_allclose(arrays[f"trial_{name}"], first.arrays[f"trial_{name}"][best_first], rtol=1e-6)


@searches
def test_the_trials_of_an_npz_run_again_with_the_same_bits(ran, run_study, tmp_path):
    """The same trials in the same order get the same seeds, so that nothing differs but where they came from."""
    reference = ran("random_search_A1")
    given = "--study", "A1", "--segment", "1", "--trials-from", str(reference.npz)
    done = run_study("random_search", tmp_path, *given, tiny=SMALL)
    assert done.returncode == 0, done.stderr
    arrays, meta = results.load(tmp_path / "random_search_A1.npz", "random_search")
    assert arrays.keys() == reference.arrays.keys() and not meta["comparable"]
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], reference.arrays[name], err_msg=name)
    foreign = results.save(tmp_path / "foreign.npz", arrays, meta | {"study": "gradients"})
    refused = run_study("random_search", tmp_path, "--trials-from", str(foreign))
    assert refused.returncode == 2 and "results of the study 'gradients'" in refused.stderr


@searches
def test_halved_trials_rank_last(run_study, tmp_path):
    """At epoch 6 the better of two goes on; a trial of one epoch, the worst of all by its loss, was done before.

    The halved one ranks behind it nevertheless: its loss is not that of a finished run.
    """
    table = tmp_path / "trials.csv"
    table.write_text("learning_rate,l2,dropout,epochs\n0.0001,0,0,1\n0.003,0,0,12\n0.01,0,0,12\n")
    done = run_study("random_search", tmp_path, "--trials-from", str(table), "--halving", "6", "2")
    assert done.returncode == 0, done.stderr
    assert "epoch 6: 1 of 2 trials go on" in done.stderr
    arrays, meta = results.load(tmp_path / "random_search_A1.npz", "random_search")
    short, halved, best = 0, 1, 2
    assert [STATUS_NAMES[status] for status in arrays["status"][:, 0]] == ["done", "halved", "done"]
    assert arrays["epochs"][:, 0].tolist() == [1, 6, 12]
    assert arrays["score"][best] < arrays["score"][halved] < arrays["score"][short]
    assert arrays["ranking"].tolist() == [best, short, halved]
    assert np.isnan(arrays["validation_loss"][halved, 0, 6:]).all()
    assert not meta["comparable"] and meta["config"]["options"]["halving"] == [6, 2]


@in_group("random_search_C1")
def test_early_stopping_stops_after_the_patience_and_no_earlier(run_study, tmp_path):
    """C1 waits five epochs for a lower validation loss.

    At a learning rate of 1e-30 no weight changes, so that the first epoch is the best and the sixth the last; at
    0.001 every epoch is better than the last one, and all twelve are trained.
    """
    table = tmp_path / "trials.csv"
    header = "conv1,conv2,conv3,hidden,learning_rate,l2,dropout,epochs"
    table.write_text(f"{header}\n8,16,32,32,1e-30,0,0,12\n8,16,32,32,0.001,0,0,12\n")
    done = run_study("random_search", tmp_path, "--study", "C1", "--trials-from", str(table))
    assert done.returncode == 0, done.stderr
    arrays, meta = results.load(tmp_path / "random_search_C1.npz", "random_search")
    assert meta["config"]["patience"] == 5
    assert [STATUS_NAMES[status] for status in arrays["status"][:, 0]] == ["early-stopped", "done"]
    assert arrays["epochs"][:, 0].tolist() == [6, 12]
    curves = arrays["validation_loss"][:, 0]
    assert np.isfinite(curves[0, :6]).all() and np.isnan(curves[0, 6:]).all() and (np.diff(curves[1]) < 0).all()
    assert arrays["ranking"].tolist() == [1, 0]


@in_group("random_search_C1")
def test_every_architecture_is_a_program(ran):
    first = ran("random_search_C1")
    assert "4 trials in 3 programs, 2 of them beside the search" in first.done.stdout
    shapes = {tuple(int(first.arrays[f"trial_{name}"][i]) for name in ("conv1", "conv2", "conv3")) for i in (0, 1)}
    assert len(shapes) == 2


@pytest.mark.parametrize(("study", "trials"), [("A1", "2 trials in 1 program\n"), ("B3", "8 trials x 5 folds in 2")])
@searches
def test_dry_run_trains_nothing(run_study, monkeypatch, tmp_path, study, trials):
    """Nothing is written and no compiled program is called; the same search in earnest calls and writes."""
    calls, call = [], jax.stages.Compiled.__call__
    monkeypatch.setattr(jax.stages.Compiled, "__call__", lambda *a, **k: calls.append(1) or call(*a, **k))
    arguments = "--study", study, "--trials", "2", "--epochs", "1"
    done = run_study("random_search", tmp_path, *arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert trials in done.stdout and "lane-epochs" in done.stdout
    assert not calls and not list(tmp_path.iterdir())
    if study == "A1":
        assert run_study("random_search", tmp_path, *arguments).returncode == 0
        assert calls and (tmp_path / "random_search_A1.npz").exists()


MEMORY = """
import json, re, resource, sys
from tests.commands import run, words
folder, *extra = sys.argv[1:]
found = []
for size in ("small", "large"):
    given = "--trials-from", f"{folder}/{size}.csv", "--batch-size", "1024", *extra
    done = run("random_search", words(f"{folder}/{size}", *given, tiny=["--dataset", "digits"]), {})
    assert done.returncode == 0, done.stderr
    estimates = re.findall(r"about ([\\d.]+) GiB", done.stdout)
    found.append([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, *map(float, estimates)])
print(json.dumps(found))
"""


def test_the_memory_estimate_is_near_the_measured_peak(environment, tmp_path):
    """Estimated in one process, measured in another: of a small network, and of one that needs a gigabyte more.

    The estimating process itself never takes as much, and no one number is near to both.
    """
    header = "learning_rate,l2,dropout,epochs,hidden,conv2,conv3,conv1"
    for size, channels in (("small", 8), ("large", 1024)):
        (tmp_path / f"{size}.csv").write_text(f"{header}\n0.001,0,0,1,16,8,8,{channels}\n")

    earnest = environment | ONE_DEVICE | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}

    def measure(*extra):
        # By way of a shell: a process's peak starts from what its parent held.
        line = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", MEMORY, str(tmp_path), *extra]
        done = subprocess.run(line, env=earnest, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    (_, small), (held, large) = measure("--dry-run")
    (small_peak,), (large_peak,) = measure()
    near = 1.4
    assert small_peak / near < small < small_peak * near
    assert large_peak / near < large < large_peak * near
    assert held * near < large_peak and small_peak * near**2 < large_peak


@searches
def test_several_devices_give_the_same_numbers(ran, run_process, tmp_path):
    """Four CPU devices share the lanes; another partition is another program: 1e-4 after ten epochs."""
    done = run_process("random_search", tmp_path, *A1, JAX_NUM_CPU_DEVICES="4")
    assert done.returncode == 0, done.stderr
    (one, of_one), (four, of_four) = ran("random_search_A1")[2:4], results.load(tmp_path / "random_search_A1.npz")
    np.testing.assert_allclose(one["score"], four["score"], rtol=1e-4)
    assert of_four["device"].startswith("4 x") and of_one["device"].startswith("1 x")


@searches
def test_two_processes_halve_stop_and_resume_to_the_numbers_of_one(run_study, aimed_process, tmp_path):
    """Each trains half of the lanes and meets the other at the rungs; process 0 writes.

    SIGTERM in one of them stops both: the other finishes its share first, neither waits for ever, both say how to go
    on. A process alone runs the same programs: bit for bit.
    """
    alone = run_study("random_search", tmp_path / "alone", *HALVING)
    assert alone.returncode == 0, alone.stderr
    name, folder = "random_search_A1.npz", tmp_path / "two" / "random_search_A1.checkpoints"

    def together(interrupted_at, *extra):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        joined = "--distributed", "--coordinator", coordinator, "--num-processes", "2", "--process-id"
        running = [
            aimed_process("SIGTERM", *CHECKPOINT, [count], *HALVING, *extra, *joined, str(index), out=tmp_path / "two")
            for index, count in enumerate((0, interrupted_at))
        ]
        return [wait() for wait in running]

    processes = together(6)
    assert [process.returncode for process in processes] == [143, 143], processes
    assert all("--resume" in process.stderr for process in processes)
    assert checkpoints(folder) and not (tmp_path / "two" / name).exists()

    writer, other = together(0, "--resume")
    assert (writer.returncode, other.returncode) == (0, 0), (writer, other)
    assert "Wrote:" in writer.stdout and "Wrote:" not in other.stdout
    assert first_progress(writer.stderr) > 4  # its share up to the first rung was done
    assert_same_results(tmp_path / "two" / name, tmp_path / "alone" / name, but={"device"})
    status = results.load(tmp_path / "alone" / name)[0]["status"]
    assert {STATUS_NAMES[s] for s in status.flat} == {"done", "halved"}


@pytest.mark.parametrize(
    ("name", "tested"),
    [
        pytest.param(name, tested, marks=in_group(name))
        for name, tested in (
            ("random_search_A1", SEARCHED),
            ("random_search_B3", SEARCHED | {"beside_test_loss"}),
            ("random_search_C1", SEARCHED | {"beside_test_loss"}),
            ("baseline", set()),
            ("reconstruction_losses", {"test_mse", "mean_image_test_mse", "sharpness", "images", "reconstructions",
                                       "lost_pixels", "lost_mse"}),
            ("linear_pca", {"test_mse", "best_test_mse", "mean_image_test_mse", "pca_test_mse", "stage_test_mse",
                            "images", "pca_reconstructions", "stage_reconstructions", "reconstructions"}),
        )
    ],
)  # fmt: skip
def test_the_test_set_never_selects(ran, run_study, monkeypatch, tmp_path, name, tested):
    """With noise for test images only what was measured on them changes; trials, curves, ranking and weights stay."""
    reference = ran(name)  # before the images are others
    monkeypatch.setattr(data, "load", noisy(data.load))
    module, arguments = STUDIES[name]
    done = run_study(module, tmp_path, *arguments.split())
    assert done.returncode == 0, done.stderr
    arrays, meta = results.load(tmp_path / f"{name}.npz")
    assert meta["dataset"]["sha256"] != reference.meta["dataset"]["sha256"]
    for key, values in reference.arrays.items():
        assert np.array_equal(arrays[key], values, equal_nan=values.dtype.kind == "f") == (key not in tested), key


@pytest.mark.parametrize(
    "study,arguments,message",
    [
        ("compression", ["--dataset", "cifar"], "cifar"),
        ("compression", ["--budget", "huge"], "huge"),
        ("compression", ["--epoch", "3"], "--epochs"),
        ("compression", ["--epochs", "-3"], "--epochs -3"),
        ("compression", ["--epochs", "many"], "many"),
        ("compression", ["--batch-size", "0"], "--batch-size 0"),
        ("compression", ["--batch-size", "100000"], "batch size 100000"),
        ("compression", ["--limit", "-1"], "--limit -1"),
        ("compression", ["--seeds", "0"], "--seeds 0"),
        ("compression", ["--seed", "-1"], "--seed -1"),
        ("compression", ["--learning-rate", "-0.1"], "learning_rate -0.1"),
        ("compression", ["--dropout", "1.5"], "dropout 1.5"),
        ("compression", ["--l2", "nan"], "l2 nan"),
        ("compression", ["--precision", "tf32"], "not allowed on a CPU"),
        ("compression", ["--out", "/proc/nowhere"], "/proc/nowhere"),
        ("compression", ["--out", str(ROOT / "README.md")], "README.md"),
        ("denoising", ["--noise", "-1"], "noise -1"),
        ("transfer", ["--labels", "0"], "--labels 0"),
        ("random_search", ["--study", "Z9"], "Z9"),
        ("random_search", ["--trials", "0"], "--trials 0"),
        ("random_search", ["--trials-from", "nowhere.csv"], "nowhere.csv"),
        ("random_search", ["--trials-from", "nowhere.npz"], "nowhere.npz"),
        ("random_search", ["--halving", "0", "3"], "halving"),
        ("compression", ["--epochs", "99999999999"], "--epochs 99999999999"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run_study, tmp_path, study, arguments, message):
    done = run_study(study, tmp_path, *arguments)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0], done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


HEADER = "learning_rate,l2,dropout,epochs,latent"


@pytest.mark.parametrize(
    "content,message",
    [
        (f"{HEADER}\n0.01,0,0,1,2\nfast,0,0,1,3\n", "trials.csv, line 3: learning_rate is 'fast'"),
        (f"{HEADER}\n0.01,0,0,1\n", "line 2: latent is None"),
        ("learnig_rate,l2\n0.01,0\n", "unknown column learnig_rate"),
        ("l2,dropout,epochs\n0,0,1\n", "no column learning_rate"),
        (f"{HEADER}\n", "no trials in it"),
        (f"{HEADER}\n0.01,0,0,1,0\n", "latent 0 is not allowed"),
        (f"{HEADER}\n0.01,0,0,1,2.5\n", "latent 2.5 is not allowed"),
        (f"{HEADER}\n0.01,0,2,1,2\n", "dropout 2 is not allowed"),
        (f"{HEADER}\n0.01,0,0,1.5,2\n", "give whole numbers"),
        (f"{HEADER},optimizer\n0.01,0,0,1,2,adamw\n", "optimizer 'adamw' is not allowed"),
    ],
)
def test_bad_tables_are_refused(run_study, tmp_path, content, message):
    table = tmp_path / "trials.csv"
    table.write_text(content)
    done = run_study("random_search", tmp_path / "out", "--trials-from", str(table), tiny=SMALL)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_single_trial_from_a_spreadsheet(run_study, tmp_path):
    """A byte order mark, one row, columns left out that the study fixes: no figure to draw, but a result."""
    table = tmp_path / "trials.csv"
    table.write_text("\ufefflearning_rate,l2,dropout,epochs\n0.01,0.0001,0,1\n")
    done = run_study("random_search", tmp_path, "--trials-from", str(table))
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / "random_search_A1.npz")
    assert arrays["trial_batch_size"].tolist() == [16] and arrays["trial_optimizer"].tolist() == ["adamax"]


def _options(done):
    """A help page by option: what stands there, without its frame."""
    assert done.returncode == 0, done.stderr
    parts = (re.sub(r"[\s│╭╮╰╯─]+", " ", part).strip() for part in re.split(r"\n[│ ] (?=--[a-z])", done.stdout)[1:])
    return {part.split(",")[0].split()[0]: part for part in parts}


@pytest.mark.parametrize("module", MODULES)
def test_help_explains_every_option_and_shared_ones_are_the_same(run_study, tmp_path, module):
    """Name, type, explanation and default."""
    shared, own = (_options(run_study(study, tmp_path, "--help")) for study in ("latent_space", module))
    shared = {option: text for option, text in shared.items() if option not in ("--study", "--seeds", "--tsne-sample")}
    expected = {field.name for field in dataclasses.fields(common.Options)}
    assert {option[2:].replace("-", "_") for option in shared} == expected
    assert {option: own.get(option) for option in shared} == shared
    assert all(len(text.split()) > 5 for text in own.values()), own


@pytest.mark.parametrize(
    ("study", "arguments", "code", "words"),
    [
        ("compression", ["--help"], 0, "usage: "),
        ("compression", ["--epochs", "-3"], 2, "error: --epochs -3"),
        ("random_search", ["--process-id", "0"], 2, "error: cannot join a distributed run"),
    ],
)
def test_a_process_of_its_own_answers_as_this_one(run_process, tmp_path, study, arguments, code, words):
    """Help and refusals are asked for in this process elsewhere; here they leave through the interpreter's exit."""
    done = run_process(study, tmp_path, *arguments)
    assert done.returncode == code and words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
