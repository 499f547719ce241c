"""Figures, from arrays that were read back from an npz; the only module that imports matplotlib and plotly.

Every figure is written as PNG and PDF. Axes carry units, series carry legends, and a caption says which data
and which budget a figure shows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend is chosen before pyplot is imported)
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import NullFormatter  # noqa: E402

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


class Series(NamedTuple):
    """A line of a plot: ``y [points]`` or ``[runs, points]``, drawn as the mean with a band of one deviation."""

    label: str
    x: np.ndarray
    y: np.ndarray
    marker: str = "o"
    dashed: bool = False


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write ``figure`` to ``path`` with the endings .png and .pdf; returns both paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_suffix(suffix) for suffix in (".png", ".pdf")]
    for target in written:
        figure.savefig(target)
    plt.close(figure)
    return written


def line_plot(
    path: Path,
    series: Sequence[Series],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    caption: str = "",
    log_x: bool = False,
    x_ticks: Sequence[float] | None = None,
    from_zero: bool = False,
) -> list[Path]:
    """Lines over a common axis, one colour each; dashed series (a report's figures) take the grey."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.6, 3.8))
        solid = [s for s in series if not s.dashed]
        colours = dict(zip((s.label for s in solid), plt.cm.viridis(np.linspace(0, 0.85, len(solid))), strict=True))
        for label, x, y, marker, dashed in series:
            runs = np.atleast_2d(y)
            mean, deviation = np.nanmean(runs, 0), np.nanstd(runs, 0)
            style = {"color": "0.45", "linestyle": "--"} if dashed else {"color": colours[label]}
            axes.plot(x, mean, marker=marker, markersize=4, label=label, **style)
            if len(runs) > 1:
                axes.fill_between(x, mean - deviation, mean + deviation, alpha=0.2, color=style["color"], lw=0)
        if log_x:
            axes.set_xscale("log", base=2)
        if x_ticks is not None:
            axes.set_xticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
            axes.minorticks_off()
        if from_zero:
            axes.set_ylim(bottom=0)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        figure.legend(loc="outside right center")
        _caption(figure, caption)
        return save_figure(figure, path)


def scatter_grid(
    path: Path,
    columns: Mapping[str, np.ndarray],
    y: np.ndarray,
    *,
    log_x: Collection[str],
    ylabel: str,
    title: str,
    caption: str = "",
) -> list[Path]:
    """``y [points]`` against each column ``[points]``, a panel each; those in ``log_x`` on a logarithmic axis."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(columns), figsize=(2.4 + 2.6 * len(columns), 3.4), sharey=True, squeeze=False
        )
        for panel, (name, x) in zip(axes[0], columns.items(), strict=True):
            panel.scatter(x, y, s=14, alpha=0.7, color=plt.cm.viridis(0.25), linewidths=0)
            if name in log_x:
                panel.set_xscale("log")
                panel.xaxis.set_minor_formatter(NullFormatter())
            panel.set_xlabel(name.replace("_", " "))
        axes[0, 0].set_ylabel(ylabel)
        figure.suptitle(title, fontsize=10)
        _caption(figure, caption)
        return save_figure(figure, path)


def parallel_coordinates(path: Path, columns: Mapping[str, np.ndarray], *, log: Collection[str], title: str) -> Path:
    """An interactive page: an axis for each column ``[trials]``, those in ``log`` as log10, coloured by the last."""
    from plotly import graph_objects

    def dimension(name: str, values: np.ndarray) -> dict:
        label = name.replace("_", " ")
        return (
            {"label": f"log10 {label}", "values": np.log10(values)}
            if name in log
            else {"label": label, "values": values}
        )

    finite = np.isfinite(np.stack(list(columns.values()))).all(0)
    columns = {name: values[finite] for name, values in columns.items()}
    *_, colour = columns.values()
    line = {"color": colour, "colorscale": "Viridis", "showscale": True}
    figure = graph_objects.Figure(
        graph_objects.Parcoords(line=line, dimensions=[dimension(*column) for column in columns.items()])
    )
    figure.update_layout(title={"text": title, "font": {"size": 13}}, margin={"t": 120})
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs="directory")
    return path


def image_sheet(
    path: Path, rows: Sequence[np.ndarray], labels: Sequence[str], *, title: str, caption: str = ""
) -> list[Path]:
    """Rows of images ``[columns, 28, 28, 1]`` in [0, 1], each with its label at the left; ink is dark."""
    columns = len(rows[0])
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(
            len(rows), columns, figsize=(1.2 + 0.6 * columns, 0.55 + 0.62 * len(rows)), squeeze=False
        )
        for row, images, label in zip(axes, rows, labels, strict=True):
            for cell, image in zip(row, images, strict=True):
                cell.imshow(image.reshape(28, 28), vmin=0, vmax=1, interpolation="nearest")
                cell.set(xticks=[], yticks=[])
                cell.spines[:].set_visible(False)
            row[0].set_ylabel(label, rotation=0, ha="right", va="center")
        figure.suptitle(title, fontsize=10)
        _caption(figure, caption)
        return save_figure(figure, path)


def _caption(figure: Figure, caption: str) -> None:
    if caption:
        width = int(26 * figure.get_figwidth())  # characters of this size that fit the figure
        figure.supxlabel(textwrap.fill(caption, width), fontsize=6.5, color="0.4")
