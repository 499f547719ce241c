"""Report E: M. E. M. Dieye, P. D. Negho, R. K. M. Djaha, AutoEncoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import NOTEBOOK, Finding, Numbers
from experiments.reports.figures import Figure

TRAIN_MSE = Numbers({"E1": 0.00900}, NOTEBOOK)  # after 20 epochs

PLACES = {"E1": 0, "E2": 1, "E3": 2}  # their places among the networks
SIMILAR = 10**0.1  # times the error: a decibel of PSNR

_LOSSES = "reconstruction_losses"
FIGURES = (
    Figure("E, Fig. 1", "structure of the autoencoder", "architectures", "e1.pdf"),
    Figure("E, Fig. 2", "original images", _LOSSES, "fig2_originals.pdf"),
    Figure("E, Fig. 3", "reconstructions by sigmoid and MSE", _LOSSES, "fig3_to_6.pdf"),
    Figure("E, Fig. 4", "reconstructions by ReLU and MSE", _LOSSES, "fig3_to_6.pdf"),
    Figure("E, Fig. 5", "reconstructions by sigmoid and BCE", _LOSSES, "fig3_to_6.pdf"),
    Figure("E, Fig. 6", "reconstructions from fewer units", _LOSSES, "fig3_to_6.pdf"),
)


def reconstruction_losses(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3; everything is ``[networks, seeds]``: E1, E2, E3, and E4 by its caption and by its text."""
    errors, kept = arrays["test_mse"], 1 - arrays["test_mse"] / arrays["mean_image_test_mse"]
    for one, other in (("E3", "E1"), ("E2", "E1"), ("E2", "E3")):
        ratio = errors[PLACES[one]] / errors[PLACES[other]]
        yield Finding(
            "E1-E3", f"the reconstructions of {one} and {other} are almost similar",
            f"test error of {one} over {other}'s (1 dB of PSNR)", ratio, 1 / SIMILAR, SIMILAR,
        )  # fmt: skip
    for name, place in PLACES.items():
        yield Finding(
            name, "the model reconstructs the input with a high precision", "share of the variance kept",
            kept[place], 0.8,
        )  # fmt: skip
    for label, sharp, of in zip(arrays["label"][3:], arrays["sharpness"][3:], kept[3:], strict=True):
        yield Finding(
            "E4", f"the result shows blurred images ({label})",
            "contrast of neighbouring pixels, over the images'", sharp, high=0.5,
        )  # fmt: skip
        yield Finding(
            "E4", f"the most salient information is not captured ({label})", "share of the variance kept", of, high=0.5
        )


def gradients(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 2.2: the cases (4) and (7), the first two."""
    for loss, case in (("mean square error", 0), ("binary cross-entropy", 1)):
        wrong, slope, curvature = (arrays[name][case : case + 1] for name in ("autodiff", "at_target", "curvature"))
        yield Finding(
            "E5", f"the derivative of the {loss} as derived", "largest difference from jax.grad's", wrong, high=1e-12
        )
        yield Finding("E5", f"the {loss} is minimised by x = x'", "largest derivative there", slope, high=1e-12)
        yield Finding("E5", f"the second derivative of the {loss} is positive", "the least there", curvature, 1e-12)


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {
    "reconstruction_losses": reconstruction_losses,
    "gradients": gradients,
}
