"""Figures of a latent plane, from arrays that were read back from an npz: codes by digit, maps, a surface over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex

from experiments.style import STYLE, plt, save

DIGIT_COLOURS = [to_hex(colour) for colour in plt.cm.tab10.colors]


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
        return save(figure, path, caption, title)


def sample_scatter(path: Path, samples: np.ndarray, stars: np.ndarray, *, title: str, caption: str = "") -> list[Path]:
    """Samples of a plane ``[n, 2]`` and the centroid of each digit ``[10, 2]`` as a star."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 4.2))
        axes.scatter(*samples.T, s=6, color="0.6", linewidths=0, label="samples")
        _mark_stars(axes, stars)
        axes.set(xlabel="z1", ylabel="z2", title=title)
        return save(figure, path, caption)


def _mark_stars(axes: Axes, stars: np.ndarray) -> None:
    """Stars with their digits, right above them, or on the inner side at the right and at the upper edge."""
    axes.scatter(*stars.T, s=130, marker="*", color=DIGIT_COLOURS, edgecolors="black", zorder=3, clip_on=False)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for digit, (x, y) in enumerate(stars):
        if np.isfinite([x, y]).all():
            outer, upper = x > right - 0.07 * (right - left), y > top - 0.07 * (top - bottom)
            axes.annotate(
                str(digit), (x, y), xytext=(-6 if outer else 6, -4 if upper else 4), textcoords="offset points",
                ha="right" if outer else "left", va="top" if upper else "bottom", weight="bold",
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
        return save(figure, path, caption, title)


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
        figure.legend(loc="upper left", bbox_to_anchor=(0.0, 0.93))  # under the title
        return save(figure, path, caption, title)
