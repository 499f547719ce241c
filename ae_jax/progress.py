"""A progress bar for the engine, in a terminal or a notebook, and a Ctrl-C that stops between two calls."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from ae_jax.trials import Monitor, Progress

_BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} epochs [{remaining} left{postfix}]"


def watched() -> bool:
    """Whether somebody sees the bar: stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextlib.contextmanager
def progress_bar(title: str, epochs: int, shown: bool) -> Iterator[Monitor]:
    """A monitor for the engine: a bar over lane-epochs on stderr, and a Ctrl-C that stops cleanly after the call.

    Where the bar is not shown, Ctrl-C does the same and nothing else is printed.
    """
    from tqdm.auto import tqdm

    bar = tqdm(total=epochs, desc=title, dynamic_ncols=True, bar_format=_BAR, disable=not shown)

    def log(line: str) -> None:
        if shown:
            tqdm.write(line, file=sys.stderr)
            bar.initial, bar.start_t = bar.n, time.time()  # the time left goes by the speed since then

    def show(progress: Progress) -> None:
        bar.total, bar.n = progress.epochs_done + progress.epochs_left, progress.epochs_done
        bar.set_postfix_str(
            f"{progress.group}, epoch {progress.epoch}, lanes {progress.running}/{progress.lanes}, "
            f"train {progress.train_loss:.4f}, val {progress.validation_loss:.4f}, "
            f"{progress.images_per_second:,.0f} images/s"
        )

    def tell() -> None:
        tqdm.write("stopping after this segment; press Ctrl-C again to stop at once", file=sys.stderr)

    with contextlib.closing(bar), stopping(tell) as should_stop:
        yield Monitor(show, log, should_stop)


@contextlib.contextmanager
def stopping(tell: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl-C was pressed. The first is noted and ``tell`` called; the second interrupts.

    Only the main thread can take signals; in another one Ctrl-C is left to whoever does.
    """
    stop = threading.Event()

    def interrupt(signum: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        tell()

    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return
    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
