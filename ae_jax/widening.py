"""Networks that differ only in the size of their code, as lanes of one program.

A code of d units is a wider code in which the weights into and out of the further units are zero. If the code is
linear, training keeps it so: such a unit is zero, so that the decoder's weights get no gradient; those are zero, so
that the encoder's get none; and neither L2 nor any optimizer moves a zero without a gradient. A network inside
a wider one is therefore the same function, learns the same, and only does more arithmetic.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import flax.linen as nn
import jax
import numpy as np

from ae_jax import activations
from ae_jax.models import Autoencoder, ConvDecoder, ConvEncoder, DenseDecoder, DenseEncoder
from ae_jax.objectives import Objective, parameter_count, parameter_shapes
from ae_jax.types import PyTree

BLIND_TO_CODES = {"objectives.autoencoder", "objectives.denoising"}  # the loss sees a code through the decoder alone
WORTH = 1.1  # times the parameters that a narrow network may have when wide: more arithmetic than that costs time


def fits(narrow: Objective, wide: Objective) -> bool:
    """Whether ``narrow`` may be trained as ``wide``: it learns the same there, and at about the same cost."""
    if (family := _family(narrow)) is None or family != _family(wide):
        return False
    return parameter_count(narrow) <= parameter_count(wide) <= WORTH * parameter_count(narrow)


def alike(objectives: Sequence[Objective]) -> bool:
    """Whether the models of objectives are equal or differ in the size of their code alone, whatever it costs.

    Their parameters must be the same by name too: a likelihood may have one of its own.
    """
    models = {_without_code(objective.model) or objective.model for objective in objectives}
    return len(models) == len({jax.tree.structure(parameter_shapes(objective)) for objective in objectives}) == 1


def _family(objective: Objective) -> Hashable:
    """The recipe without the size of the code; None if a wider code would change an objective's numbers."""
    if objective.recipe is None or objective.recipe.builder not in BLIND_TO_CODES:
        return None
    model = _without_code(objective.model)
    return model and (objective.recipe.builder, model, objective.recipe.arguments[1:])


def _without_code(model: nn.Module) -> nn.Module | None:
    """``model`` with a code of one number; None unless a unit that gets and gives nothing changes nothing in it."""
    match model:
        case Autoencoder(encoder=ConvEncoder(code_activation=activations.linear), decoder=ConvDecoder()):
            pass
        case Autoencoder(encoder=DenseEncoder(code_activation=activations.linear), decoder=DenseDecoder()):
            pass
        case _:
            return None
    return model.clone(encoder=model.encoder.clone(latent=1))


def widen(tree: PyTree, wide: PyTree) -> PyTree:
    """Arrays ``[lanes, ...]`` with zeros appended up to the shapes of one lane, ``wide``."""

    def pad(leaf: np.ndarray, like: np.ndarray) -> np.ndarray:
        missing = [(0, n - m) for m, n in zip(leaf.shape[1:], like.shape, strict=True)]
        return np.pad(leaf, [(0, 0), *missing])

    return jax.tree.map(pad, tree, wide)


def narrow(params: PyTree, objective: Objective) -> PyTree:
    """Of parameters ``[lanes, ...]``, perhaps widened, those that ``objective`` has."""

    def crop(leaf: np.ndarray, like: jax.ShapeDtypeStruct) -> np.ndarray:
        return leaf[:, *map(slice, like.shape)]

    return jax.tree.map(crop, params, parameter_shapes(objective))
