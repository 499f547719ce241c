"""Learning curves ``[..., epochs]`` as the numbers that a report's words are about: ``[...]``."""

from __future__ import annotations

import numpy as np


def slope(curves: np.ndarray) -> np.ndarray:
    """Of the least-squares line through each curve, an epoch."""
    epochs = np.arange(curves.shape[-1]) - (curves.shape[-1] - 1) / 2
    return curves @ epochs / (epochs @ epochs)


def falling(curves: np.ndarray) -> np.ndarray:
    """The share of the steps that lead down; NaN for a curve that is not there to its end."""
    steps = np.diff(curves)
    return np.where(np.isfinite(steps).all(-1), (steps < 0).mean(-1), np.nan)


def epochs_to(target: float | np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The first epoch, from 1, at or below ``target``; one more than there are if none is.

    NaN for a curve that is not there to its end.
    """
    reached = curves <= target
    first = np.where(reached.any(-1), reached.argmax(-1), curves.shape[-1]) + 1.0
    return np.where(np.isfinite(curves[..., -1]), first, np.nan)
