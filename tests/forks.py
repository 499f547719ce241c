"""Command lines in forks of a process that has imported what they need, which would take longer than they do."""

import os
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NamedTuple

LIMIT = 1800  # seconds of a run, on a machine that is busy
CRASHED = 70  # exit code of a fault that is told by a traceback


class Ended(NamedTuple):
    """How a run ended: its exit code, or minus the number of the signal that killed it, and what it said on stderr."""

    code: int
    stderr: str


def forked(
    module: str, arguments: list[str], first: Callable[[], None] = lambda: None, stdout: str = os.devnull,
    seconds: float = LIMIT,
) -> Ended:  # fmt: skip
    """A command line in a fork of this process, which must have computed nothing.

    ``first`` runs in it before. After ``seconds`` it is killed, by ``kill -9``.
    """
    reader, writer = os.pipe()  # no file, so that there is room to say what is wrong
    if not (child := os.fork()):
        code = CRASHED
        try:
            os.dup2(writer, 2)
            os.dup2(os.open(stdout, os.O_WRONLY), 1)
            first()
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    killer = threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
    killer.start()
    with os.fdopen(reader, errors="replace") as stream:
        said = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    killer.cancel()
    return Ended(code, said)
