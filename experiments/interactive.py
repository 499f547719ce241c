"""Interactive pages, from arrays that were read back from an npz; the only module that imports plotly.

A page is an HTML file that shares plotly's script with the other pages of its folder, so that it opens offline.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from plotly import graph_objects
from plotly.colors import qualitative
from plotly.offline import get_plotlyjs

from ae_jax import results

SCRIPT = "plotly.min.js"
# Shows the image of the point under the pointer: customdata holds it as a data address.
_SHOW_IMAGE = """
const plot = document.getElementById("{plot_id}");
const shown = document.createElement("img");
shown.style = "position:fixed;width:112px;height:112px;object-fit:contain;image-rendering:pixelated;display:none;" +
    "pointer-events:none;border:1px solid #888;background:white;z-index:9";
document.body.appendChild(shown);
plot.on("plotly_hover", event => {
    const image = event.points[0].customdata;
    if (!image) return;
    shown.src = "data:image/png;base64," + image;
    shown.style.left = (event.event.clientX + 16) + "px";
    shown.style.top = (event.event.clientY + 16) + "px";
    shown.style.display = "block";
});
plot.on("plotly_unhover", () => { shown.style.display = "none"; });
"""
_CAMERAS = {
    "front": {"eye": {"x": 0.0, "y": -2.1, "z": 0.5}, "up": {"x": 0, "y": 0, "z": 1}},
    "top": {"eye": {"x": 0.0, "y": 0.0, "z": 2.2}, "up": {"x": 0, "y": 1, "z": 0}},
}


def parallel_coordinates(path: Path, columns: Mapping[str, np.ndarray], *, log: Collection[str], title: str) -> Path:
    """An interactive page: an axis for each column ``[trials]``, those in ``log`` as log10, coloured by the last."""

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
    return _write(figure, path)


def digit_scatter(
    path: Path, points: np.ndarray, labels: np.ndarray, images: np.ndarray, *, title: str, axes: tuple[str, str]
) -> Path:
    """Points ``[n, 2]`` coloured by digit; hovering shows a point's image, uint8 ``[n, height, width, channels]``."""
    pictures = np.array([_png(image) for image in images])
    figure = graph_objects.Figure()
    for digit in range(10):
        chosen = labels == digit
        x, y = points[chosen].T
        marker = {"size": 5, "color": qualitative.D3[digit], "opacity": 0.7}
        hover = f"digit {digit}<extra></extra>"
        figure.add_scattergl(
            x=x, y=y, mode="markers", name=str(digit), marker=marker, customdata=pictures[chosen], hovertemplate=hover
        )
    figure.update_layout(
        title={"text": title, "font": {"size": 13}}, xaxis_title=axes[0], yaxis_title=axes[1], legend_title="digit"
    )
    return _write(figure, path, _SHOW_IMAGE)


def surface(path: Path, points: np.ndarray, heights: np.ndarray, stars: np.ndarray, *, title: str, height: str) -> Path:
    """A surface over a latent plane with the ten centroids as points, and buttons for a front and a top view.

    Args:
        points: the grid ``[rows, columns, 2]``.
        heights: ``[rows, columns]``.
        stars: the centroid of each digit ``[10, 2]``, drawn just above the surface's floor; hovering names the digit.
        height: what the heights are.
    """
    figure = graph_objects.Figure(
        graph_objects.Surface(x=points[0, :, 0], y=points[:, 0, 1], z=heights, colorscale="Viridis", name=height)
    )
    figure.add_scatter3d(
        x=stars[:, 0], y=stars[:, 1], z=np.full(len(stars), 0.01 * heights.max()), mode="markers+text",
        text=[str(digit) for digit in range(10)], name="centroids", marker={"size": 5, "color": "darkorange"},
        hovertemplate="centroid of digit %{text}<br>z1 %{x:.3f}, z2 %{y:.3f}<extra></extra>",
    )  # fmt: skip
    buttons = [
        {"label": name, "method": "relayout", "args": ["scene.camera", camera]} for name, camera in _CAMERAS.items()
    ]
    figure.update_layout(
        title={"text": title, "font": {"size": 13}},
        scene={"xaxis_title": "z1", "yaxis_title": "z2", "zaxis_title": height, "camera": _CAMERAS["front"]},
        updatemenus=[{"type": "buttons", "direction": "right", "buttons": buttons, "x": 0.0, "y": 1.05}],
    )
    return _write(figure, path)


def _png(image: np.ndarray) -> str:
    """A uint8 image ``[height, width, channels]`` as a PNG in base64: three channels in colour, else grey, ink dark."""
    from PIL import Image

    file = io.BytesIO()
    pixels = image if image.shape[-1] == 3 else 255 - image.mean(-1).round().astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _write(figure: graph_objects.Figure, path: Path, script: str | None = None) -> Path:
    if not (shared := path.with_name(SCRIPT)).exists():
        results.write(shared, get_plotlyjs().encode())
    return results.write(path, figure.to_html(include_plotlyjs=SCRIPT, post_script=script).encode())
