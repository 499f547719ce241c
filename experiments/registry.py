"""Every study by the name of its npz: which module it is, and the options that make it this variant."""

from __future__ import annotations

import importlib
import re
from typing import Any

from experiments.study import Study

NAMES = (
    "compression", "random_search_A1", "cross_table", "latent_space_A5", "smoothness",
    "baseline", "baseline_factors", "random_search_B3", "latent_space_B4", "denoising_B5", "transfer_B6",
    "random_search_C1", "latent_space_C2", "transfer_C3", "denoising_C4",
    "linear_pca", "variational_B7", "variational_C5", "variational_D3", "variational_D4", "generators",
    "latent_sweep", "reconstruction_losses", "gradients", "architectures", "regularised", "anomaly", "rate_distortion",
    "importance_weighted",
)  # fmt: skip


def _named(name: str) -> tuple[Study, dict[str, Any]]:
    """A study, and the options that make it the variant which its npz is named after."""
    module, variant = re.fullmatch(r"(.+?)(?:_([A-E]\d))?", name).groups()
    return importlib.import_module(f"experiments.{module}").STUDY, {"study": variant} if variant else {}


STUDIES = {name: _named(name) for name in NAMES}
ONLY_IF_NAMED = {"importance_weighted"}  # its full budget, 3,280 epochs, takes days without an accelerator
