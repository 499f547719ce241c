"""Autoencoders as scikit-learn's users expect them: a transformer for pipelines, grid searches and pickles."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from ae_jax import api, corruptions, objectives, variational
from ae_jax.distributions import gaussian_learned
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import Objective
from ae_jax.types import Range, UsageError, number, whole, wholes
from ae_jax.vae import dense_vae

_PLAIN: dict[str, Callable[..., Objective]] = {
    "plain": objectives.autoencoder,
    "denoising": functools.partial(objectives.denoising, corrupt=corruptions.gaussian),
    "sparse": objectives.sparse_l1,
    "contractive": objectives.contractive,
}


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Codes of a dense autoencoder in place of features: ``[n, features] -> [n, latent]``, and back.

    Features may have any range: each is scaled to [0, 1] by its extremes in training. What lies beyond them later
    counts as the extreme.

    >>> import numpy as np
    >>> from ae_jax.sklearn import AutoencoderTransformer
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> model = AutoencoderTransformer(latent=2, epochs=5, random_state=0).fit(X)
    >>> model.transform(X).shape, model.inverse_transform(model.transform(X)).shape
    ((40, 2), (40, 5))

    Args:
        latent: numbers in a code.
        kind: ``"plain"``, ``"denoising"`` (Gaussian noise of deviation ``noise``, in units of a feature's range),
            ``"sparse"`` (L1) or ``"contractive"`` (each weighed by ``penalty``), or ``"variational"`` (beta is
            ``penalty``; codes are means).
        widths: of the hidden layers, from the features inwards.
        epochs, learning_rate, batch_size, optimizer, l2, dropout, noise, penalty: see ``types.HParams`` and
            ``types.Plan``. Fewer rows than ``batch_size`` are one batch.
        patience: epochs without a lower loss before training stops; None trains to the end.
        validation: share of the rows, drawn at random, whose loss is watched; with 0 it is that of the training.
        random_state: seed of parameters and draws, or what scikit-learn takes as one.
        verbose: whether to show a progress bar.

    Attributes:
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
        data_min_, data_range_: extremes of each feature in training.
        run_: the trained model, a :class:`~ae_jax.runs.Run`.
        n_iter_: epochs trained.
        loss_curve_, validation_loss_curve_: losses by epoch.
    """

    def __init__(
        self, latent: int = 2, *, kind: str = "plain", widths: tuple[int, ...] = (64,), epochs: int = 100,
        learning_rate: float = 3e-3, batch_size: int = 64, optimizer: str = "adam", l2: float = 0.0,
        dropout: float = 0.0, noise: float = 0.1, penalty: float = 1.0, patience: int | None = None,
        validation: float = 0.0, random_state: Any = None, verbose: bool = False,
    ):  # fmt: skip
        self.latent = latent
        self.kind = kind
        self.widths = widths
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.l2 = l2
        self.dropout = dropout
        self.noise = noise
        self.penalty = penalty
        self.patience = patience
        self.validation = validation
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: Any = None) -> AutoencoderTransformer:
        """Train on ``X [n, features]``; ``y`` is ignored. Raises UsageError, a ValueError, if training diverges."""
        rows = validate_data(self, X, dtype=np.float64)
        validation = number("validation", self.validation, Range("of at least 0 and below 1", lambda x: 0 <= x < 1))
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        self.data_min_ = rows.min(0)
        self.data_range_ = rows.max(0) - self.data_min_
        if validation:
            rows = rows[random.permutation(len(rows))]
        training = len(rows) - round(len(rows) * validation)
        batch_size = max(1, min(whole("batch_size", self.batch_size), training))
        self.run_ = api.fit(
            self._objective(), self._to_unit(rows), epochs=self.epochs, learning_rate=self.learning_rate,
            batch_size=batch_size, optimizer=self.optimizer, seeds=seed,
            validation=validation, patience=self.patience, l2=self.l2, dropout=self.dropout, noise=self.noise,
            penalty=self.penalty, progress=bool(self.verbose),
        ).best  # fmt: skip
        self.n_iter_ = int(self.run_.epochs)
        self.loss_curve_, self.validation_loss_curve_ = (curve[: self.n_iter_] for curve in self.run_.curves)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Codes ``[n, latent]`` of ``X [n, features]``."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return self.run_.encode(self._to_unit(rows)).astype(rows.dtype)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Features ``[n, features]`` of codes ``X [n, latent]``."""
        check_is_fitted(self)
        codes = check_array(X, dtype=(np.float64, np.float32))
        features = self.run_.decode(codes).reshape(len(codes), -1)
        return (features * self.data_range_ + self.data_min_).astype(codes.dtype)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """The negative mean squared error of the reconstruction of ``X``, in its own units: higher is better."""
        codes = self.transform(X)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return -float(np.square(self.inverse_transform(codes) - rows).mean())

    def _objective(self) -> Objective:
        """What ``kind`` is trained for."""
        widths = wholes("widths", self.widths)
        if self.kind == "variational":
            return variational.elbo(dense_vae(self.latent, widths), gaussian_learned())
        if not isinstance(self.kind, str) or self.kind not in _PLAIN:
            raise UsageError(f"kind {self.kind!r} is not allowed: choose one of {', '.join(_PLAIN)}, variational")
        return _PLAIN[self.kind](dense_autoencoder(self.latent, widths))

    def _to_unit(self, rows: np.ndarray) -> np.ndarray:
        scaled = (rows - self.data_min_) / np.where(self.data_range_ > 0, self.data_range_, 1.0)
        return scaled.clip(0.0, 1.0).astype(np.float32)

    @property
    def _n_features_out(self) -> int:
        return self.run_.params["params"]["decoder"]["Dense_0"]["kernel"].shape[0]

    def __sklearn_tags__(self) -> Tags:
        """Codes have the float type of the features."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
