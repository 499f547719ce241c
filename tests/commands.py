"""Command lines of studies at the smallest size."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMALL = ["--dataset", "digits", "--limit", "100"]
TINY = [*SMALL, "--batch-size", "16"]


def command(study, out, *arguments, tiny=TINY):
    """The words that run ``study`` into the folder ``out``."""
    return [sys.executable, "-m", f"experiments.{study}", *tiny, "--out", str(out), *arguments]
