"""Signals aimed at a moment of a run: when the n-th file of a kind is about to be opened, renamed or deleted.

Python's audit events tell the moment, so that nothing of the project is patched. As a program,
``python -m tests.aimed SIGKILL os.rename '*.msgpack' 5 experiments.random_search ...`` runs the rest of the line and
kills itself then; within a process :func:`aimed` does it, and :func:`watched` only takes notes.
"""

import contextlib
import fnmatch
import os
import runpy
import signal
import sys
from pathlib import Path

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


def aimed(signum, event, pattern, count):
    """Send this process ``signum`` just before the ``count``-th such event."""

    def send(found):
        if len(found) == count:
            os.kill(os.getpid(), signum)

    return watched(event, pattern, send)


def main():
    signum, event, pattern, count, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    with aimed(signal.Signals[signum], event, pattern, int(count)):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
