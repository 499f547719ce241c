"""Sheets of images and of words, from arrays that were read back from an npz: reconstructions, confusions, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.style import STYLE, plt, save


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
        axes.set_anchor("E")  # what is to spare goes to the labels
        axes.set_yticks(np.arange(len(rows)) * cell[0] + centre[0], labels)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return save(figure, path, caption, title)


def _sheet(images: np.ndarray) -> np.ndarray:
    """``[rows, columns, height, width, channels]`` side by side, two pixels of white between: grey or ``[..., 3]``."""
    colour = images.shape[-1] == 3
    shown = np.nan_to_num(images, nan=1.0).clip(0, 1) if colour else images.mean(-1, keepdims=True)
    tiles = np.pad(shown, ((0, 0), (0, 0), (0, 2), (0, 2), (0, 0)), constant_values=float(colour))  # grey: ink is dark
    rows, columns, height, width, channels = tiles.shape
    sheet = tiles.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    return sheet if colour else sheet[..., 0]


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
        return save(figure, path, caption, title)


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
        return save(figure, path, caption, title)


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
        return save(figure, path, caption, title)
