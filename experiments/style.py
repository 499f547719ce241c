"""What all figures share: how they look, their caption, how they are written: as PNG and PDF, whole or not at all."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend is chosen before pyplot is imported)
from matplotlib.figure import Figure  # noqa: E402

from ae_jax import results  # noqa: E402

STYLE = {
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 9,
    "image.cmap": "gray_r",
}


def save(figure: Figure, path: Path, caption: str, title: str = "") -> list[Path]:
    """Write ``figure`` with its words to ``path`` with the endings .png and .pdf; returns both paths."""
    if title:
        figure.suptitle(title, fontsize=10)
    if caption:
        width = int(19 * figure.get_figwidth())  # characters of this size that fit the figure
        figure.supxlabel(textwrap.fill(caption, width), fontsize=6.5, color="0.4")
    for target in (written := [path.with_suffix(suffix) for suffix in (".png", ".pdf")]):
        _write(figure, target)
        figure.set_layout_engine("none")  # as it lies now: to lay it out takes as long as to draw it
    plt.close(figure)
    return written


def _write(figure: Figure, target: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format=target.suffix[1:])
    results.write(target, content.getvalue())
