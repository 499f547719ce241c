"""Every benchmark there is, one after another: ``python -m benchmarks``. Each has its own options when run alone."""

from pathlib import Path

import tyro

from benchmarks import lanes, step

BENCHMARKS = {"step": step, "lanes": lanes}


def main(repeats: int = 7, out: Path = Path("results/benchmarks")) -> None:
    """Run every benchmark with its default options.

    Args:
        repeats: timed calls of each contestant.
        out: folder for the JSON files, one for each benchmark.
    """
    for name, benchmark in BENCHMARKS.items():
        benchmark.run(benchmark.Options(repeats=repeats, out=out / f"{name}.json"))


if __name__ == "__main__":
    tyro.cli(main)
