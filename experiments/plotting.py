"""Figures, from arrays that were read back from an npz; the only module that imports matplotlib.

Every figure is written as PNG and PDF, whole or not at all. Axes carry units, series carry legends, and a caption says
which data and which budget a figure shows.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend is chosen before pyplot is imported)
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import ListedColormap  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import NullFormatter  # noqa: E402

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
DIGIT_COLOURS = [matplotlib.colors.to_hex(colour) for colour in plt.cm.tab10.colors]


class Series(NamedTuple):
    """A line of a plot: ``y [points]`` or ``[runs, points]``, drawn as the mean with a band of one deviation."""

    label: str
    x: np.ndarray
    y: np.ndarray
    marker: str = "o"
    dashed: bool = False


def series(
    labels: Iterable[Any], lines: Iterable[np.ndarray], x: np.ndarray | None = None, marker: str = ""
) -> list[Series]:
    """A line of each ``[points]`` or ``[runs, points]`` with its label, over ``x [points]`` or else over the epochs."""
    return [
        Series(str(label), 1 + np.arange(y.shape[-1]) if x is None else x, y, marker)
        for label, y in zip(labels, lines, strict=True)
    ]


def densities(groups: Mapping[str, np.ndarray], bins: int = 30) -> list[Series]:
    """Histograms of the values ``[n]`` of each group as lines, over the same ``bins``."""
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), bins)
    lines = [np.histogram(values, edges, density=True)[0] for values in groups.values()]
    return series(groups, lines, (edges[1:] + edges[:-1]) / 2)


def _save(figure: Figure, path: Path, caption: str, title: str = "") -> list[Path]:
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


def line_plot(
    path: Path, series: Sequence[Series], *, xlabel: str, ylabel: str, title: str, caption: str = "",
    log_x: bool = False, x_ticks: Sequence[float] | None = None, from_zero: bool = False,
    band: tuple[float, float] | None = None,
) -> list[Path]:  # fmt: skip
    """Lines over a common axis, one colour each; dashed series (a report's figures) take the grey.

    A ``band`` of x is shaded.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.6, 3.8))
        _lines(axes, series)
        if log_x:
            axes.set_xscale("log", base=2)
        if x_ticks is not None:
            axes.set_xticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
            axes.minorticks_off()
        if from_zero:
            axes.set_ylim(bottom=0)
        if band is not None:
            axes.axvspan(*band, color="0.5", alpha=0.12, lw=0)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        figure.legend(loc="outside right center")
        return _save(figure, path, caption)


def line_panels(
    path: Path, panels: Mapping[str, Sequence[Series]], *, xlabel: str, ylabel: str, title: str, caption: str = ""
) -> list[Path]:
    """Line plots of the same series side by side under their names, with one y axis and one legend."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(1.6 + 2.7 * len(panels), 3.6), sharey=True, squeeze=False)
        for panel, (name, series) in zip(axes[0], panels.items(), strict=True):
            _lines(panel, series)
            panel.set_title(name)
        axes[0, 0].set_ylabel(ylabel)
        axes[0, len(panels) // 2].set_xlabel(xlabel)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
        return _save(figure, path, caption, title)


def _lines(axes: Axes, series: Sequence[Series]) -> None:
    solid = [s for s in series if not s.dashed]
    colours = dict(zip((s.label for s in solid), plt.cm.viridis(np.linspace(0, 0.85, len(solid))), strict=True))
    for label, x, y, marker, dashed in series:
        runs = np.atleast_2d(y)
        mean, deviation = _mean_and_deviation(runs, 0)
        style = {"color": "0.45", "linestyle": "--"} if dashed else {"color": colours[label]}
        axes.plot(x, mean, marker=marker, markersize=4, label=label, **style)
        if len(runs) > 1:
            axes.fill_between(x, mean - deviation, mean + deviation, alpha=0.2, color=style["color"], lw=0)


def _mean_and_deviation(runs: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Over the runs that did not diverge; NaN where all did."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice|Degrees of freedom", RuntimeWarning)
        return np.nanmean(runs, axis), np.nanstd(runs, axis)


def digit_scatter(
    path: Path, panels: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str, caption: str = "",
    stars: np.ndarray | None = None, columns: int | None = None,
) -> list[Path]:  # fmt: skip
    """Points of a plane coloured by digit: panels ``name -> (points [n, 2], labels [n])``, side by side.

    ``stars [10, 2]`` marks a place for each digit, such as the centroids, in every panel; ``columns`` breaks the row.
    """
    rows, columns = len(panels) // (columns or len(panels)), columns or len(panels)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(1.2 + 4.0 * columns, 0.4 + 3.8 * rows), squeeze=False)
        for panel, (name, (points, labels)) in zip(axes.flat, panels.items(), strict=True):
            for digit in range(10):
                chosen = points[labels == digit]
                panel.scatter(*chosen.T, s=5, alpha=0.6, color=DIGIT_COLOURS[digit], linewidths=0, label=str(digit))
            if stars is not None:
                _mark_stars(panel, stars)
            panel.set_title(name)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", title="digit", markerscale=3)
        return _save(figure, path, caption, title)


def sample_scatter(path: Path, samples: np.ndarray, stars: np.ndarray, *, title: str, caption: str = "") -> list[Path]:
    """Samples of a plane ``[n, 2]`` and the centroid of each digit ``[10, 2]`` as a star."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 4.2))
        axes.scatter(*samples.T, s=6, color="0.6", linewidths=0, label="samples")
        _mark_stars(axes, stars)
        axes.set(xlabel="z1", ylabel="z2", title=title)
        return _save(figure, path, caption)


def _mark_stars(axes: Axes, stars: np.ndarray) -> None:
    axes.scatter(*stars.T, s=130, marker="*", color=DIGIT_COLOURS, edgecolors="black", zorder=3)
    for digit, place in enumerate(stars):
        if np.isfinite(place).all():
            axes.annotate(
                str(digit), place, xytext=(6, 4), textcoords="offset points", weight="bold",
                bbox={"boxstyle": "round,pad=0.1", "color": "white", "alpha": 0.7, "linewidth": 0},
            )  # fmt: skip


def plane_maps(
    path: Path, panels: Mapping[str, np.ndarray], extent: Sequence[float], stars: np.ndarray, *, title: str,
    caption: str = "",
) -> list[Path]:  # fmt: skip
    """Maps of a latent plane: numbers ``[rows, columns]`` in shades, or integer digits in their colours.

    Args:
        extent: left, right, bottom and top in the plane.
        stars: the centroid of each digit ``[10, 2]``.
    """
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(1, len(panels), figsize=(1.0 + 4.2 * len(panels), 4.2), squeeze=False)
        for panel, (name, values) in zip(axes[0], panels.items(), strict=True):
            digits = values.dtype.kind in "iu"
            style = (
                {"cmap": ListedColormap(DIGIT_COLOURS), "vmin": -0.5, "vmax": 9.5} if digits else {"cmap": "viridis"}
            )
            image = panel.imshow(values, origin="lower", extent=extent, aspect="auto", **style)
            figure.colorbar(image, ax=panel, ticks=range(10) if digits else None, shrink=0.8)
            _mark_stars(panel, stars)
            panel.set(xlabel="z1", ylabel="z2", title=name)
        return _save(figure, path, caption, title)


def surface(
    path: Path, points: np.ndarray, heights: np.ndarray, stars: np.ndarray, *, height: str, title: str,
    caption: str = "",
) -> list[Path]:  # fmt: skip
    """A surface over a plane from the front: the grid ``[rows, columns, 2]``, its heights ``[rows, columns]``.

    ``stars [10, 2]``, the centroids of the digits, are points on the floor, in front of the surface and named.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 4.6), subplot_kw={"projection": "3d", "computed_zorder": False})
        axes.plot_surface(*np.moveaxis(points, -1, 0), heights, cmap="viridis", rcount=100, ccount=100, linewidth=0)
        axes.plot(
            *stars.T, 0.0, linestyle="", marker="o", markersize=5, color="darkorange", label="centroids", zorder=3
        )
        for digit, (x, y) in enumerate(stars):
            if np.isfinite([x, y]).all():
                axes.text(x, y, 0.04 * np.nanmax(heights), str(digit), weight="bold", zorder=4)
        axes.view_init(elev=25, azim=-75)
        axes.set_box_aspect((4, 4, 2.2), zoom=1.1)
        axes.set(xlabel="z1", ylabel="z2", zlabel=height)
        figure.legend(loc="outside right upper")
        return _save(figure, path, caption, title)


def confusion_matrices(path: Path, panels: Mapping[str, np.ndarray], *, title: str, caption: str = "") -> list[Path]:
    """Counts ``[true, predicted]``, shaded by their share of the true class; zeros are left out."""
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(1, len(panels), figsize=(0.6 + 3.9 * len(panels), 4.3), squeeze=False)
        for panel, (name, counts) in zip(axes[0], panels.items(), strict=True):
            share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            panel.imshow(share, cmap="Blues", vmin=0, vmax=1)
            for (true, predicted), count in np.ndenumerate(counts):
                if count:
                    colour = "white" if share[true, predicted] > 0.5 else "black"
                    panel.text(predicted, true, str(count), ha="center", va="center", fontsize=6, color=colour)
            panel.set(xticks=range(10), yticks=range(10), xlabel="predicted digit", ylabel="true digit", title=name)
        return _save(figure, path, caption, title)


def scatter_grid(
    path: Path, columns: Mapping[str, np.ndarray], y: np.ndarray, *, log_x: Collection[str], ylabel: str, title: str,
    caption: str = "",
) -> list[Path]:  # fmt: skip
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
        return _save(figure, path, caption, title)


def image_sheet(
    path: Path, rows: Sequence[np.ndarray], labels: Sequence[str] | None, *, title: str, caption: str = ""
) -> list[Path]:
    """Rows of images ``[columns, height, width, channels]`` in [0, 1], each with its label at the left, if any.

    Three channels are red, green and blue; otherwise their mean is drawn, ink dark. Images of a diverged model, NaN,
    are marked with a cross.
    """
    labels = [""] * len(rows) if labels is None else labels
    images = np.asarray(rows)
    _, columns, height, width, _ = images.shape
    cell, centre = np.array([height, width]) + 2, np.array([height, width]) // 2
    lost = np.argwhere(np.isnan(images).any((2, 3, 4))) * cell + centre
    with plt.rc_context(STYLE | {"axes.grid": False}):
        margin = max(1.4, 0.4 + 0.09 * max(map(len, labels)))  # inches
        figure, axes = plt.subplots(figsize=(margin + 0.55 * columns, 0.7 + 0.55 * len(rows) * cell[0] / cell[1]))
        axes.imshow(_sheet(images), vmin=0, vmax=1, interpolation="nearest")
        if len(lost):
            axes.plot(lost[:, 1], lost[:, 0], linestyle="", marker="x", color="0.6")
        axes.set_yticks(np.arange(len(rows)) * cell[0] + centre[0], labels)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return _save(figure, path, caption, title)


def _sheet(images: np.ndarray) -> np.ndarray:
    """``[rows, columns, height, width, channels]`` side by side, two pixels of white between: grey or ``[..., 3]``."""
    colour = images.shape[-1] == 3
    shown = np.nan_to_num(images, nan=1.0).clip(0, 1) if colour else images.mean(-1, keepdims=True)
    tiles = np.pad(shown, ((0, 0), (0, 0), (0, 2), (0, 2), (0, 0)), constant_values=float(colour))  # grey: ink is dark
    rows, columns, height, width, channels = tiles.shape
    sheet = tiles.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    return sheet if colour else sheet[..., 0]


def table(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], *, title: str, caption: str = ""
) -> list[Path]:
    """A table of words, its header in bold."""
    with plt.rc_context(STYLE):
        width = max(4.0, 0.6 + 0.085 * sum(max(map(len, column)) + 3 for column in zip(header, *rows, strict=True)))
        figure, axes = plt.subplots(figsize=(width, 1.0 + 0.2 * len(rows)))
        axes.set(xticks=[], yticks=[])
        axes.axis("off")
        cells = axes.table(
            list(map(list, rows)), colLabels=list(header), loc="center", cellLoc="left", edges="horizontal"
        )
        cells.auto_set_column_width(range(len(header)))
        for column in range(len(header)):
            cells[0, column].set_text_props(weight="bold")
        return _save(figure, path, caption, title)


def bar_panels(
    path: Path, names: Sequence[str], panels: Mapping[str, np.ndarray], *, title: str, caption: str = ""
) -> list[Path]:
    """A bar for each name, first at the top, in a panel for each quantity ``[names]`` or ``[names, runs]``.

    Several runs are drawn as their mean with a whisker of one deviation.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(1.8 + 2.2 * len(panels), 1.1 + 0.22 * len(names)), sharey=True, squeeze=False
        )
        for panel, (label, values) in zip(axes[0], panels.items(), strict=True):
            runs = values.reshape(len(names), -1)
            mean, deviation = _mean_and_deviation(runs, 1)
            whiskers = deviation if runs.shape[1] > 1 else None
            panel.barh(np.arange(len(names)), mean, xerr=whiskers, color=plt.cm.viridis(0.35))
            for position in np.flatnonzero(np.isnan(mean)):
                panel.text(0, position, " diverged", va="center", fontsize=7, color="0.4")
            panel.set_xlabel(label)
            panel.grid(axis="y", visible=False)
        axes[0, 0].set_yticks(np.arange(len(names)), names)
        axes[0, 0].invert_yaxis()
        return _save(figure, path, caption, title)


def tables(
    path: Path, panels: Mapping[str, Sequence[Sequence[str]]], header: Sequence[str], *, title: str, caption: str = ""
) -> list[Path]:
    """A table in each panel under its name, rows of as many words as the ``header``; the last column is of numbers."""
    longest = max(map(len, panels.values()))
    places = np.linspace(0, 1, len(header))
    aligned = ["left", *["center"] * (len(header) - 2), "right"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(max(5.2, 3.6 * len(panels)), 1.3 + 0.24 * longest), squeeze=False
        )
        for panel, (name, rows) in zip(axes[0], panels.items(), strict=True):
            panel.set_title(name, fontsize=9)
            panel.set(xlim=(-0.05, 1.05), ylim=(longest + 0.5, -0.5))
            panel.set_axis_off()
            panel.hlines(0.5, 0, 1, color="0.7", lw=0.8)
            for y, row in enumerate([header, *rows]):
                weight = "bold" if y == 0 else "normal"
                for x, word, side in zip(places, row, aligned, strict=True):
                    panel.text(x, y, word, ha=side, va="center", fontsize=8, weight=weight)
        return _save(figure, path, caption, title)
