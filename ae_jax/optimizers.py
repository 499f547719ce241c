"""Optimizers with PyTorch's semantics and traced hyper-parameters: a function each, ``HParams -> transformation``.

The optax chain is built *inside* the traced train step, so that learning rate, momentum and L2 penalty stay
numbers that differ between lanes. The L2 penalty is coupled, as PyTorch's ``weight_decay`` is: ``l2 * param``
joins the gradient of every parameter before the optimizer rescales it. Constants are PyTorch's defaults.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import optax

from ae_jax.types import HParams, Plan, PyTree, UsageError


def adam(hparams: HParams) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015): betas 0.9 and 0.999, eps 1e-8 outside the root."""
    return optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)


def adamax(hparams: HParams) -> optax.GradientTransformation:
    """Adamax (Kingma & Ba 2015, section 7.1): the infinity-norm form of Adam, eps 1e-8."""
    return optax.scale_by_adamax(b1=0.9, b2=0.999, eps=1e-8)


def adadelta(hparams: HParams) -> optax.GradientTransformation:
    """Adadelta (Zeiler 2012): rho 0.9, eps 1e-6."""
    return optax.scale_by_adadelta(rho=0.9, eps=1e-6)


def rmsprop(hparams: HParams) -> optax.GradientTransformation:
    """RMSProp (Tieleman & Hinton 2012): smoothing 0.99, eps 1e-8 outside the root."""
    return optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False)


def sgd(hparams: HParams) -> optax.GradientTransformation:
    """Stochastic gradient descent with (heavy-ball) momentum ``hparams.momentum``; zero is plain SGD."""
    return optax.trace(decay=hparams.momentum)


OPTIMIZERS: dict[str, Callable[[HParams], optax.GradientTransformation]] = {
    "adam": adam,
    "adamax": adamax,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "sgd": sgd,
}


def build(plan: Plan, hparams: HParams) -> optax.GradientTransformation:
    """The full update rule: coupled L2, the plan's optimizer, then the learning rate; only for what is trainable.

    Raises UsageError for an optimizer that is not in ``OPTIMIZERS``.
    """
    if plan.optimizer not in OPTIMIZERS:
        raise UsageError(f"unknown optimizer {plan.optimizer!r}: choose one of {', '.join(OPTIMIZERS)}")
    rule = optax.chain(
        optax.add_decayed_weights(hparams.l2),
        OPTIMIZERS[plan.optimizer](hparams),
        optax.scale_by_learning_rate(hparams.learning_rate),
    )
    if plan.trainable is None:
        return rule
    return optax.multi_transform({True: rule, False: optax.set_to_zero()}, functools.partial(_learns, plan.trainable))


def _learns(trainable: tuple[str, ...], params: PyTree) -> PyTree:
    """Which leaves of ``params`` are in modules of these names: bools. Raises UsageError if a name is not there."""
    paths = [{key.key for key in path} for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    if unknown := set(trainable) - set().union(*paths):
        known = ", ".join(sorted(set().union(*paths)))
        raise UsageError(f"no module {', '.join(sorted(unknown))} to train: choose among {known}")
    leaves = [not path.isdisjoint(trainable) for path in paths]
    return jax.tree.unflatten(jax.tree.structure(params), leaves)
