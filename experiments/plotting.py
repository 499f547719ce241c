"""Figures of numbers, from arrays that were read back from an npz: lines, points, bars.

Axes carry units, series carry legends, and a caption says which data and which budget a figure shows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.style import STYLE, plt, save


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


def learning_curves(names: Iterable[str], train: np.ndarray, validation: np.ndarray) -> dict[str, list[Series]]:
    """A panel for each of ``names``: its training and its validation loss by epoch, of ``[names, ..., epochs]``."""
    losses = zip(names, train, validation, strict=True)
    return {str(name): series(("training", "validation"), lines) for name, *lines in losses}


def densities(groups: Mapping[str, np.ndarray], bins: int = 30) -> list[Series]:
    """Histograms of the values ``[n]`` of each group as lines, over the same ``bins``."""
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), bins)
    lines = [np.histogram(values, edges, density=True)[0] for values in groups.values()]
    return series(groups, lines, (edges[1:] + edges[:-1]) / 2)


def line_plot(
    path: Path, series: Sequence[Series], *, xlabel: str, ylabel: str, title: str, caption: str = "",
    log_x: bool = False, log_y: bool = False, x_ticks: Sequence[float] | None = None, from_zero: bool = False,
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
        if log_y:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        if x_ticks is not None:
            axes.set_xticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
            axes.minorticks_off()
        if from_zero:
            axes.set_ylim(bottom=0)
        if band is not None:
            axes.axvspan(*band, color="0.5", alpha=0.12, lw=0)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        figure.legend(loc="outside right center")
        return save(figure, path, caption)


def line_panels(
    path: Path, panels: Mapping[str, Sequence[Series]], *, xlabel: str, ylabel: str, title: str, caption: str = ""
) -> list[Path]:
    """Line plots of the same series under their names, up to four in a row, with one y axis and one legend."""
    with plt.rc_context(STYLE):
        figure, axes = _panels(len(panels), wide=(1.6, 2.7), high=(0.6, 3))
        for panel, (name, series) in zip(axes.flat, panels.items(), strict=False):
            _lines(panel, series)
            panel.set_title(name)
        for first in axes[:, 0]:
            first.set_ylabel(ylabel)
        axes[-1, (len(panels) - 1) % axes.shape[1] // 2].set_xlabel(xlabel)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
        return save(figure, path, caption, title)


def _panels(number: int, wide: tuple[float, float], high: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Axes ``[rows, columns]`` that share their y, up to four in a row; sizes are margin and panel, in inches."""
    rows = math.ceil(number / 4)
    columns = math.ceil(number / rows)
    size = wide[0] + wide[1] * columns, high[0] + high[1] * rows
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for empty in axes.flat[number:]:
        empty.remove()
    return figure, axes


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
                low, high = panel.get_xlim()
                if high / low < 300:  # decades alone would leave an axis with one label or two
                    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
                    panel.xaxis.set_major_formatter("{x:g}")
            elif len(drawn := np.unique(x)) <= 6:  # a choice of few values: each has its tick
                panel.set_xticks(drawn)
            panel.set_xlabel(name.replace("_", " "))
        axes[0, 0].set_ylabel(ylabel)
        return save(figure, path, caption, title)


def bar_panels(
    path: Path,
    names: Sequence[str],
    panels: Mapping[str, np.ndarray],
    *,
    title: str,
    caption: str = "",
    mark: float | None = None,
) -> list[Path]:
    """A bar for each name, first at the top, in a panel for each quantity ``[names]`` or ``[names, runs]``.

    Its value stands beside it. Several runs are drawn as their mean with a whisker of one deviation. ``mark``: a value
    to compare with, a line.
    """
    with plt.rc_context(STYLE):
        figure, axes = _panels(len(panels), wide=(1.8, 2.2), high=(0.6, 0.5 + 0.22 * len(names)))
        for panel, (label, values) in zip(axes.flat, panels.items(), strict=False):
            runs = values.reshape(len(names), -1)
            mean, deviation = _mean_and_deviation(runs, 1)
            whiskers = deviation if runs.shape[1] > 1 else None
            bars = panel.barh(np.arange(len(names)), mean, xerr=whiskers, color=plt.cm.viridis(0.35))
            numbers = ["" if np.isnan(x) else f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}" for x in mean]
            panel.bar_label(bars, numbers, padding=2, fontsize=7, color="0.3")
            panel.margins(x=0.2)
            for position in np.flatnonzero(np.isnan(mean)):
                panel.text(0, position, " diverged", va="center", fontsize=7, color="0.4")
            panel.set_xlabel(label)
            panel.grid(axis="y", visible=False)
            if mark is not None:
                panel.vlines(mark, -0.5, len(names) - 0.5, color="0.2", linestyle="--", linewidth=1)
        axes[0, 0].set_yticks(np.arange(len(names)), names)
        axes[0, 0].invert_yaxis()
        return save(figure, path, caption, title)
