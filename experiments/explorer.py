"""Models for the page's latent explorer: what a study keeps of them, and what the page reads of it.

A study that has :func:`arrays` in its npz and :func:`export` write its models is on the page. An image is followed
from model to model by its codes.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax import files, latent, pictures
from ae_jax.runs import Run
from ae_jax.types import Dataset
from experiments import decoders
from experiments.study import Saved

POINTS = 600  # test images in a plane, at most
COLUMNS = 25  # of the sheet of test images
DECIMALS = 3  # of codes on the page


def arrays(dataset: Dataset, codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For the npz: images of the test set, their labels, their codes by each model, and the range of each latent.

    A sample of the images where all codes are planes, elsewhere the first of each digit. ``codes`` by the model's name
    are ``[n, latent]`` of all test images, means of a VAE's, NaN of a model that diverged; smaller ones end in NaN.
    """
    planes, labels = all(of.shape[1] == 2 for of in codes.values()), dataset.test_labels
    chosen = latent.subsample(len(labels), POINTS, seed=0) if planes else np.unique(labels, return_index=True)[1]
    widest = max(of.shape[1] for of in codes.values())
    padded = [np.pad(of, ((0, 0), (0, widest - of.shape[1])), constant_values=np.nan) for of in codes.values()]
    return {
        "explorer_models": np.array(list(codes)),
        "explorer_codes": np.array([of[chosen] for of in padded]),
        "explorer_range": np.array([_range(of) for of in padded]),
        "explorer_labels": labels[chosen],
        "explorer_images": dataset.test_images[chosen],
    }


def _range(codes: np.ndarray) -> np.ndarray:
    """All but the outermost hundredth of each latent, at least a unit to both sides: that unused ones do nothing, too,
    is to be seen. ``[n, latent] -> [latent, 2]``."""
    low, high = np.percentile(codes, (0.5, 99.5), axis=0)
    middle, half = (low + high) / 2, np.maximum(high - low, 2) / 2
    return np.stack([middle - half, middle + half], 1)


def model_path(npz: Path, name: str = "") -> Path:
    """Where the model ``name`` of a study lies: beside its npz; the only one of a study needs no name."""
    words = re.sub(r"[^a-z0-9.+-]+", "_", name.lower())
    return npz.with_name("_".join([npz.stem, *([words] if words else [])]) + files.SUFFIX)


def export(saved: Saved, models: Mapping[str, Run]) -> list[Path]:
    """Write lanes by their names, a file each, with where they come from."""
    origin = {name: saved.meta[name] for name in ("study", "dataset", "config", "caption", "comparable")}
    return [
        files.save(dataclasses.replace(lane, name=name or lane.name), model_path(saved.npz, name), origin)
        for name, lane in models.items()
    ]


def space(npz: Path, arrays: Mapping[str, np.ndarray], title: str) -> dict[str, Any] | None:
    """What the page's script shows of a study, as plain JSON values; None where it has no model that converged.

    ``title``, ``labels``, a sheet of ``images`` as PNG and the ``shape`` of each, and the ``models``: ``name``,
    ``decoder``, ``range`` of each latent, ``codes`` of the images.
    """
    models = []
    for name, codes, limits in zip(*(arrays[f"explorer_{key}"] for key in ("models", "codes", "range")), strict=True):
        used = np.isfinite(limits[:, 0])
        if used.any():
            model = {"name": str(name), "decoder": _text(decoders.save(files.load(model_path(npz, str(name)))))}
            models.append(model | {"range": _plain(limits[used]), "codes": _plain(codes[:, used])})
    images = arrays["explorer_images"]
    of_images = {"labels": arrays["explorer_labels"].tolist(), "shape": images.shape[1:], "columns": COLUMNS}
    return {"title": title, "models": models, "images": _text(_sheet(images))} | of_images if models else None


def _sheet(images: np.ndarray) -> bytes:
    """A PNG of ``images [n, H, W, C]``, uint8, row by row: three channels in colour, else the first, ink dark."""
    drawn = images if images.shape[-1] == 3 else 255 - images[..., :1]
    rows = np.pad(drawn, ((0, -len(drawn) % COLUMNS), (0, 0), (0, 0), (0, 0))).reshape(-1, COLUMNS, *drawn.shape[1:])
    return pictures.png(rows.swapaxes(1, 2).reshape(-1, COLUMNS * drawn.shape[2], drawn.shape[3]))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _plain(values: np.ndarray) -> list[Any]:
    return values.astype(float).round(DECIMALS).tolist()
