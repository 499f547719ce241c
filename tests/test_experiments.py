"""The studies as their users run them: command lines, wrong ones too, kills, and what lies on the disk afterwards."""

import csv
import random
import re
import signal
import socket
import subprocess
import time

import numpy as np
import pytest

from ae_jax import results
from tests.commands import ROOT, SMALL, command


def assert_same_results(path, reference):
    """Arrays bit for bit; of the provenance all but clocks."""
    (arrays, meta), (expected, expected_meta) = results.load(path), results.load(reference)
    assert arrays.keys() == expected.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)
    assert meta["dataset"] == expected_meta["dataset"]


def test_compression_from_end_to_end(run_study, tmp_path):
    done = run_study("compression", tmp_path, "--epochs", "2", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "Report against ours" in done.stdout and "not comparable" in done.stdout
    arrays, meta = results.load(tmp_path / "compression.npz", "compression")
    assert arrays["test_mse"].shape == (5, 2)
    assert arrays["noisy_mse"].shape == arrays["occluded_mse"].shape == (5, 2, 20)
    # The weakest noise, sigma 0.01, hardly changes the error.
    np.testing.assert_allclose(arrays["noisy_mse"][..., 0], arrays["test_mse"], rtol=0.01)
    assert not np.array_equal(arrays["test_mse"][:, 0], arrays["test_mse"][:, 1])
    assert meta["config"]["budget"]["epochs"] == 2 and meta["config"]["options"]["limit"] == 100
    assert "digits (not MNIST)" in meta["caption"] and "budget quick" in meta["caption"]
    for figure in ("fig2_latent", "fig3_noisy", "fig4_occluded", "reconstructions"):
        for suffix in (".png", ".pdf"):
            path = tmp_path / f"compression_{figure}{suffix}"
            assert path.stat().st_size > 5000
            assert str(path) in done.stdout


def search(*arguments):
    return "--study", "A1", "--trials", "4", "--epochs", "10", "--segment", "1", *arguments


def test_a_search_killed_ten_times_ends_with_the_same_bits(run_study, environment, tmp_path):
    reference = run_study("random_search", tmp_path / "reference", *search())
    assert reference.returncode == 0, reference.stderr
    out, rng = tmp_path / "killed", random.Random(0)
    folder = out / "random_search_A1.checkpoints"
    kills = 0
    while kills < 10:
        process = subprocess.Popen(
            command("random_search", out, *search("--resume")), env=environment, cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started, writes = time.time(), rng.choice([0, 1, 2])
        while process.poll() is None and sum(p.stat().st_mtime > started for p in list_files(folder)) < writes:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.03 if writes else 2.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    finished = run_study("random_search", out, *search("--resume"))
    assert finished.returncode == 0, finished.stderr
    assert_same_results(out / "random_search_A1.npz", tmp_path / "reference" / "random_search_A1.npz")
    assert not folder.exists()


def list_files(folder):
    """The checkpoints there, ignoring those renamed meanwhile."""
    return [path for path in folder.glob("*.msgpack") if path.exists()] if folder.exists() else []


def test_ctrl_c_stops_after_the_segment_and_resumes(run_study, environment, tmp_path):
    arguments = search("--trials", "2", "--epochs", "400")
    process = subprocess.Popen(
        command("random_search", tmp_path, *arguments), env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list_files(tmp_path / "random_search_A1.checkpoints"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping after this segment" in stderr and "--resume" in stderr and "Traceback" not in stderr
    refused = run_study("random_search", tmp_path, *arguments)
    assert refused.returncode == 2 and "add --resume" in refused.stderr
    other = run_study("random_search", tmp_path, *arguments, "--resume", "--seed", "1")
    assert other.returncode == 2 and "seed was 0 and is now 1" in other.stderr
    assert list_files(tmp_path / "random_search_A1.checkpoints")


def test_a_table_of_trials_is_exported_and_run_again(run_study, tmp_path):
    first = run_study(
        "random_search", tmp_path / "a", "--study", "B3", "--trials", "2", "--epochs", "1", "--export", "csv"
    )
    assert first.returncode == 0, first.stderr
    table = tmp_path / "a" / "random_search_B3.csv"
    rows = list(csv.DictReader(table.open()))
    assert {"rank", "learning_rate", "latent", "batch_size", "status", "score", "fold_4"} <= rows[0].keys()
    assert float(rows[0]["score"]) <= float(rows[1]["score"])
    again = run_study("random_search", tmp_path / "b", "--study", "B3", "--trials-from", str(table))
    assert "leave out the option or the column" in again.stderr
    again = run_study("random_search", tmp_path / "b", "--study", "B3", "--trials-from", str(table), tiny=SMALL)
    assert again.returncode == 0, again.stderr
    arrays, _ = results.load(tmp_path / "b" / "random_search_B3.npz", "random_search")
    np.testing.assert_allclose(arrays["trial_learning_rate"], [float(row["learning_rate"]) for row in rows])
    assert (tmp_path / "b" / "random_search_B3_parallel.html").exists()


def test_early_stopping_and_architectures(run_study, tmp_path):
    done = run_study("random_search", tmp_path, "--study", "C1", "--trials", "2", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert "2 trials in 2 programs" in done.stdout


def test_dry_run_trains_nothing(run_study, tmp_path):
    done = run_study("random_search", tmp_path, "--study", "B3", "--trials", "2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "2 trials x 5 folds in 1 program\n" in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_memory_estimate_is_within_twice_the_measured_peak(run_study, tmp_path):
    arguments = "--study", "A1", "--trials", "8", "--epochs", "5"
    planned = run_study("random_search", tmp_path, *arguments, "--dry-run", tiny=["--dataset", "digits"])
    (gib,) = re.findall(r"about ([\d.]+) GiB", planned.stdout)
    done = run_study("random_search", tmp_path, *arguments, tiny=["--dataset", "digits"])
    assert done.returncode == 0, done.stderr
    measured = results.load(tmp_path / "random_search_A1.npz")[1]["peak_host_bytes"] / 2**30
    assert measured / 2 < float(gib) < measured * 2


def test_several_devices_give_the_same_numbers(run_study, tmp_path):
    """Four CPU devices share the lanes; another partition is another program: 1e-4 after ten epochs."""
    for name, devices in (("one", "1"), ("four", "4")):
        done = run_study("random_search", tmp_path / name, *search(), JAX_NUM_CPU_DEVICES=devices)
        assert done.returncode == 0, done.stderr
    one, four = (results.load(tmp_path / name / "random_search_A1.npz") for name in ("one", "four"))
    np.testing.assert_allclose(one[0]["score"], four[0]["score"], rtol=1e-4)
    assert four[1]["device"].startswith("4 x")


@pytest.fixture
def two_processes(environment, tmp_path):
    """``two_processes(arguments)`` starts a search in two processes on this machine."""

    def start(*arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        joined = ["--distributed", "--coordinator", coordinator, "--num-processes", "2", "--process-id"]
        return [
            subprocess.Popen(
                command("random_search", tmp_path / "two", *arguments, *joined, str(index)), env=environment, cwd=ROOT,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for index in range(2)
        ]  # fmt: skip

    return start


def test_ctrl_c_in_one_of_two_processes_stops_both(two_processes, tmp_path):
    """The other finishes its share first; neither waits for ever, and both say how to go on."""
    processes = two_processes(*search("--trials", "2", "--epochs", "200"))
    while processes[1].poll() is None and not list_files(tmp_path / "two" / "random_search_A1.checkpoints"):
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGINT)
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [130, 130], outputs
    assert all("--resume" in stderr for _, stderr in outputs)
    assert not list((tmp_path / "two").glob("*.npz"))


def test_two_processes_give_the_same_numbers(run_study, two_processes, tmp_path):
    """Each trains half of the lanes; process 0 writes. A process alone runs the same program: bit for bit."""
    alone = run_study("random_search", tmp_path / "alone", *search())
    assert alone.returncode == 0, alone.stderr
    processes = two_processes(*search())
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "Wrote:" in outputs[0][0] and "Wrote:" not in outputs[1][0]
    name = "random_search_A1.npz"
    assert_same_results(tmp_path / "two" / name, tmp_path / "alone" / name)


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
        ("random_search", ["--study", "Z9"], "Z9"),
        ("random_search", ["--trials", "0"], "--trials 0"),
        ("random_search", ["--trials-from", "nowhere.csv"], "nowhere.csv"),
        ("random_search", ["--trials-from", "nowhere.npz"], "nowhere.npz"),
        ("random_search", ["--halving", "0", "3"], "halving"),
        ("compression", ["--epochs", "99999999999"], "--epochs 99999999999"),
        ("random_search", ["--process-id", "0"], "cannot join a distributed run"),
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


def test_help_explains_itself(run_study, tmp_path):
    for study in ("compression", "random_search"):
        done = run_study(study, tmp_path, "--help")
        assert done.returncode == 0
        for option in (
            "--dataset",
            "--data-dir",
            "--budget",
            "--out",
            "--seed",
            "--epochs",
            "--limit",
            "--batch-size",
        ):
            assert option in done.stdout
