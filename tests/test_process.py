"""How a command line ends: in a line and an exit code, whatever ends it."""

import contextlib
import errno
import signal
from pathlib import Path

import pytest

from ae_jax import process, trials
from ae_jax.types import UsageError

OPTIONS = {"resume=True": "--resume"}


def usage():
    raise UsageError("give\nresume=True")


def unreadable():
    Path("/nowhere/at/all").read_text()


def full():
    raise OSError(errno.ENOSPC, "No space left on device")


def too_long():
    Path("x" * 300).read_text()


def alone():
    raise ConnectionError("start all again, with\nresume=True")


def unread():
    raise BrokenPipeError


def stopped():
    raise trials.Interrupted("between two calls", signal.SIGTERM)


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        (usage, 2, "error: give --resume\n"),
        (unreadable, 1, "error: [Errno 2] No such file or directory: '/nowhere/at/all'\n"),
        (full, 1, "error: [Errno 28] No space left on device\n"),
        (too_long, 2, f"error: {'x' * 300}: a name that long is not allowed here; give a shorter one\n"),
        (alone, 1, "error: start all again, with --resume\n"),
        (unread, 1, ""),
        (lambda: signal.raise_signal(signal.SIGINT), 130, "stopped\n"),
        (lambda: signal.raise_signal(signal.SIGTERM), 143, "stopped\n"),
        (stopped, 143, "stopped\n"),
    ],
)
def test_every_end_is_a_line_and_an_exit_code(capsys, what, code, line):
    before = signal.getsignal(signal.SIGTERM)
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with pytest.raises(SystemExit) as end, process.in_one_line(OPTIONS, "stopped"):
        what()
    signal.signal(signal.SIGINT, inherited)
    assert end.value.code == code and capsys.readouterr() == ("", line)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_fault_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError), process.in_one_line(OPTIONS, "stopped"):
        1 / 0  # noqa: B018


def test_what_was_open_is_closed_by_sigterm():
    closed = []
    with pytest.raises(SystemExit), process.in_one_line(OPTIONS, "stopped"), contextlib.ExitStack() as stack:
        stack.callback(closed.append, True)
        signal.raise_signal(signal.SIGTERM)
    assert closed == [True]
