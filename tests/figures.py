"""What a figure or a page shows, as plain values: axes, lines, points, images, labels, legends, captions."""

import base64
import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from matplotlib.collections import PathCollection
from PIL import Image

from experiments import style


class Line(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    style: str


class Panel(NamedTuple):
    """One pair of axes."""

    title: str
    xlabel: str
    ylabel: str
    scales: tuple[str, str]
    limits: np.ndarray
    ticks: list[str]  # of the y axis, the rows of a sheet; in space they depend on the paper
    lines: dict[str, Line]
    points: list[np.ndarray]  # of each scatter [n, 2]
    images: list[np.ndarray]
    bars: np.ndarray  # lengths
    areas: int  # bands
    texts: list[tuple[float, float, str]]


class Drawing(NamedTuple):
    """A figure of matplotlib."""

    title: str
    caption: str
    legend: list[str]
    panels: list[Panel]


def drawing(figure):
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return Drawing(figure.get_suptitle(), figure.get_supxlabel(), texts, [_panel(axes) for axes in figure.axes])


def _panel(axes):
    return Panel(
        axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), (axes.get_xscale(), axes.get_yscale()),
        np.array([axes.get_xlim(), axes.get_ylim()]),
        [] if hasattr(axes, "zaxis") else [label.get_text() for label in axes.get_yticklabels()],
        {line.get_label(): Line(*map(np.asarray, _data(line)), line.get_linestyle()) for line in axes.lines},
        [np.asarray(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection)],
        [np.asarray(image.get_array()) for image in axes.images],
        np.array([bar.get_width() for bar in axes.patches if hasattr(bar, "get_width")]),
        sum(not isinstance(c, PathCollection) for c in axes.collections),
        [(*map(float, _place(text)), text.get_text()) for text in axes.texts],
    )  # fmt: skip


def _data(line):
    """What was given; drawing a line in space sets its data to where they lie on the paper."""
    return line.get_data_3d()[:2] if hasattr(line, "get_data_3d") else line.get_data()


def _place(text):
    if hasattr(text, "get_position_3d"):
        return text.get_position_3d()[:2]
    return text.xy if hasattr(text, "xy") else text.get_position()


@contextlib.contextmanager
def drawn():
    """What is saved meanwhile, by file name: a dict that grows. All is laid out, but the files are stand-ins.

    Pixels and PDF take longer, and nobody looks at them.
    """
    found = {}

    def note(figure, target):
        found[target.name] = drawing(figure)
        if target.suffix == ".pdf":
            target.write_bytes(b"%PDF-")
        else:
            figure.draw_without_rendering()
            Image.new("L", (1, 1)).save(target)

    with mock.patch.object(style, "_write", note):
        yield found


class Page(NamedTuple):
    """A page of plotly: its traces and its layout, typed arrays as NumPy's."""

    traces: list[dict[str, Any]]
    layout: dict[str, Any]


def page(path):
    text = Path(path).read_text()
    start = text.index("Plotly.newPlot(")
    start = text.index("[", start)
    traces, end = json.JSONDecoder().raw_decode(text, start)
    layout, _ = json.JSONDecoder().raw_decode(text, text.index("{", end))
    return Page(_arrays(traces), _arrays(layout))


def _arrays(value):
    if isinstance(value, dict) and "bdata" in value:
        array = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(value["dtype"]))
        return array.reshape([int(n) for n in str(value.get("shape", array.size)).split(",")])
    if isinstance(value, dict):
        return {name: _arrays(part) for name, part in value.items()}
    return [_arrays(part) for part in value] if isinstance(value, list) else value


def digest(value):
    """A short text for all that a drawing or a page shows."""

    def text(value):
        if isinstance(value, np.ndarray):
            return f"{value.dtype.kind}{value.shape}{np.ascontiguousarray(value).tobytes().hex()}"
        if isinstance(value, dict):
            return f"{{{','.join(f'{name}:{text(part)}' for name, part in value.items())}}}"
        return f"[{','.join(map(text, value))}]" if isinstance(value, list | tuple) else repr(value)

    return hashlib.sha256(text(value).encode()).hexdigest()


def flat(text):
    """Without its line breaks and spaces: captions are wrapped to the width of their figure."""
    return "".join(text.split())
