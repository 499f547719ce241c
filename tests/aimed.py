"""Signals aimed at moments of a run: when the n-th file of a kind is about to be opened, renamed or deleted.

Python's audit events tell the moment, so that nothing of the project is patched. Within a process :func:`aimed` does
it, and :func:`watched` only takes notes. As a program, ``python -m tests.aimed`` is the parent of searches that aim at
themselves, each a fork: it has imported what they need, which would take longer than they do, and computed nothing.
"""

import contextlib
import fnmatch
import importlib
import json
import os
import runpy
import signal
import sys
from pathlib import Path

STUDY = "experiments.random_search"
LIMIT = 300  # seconds that a search may take

CHECKPOINT = "os.rename", "*.msgpack"  # the moment a lane's checkpoint takes its name
PLACE = {"open": 0, "os.rename": 1, "shutil.rmtree": 0}  # of the path among an event's arguments
_watchers = []


def _hook(event, arguments):
    if _watchers and event in PLACE:
        for watcher in tuple(_watchers):
            watcher(event, arguments[PLACE[event]])


sys.addaudithook(_hook)  # for good: a hook cannot be taken back


@contextlib.contextmanager
def watched(event, pattern, then=lambda found: None):
    """The names of the files that ``event`` is about to touch, in their order: a list that grows.

    ``then`` is called with it whenever it has grown.
    """
    found = []

    def watch(happened, path):
        if happened == event and isinstance(path, str | os.PathLike) and fnmatch.fnmatch(Path(path).name, pattern):
            found.append(Path(path).name)
            then(found)

    _watchers.append(watch)
    try:
        yield found
    finally:
        _watchers.remove(watch)


def aimed(signum, event, pattern, *counts):
    """Send this process ``signum`` just before the ``count``-th such event, for each of ``counts``."""

    def send(found):
        if len(found) in counts:
            os.kill(os.getpid(), signum)

    return watched(event, pattern, send)


def search(stdout, stderr, signum, event, pattern, counts, *arguments):
    """A search with these ``arguments``, its output in two files, that sends itself the signal."""
    for stream, path in enumerate((os.devnull, stdout, stderr)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), stream)
    signal.alarm(LIMIT)
    sys.argv = [STUDY, *arguments]
    with aimed(signal.Signals[signum], event, pattern, *counts):
        runpy.run_module(STUDY, run_name="__main__", alter_sys=True)


def main():
    """A line of JSON on stdin starts a search, of which it gives the words, or awaits the one of that process id.

    The answer is the process id, or the exit code.
    """
    importlib.import_module(STUDY)
    importlib.import_module("ae_jax.embedded").digits()
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            print(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]), flush=True)
        elif child := os.fork():
            print(child, flush=True)
        else:
            return search(*asked)  # and out, by the interpreter's own exit
    return None


if __name__ == "__main__":
    main()
