"""One run at a time in a place, by the word of the operating system; what nobody holds any more blocks nobody."""

import errno
import fcntl
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from ae_jax import locks, sharing
from ae_jax.types import UsageError

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("process 7 on mars since noon", file=file, flush=True)
print("held", flush=True)
time.sleep(300)
"""


def test_a_place_is_held_by_one_and_nothing_is_left(tmp_path):
    place = tmp_path / "new" / "study"
    with locks.alone(place), locks.alone(tmp_path / "new" / "another"):
        for _ in range(2):
            with pytest.raises(UsageError, match=rf"^{place}: another run is at work on it, process {os.getpid()} on"):
                locks.alone(place).__enter__()
    assert not list(place.parent.iterdir())
    with locks.alone(place):
        pass


def test_the_holder_is_named_and_its_lock_dies_with_it(tmp_path):
    """Another process, which knows nothing of ours, and is killed without a chance to take its file away."""
    beside = tmp_path / ".study.lock"
    line = [sys.executable, "-S", "-c", HOLDER, str(beside)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="process 7 on mars since noon; wait for its end, or end it") as error:
            locks.alone(tmp_path / "study").__enter__()
        assert "\n" not in str(error.value)
        holder.kill()
    assert beside.exists()
    with locks.alone(tmp_path / "study"):
        assert f"process {os.getpid()} on" in beside.read_text() and "mars" not in beside.read_text()
    assert not beside.exists()


def test_a_lock_on_a_file_that_was_just_removed_is_none(tmp_path, monkeypatch):
    """Its holder leaves between our opening of the file and our lock on it."""
    calls, beside, lock = [], tmp_path / ".study.lock", locks._lock

    def late(file, path):
        calls.append(beside.unlink() if not calls else None)
        lock(file, path)

    monkeypatch.setattr(locks, "_lock", late)
    with locks.alone(tmp_path / "study"):
        assert len(calls) == 2
        with pytest.raises(UsageError), beside.open() as file:
            lock(file, tmp_path)


def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.warns(UserWarning, match="no locks here .*No locks available"), locks.alone(tmp_path / "study"):
        pass


def test_where_no_file_can_be_the_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"), locks.alone(tmp_path / "file" / "study"):
        pass


def test_on_a_full_disk_no_lock_is_left(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with (
        pytest.raises(UsageError, match="study.lock: cannot be written .No space left"),
        locks.alone(tmp_path / "study"),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("index", "message"), [(0, "mine"), (1, "process 0 has refused the run")])
def test_what_the_first_process_refuses_every_process_does(monkeypatch, index, message):
    """Both ends of two processes, one after the other; each hears all words."""
    said = []
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        sharing.multihost_utils, "process_allgather", lambda word: said.append(word) or np.array([1, 0])
    )

    def refuse():
        raise UsageError("mine")

    with pytest.raises(UsageError, match=message):
        sharing.in_first_process(refuse)
    assert said == [index == 0]
