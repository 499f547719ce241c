"""What several claims measure."""

from __future__ import annotations

import numpy as np


def rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's, of ``x [n]`` with each column of ``y [n, runs]``: ``[runs]``; NaN for a run that has one."""
    from scipy.stats import spearmanr

    return np.array([spearmanr(x, column).statistic for column in y.T]).round(9)  # so that 0.9 is 0.9
