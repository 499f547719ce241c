"""A progress bar for the engine, in a terminal or a notebook, and signals that stop between two calls."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from ae_jax import process
from ae_jax.trials import Monitor, Progress
from ae_jax.types import Interrupted

SIGNALS = signal.SIGINT, signal.SIGTERM  # Ctrl-C's; what SLURM sends some time before it kills
_BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} epochs [{remaining} left{postfix}]"


def watched() -> bool:
    """Whether somebody sees the bar: stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextlib.contextmanager
def progress_bar(title: str, epochs: int, shown: bool) -> Iterator[Monitor]:
    """A monitor for the engine: a bar over lane-epochs on stderr, and signals that stop cleanly after the call.

    Where the bar is not shown, signals do the same and nothing else is printed.
    """
    from tqdm.auto import tqdm

    bar = tqdm(total=epochs, desc=title, dynamic_ncols=True, bar_format=_BAR, disable=not shown)

    def log(line: str) -> None:
        if shown:
            tqdm.write(line, file=sys.stderr)
            bar.initial = bar.n  # the time left goes by the speed since then
            bar.start_t = bar.last_print_t = time.time()

    def show(progress: Progress) -> None:
        bar.total, bar.n = progress.epochs_done + progress.epochs_left, progress.epochs_done
        if shown:  # what checkpoints gave was not done at this process's speed
            bar.initial = max(bar.initial, progress.epochs_restored)
        validated = "" if progress.validation_loss is None else f", val {progress.validation_loss:.4f}"
        bar.set_postfix_str(
            f"{progress.group}, epoch {progress.epoch}, lanes {progress.running}/{progress.lanes}, "
            f"train {progress.train_loss:.4f}{validated}, {progress.images_per_second:,.0f} images/s"
        )

    def tell(signum: int) -> None:
        again = "press Ctrl-C again" if signum == signal.SIGINT else "send SIGTERM again"
        tqdm.write(f"stopping after this segment; {again} to stop at once", file=sys.stderr)

    with contextlib.closing(bar), stopping(tell) as should_stop:
        yield Monitor(show, log, should_stop)


@contextlib.contextmanager
def stopping(tell: Callable[[int], None]) -> Iterator[Callable[[], int]]:
    """A function that gives the number of the signal that came, Ctrl-C's SIGINT or SIGTERM; 0 as long as none did.

    The first is noted and ``tell`` called with its number. The second interrupts; in a command line, where nobody could
    go on from that, it ends the process, whatever it waits for. Only the main thread can take signals; in another one
    they are left to whoever does, and so is a SIGTERM that somebody else handles.
    """
    came = 0

    def note(signum: int, frame: object) -> None:
        nonlocal came
        if came:
            raise Interrupted("stopped at once", signum)
        came = signum
        tell(signum)
        for taken in previous if own else ():
            signal.signal(taken, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: came
        return
    own = signal.getsignal(signal.SIGTERM) is process.terminate
    free = own or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    previous = {signum: signal.signal(signum, note) for signum in SIGNALS[: 1 + free]}
    try:
        yield lambda: came
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
