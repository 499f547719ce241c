"""Report E: M. E. M. Dieye, P. D. Negho, R. K. M. Djaha, AutoEncoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import NOTEBOOK, Finding, Numbers
from experiments.reports.figures import Figure

TRAIN_MSE = Numbers({"E1": 0.00900}, NOTEBOOK)  # after 20 epochs

FIGURES: tuple[Figure, ...] = ()
FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {}
