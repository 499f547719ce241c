"""The five reports, a module each: their best hyper-parameters, what they say in numbers, in words and in figures.

A study trains and measures. A report's module says what the report says of it: ``FINDINGS`` are the claims by study,
each a function of the study's arrays, so that they are decided from an npz alone; ``FIGURES`` are the report's figures
and tables, and which of our files shows the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.comparison import Finding
from experiments.reports import a, b, c, d, e
from experiments.reports.figures import Figure

REPORTS = (a, b, c, d, e)
FIGURES: tuple[Figure, ...] = tuple(figure for report in REPORTS for figure in report.FIGURES)
# Ours for the embedded digits: so few images decay under the reports' L2.
DIGITS = {"learning_rate": 0.005, "l2": 1e-5, "dropout": 0.0}


def best(of: dict[str, float], dataset: str) -> dict[str, Any]:
    """A report's hyper-parameters for MNIST and data sets of its size; on the digits, ours."""
    return DIGITS if dataset == "digits" else of


def findings(study: str, arrays: Mapping[str, np.ndarray]) -> list[Finding]:
    """What the reports claim of a study, named as ``run_all`` does, and what its arrays say to that."""
    return [finding for report in REPORTS if study in report.FINDINGS for finding in report.FINDINGS[study](arrays)]
