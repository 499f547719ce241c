"""The networks of the reports as tables: layers, output shapes, parameters (A and B, section 2; C, Figs. 1 and 5; D,
Figs. 1 and 4; E, Fig. 1).

    python -m experiments.architectures --dataset digits

Nothing is trained: a batch is led through each network in the abstract, and its layers tell what they make of it. An
activation follows every hidden layer, a dropout too where the rate is not zero; they have no parameters and
leave the shape. Expected: report A's network with d = 2 has 49,283 parameters. Runtime: seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.models import Classifier, ConvEncoder, conv_autoencoder, dense_autoencoder
from ae_jax.vae import conv_vae, dense_vae
from experiments import common, comparison, reports, sheets, study
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training

NETWORKS = {  # by the name of their figure: what they are, and the module
    "ab": ("A and B  The convolutional autoencoder, d = 2", conv_autoencoder(2)),
    "b6": ("B6  The encoder with ten classes in place of the code", ConvEncoder(10)),
    "b7": ("B7  The variational autoencoder, d = 3: three means, three log-variances", conv_vae(3)),
    "c": ("C, Fig. 5  The best convolutional autoencoder", conv_autoencoder(2, reports.c.CHANNELS)),
    "c3": ("C3  Ten classes on the code", Classifier(ConvEncoder(2, reports.c.CHANNELS))),
    "c5": ("C, Fig. 1  The variational autoencoder: two means, two log-variances", conv_vae(2, (32, 64), None)),
    "d1": ("D, Fig. 1  The autoencoder of D1 and D2", dense_autoencoder(5)),
    "d3": ("D, Fig. 4  The variational autoencoder: five means, five log-variances", dense_vae(5)),
    "e1": ("E, Fig. 1  The autoencoder of E1, E2 and E3", dense_autoencoder(64, (128,))),
    "e4": ("E4  The autoencoder of few units", dense_autoencoder(4, (8,))),
}
HEADER = ("layer", "output", "parameters")
NOTHING = Budget(epochs=1, batch_size=64)
BUDGETS = common.budgets(digits=NOTHING, mnist=NOTHING, full=NOTHING)


class Options(common.Options):
    """Draw the networks of the reports as tables."""


class Layer(NamedTuple):
    """A layer with parameters: the part of the network it is in, its kind, its output without the batch."""

    part: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def layers_of(model: nn.Module) -> list[Layer]:
    """The layers of a network in the order in which an image passes them, as they tell themselves."""
    found = []

    def note(call, args, kwargs, context):
        output, module = call(*args, **kwargs), context.module
        own = module.variables.get("params", {}).values()
        if own and not any(isinstance(part, Mapping) for part in own):
            features, *size = output.shape[:-1]  # the batch is last, see ``layers``
            count = sum(leaf.size for leaf in own)
            part = "/".join(module.path[:-1]) or "classifier"
            found.append(Layer(part, type(module).__name__, (*size, features), count))
        return output

    def lead(key: jax.Array, images: jax.Array) -> None:
        with nn.intercept_methods(note):
            model.init(key, images)

    jax.eval_shape(lead, jax.random.key(0), jnp.zeros((1, *model.image)))
    return found


def plan(setup: Setup) -> Training:
    """Nothing is trained."""
    return Training([])


def measure(setup: Setup, runs: Runs) -> Measured:
    """The table of each network: part, layer, shape and parameters, ``[layers]`` each."""
    tables = {name: layers_of(model) for name, (_, model) in NETWORKS.items()}
    titles = [title for title, _ in NETWORKS.values()]
    counts = [sum(layer.parameters for layer in table) for table in tables.values()]
    arrays = {"network": np.array(list(NETWORKS)), "title": np.array(titles), "parameters": np.array(counts)}
    for name, table in tables.items():
        arrays[f"{name}_part"] = np.array([layer.part for layer in table])
        arrays[f"{name}_layer"] = np.array([layer.kind for layer in table])
        arrays[f"{name}_shape"] = np.array([" x ".join(map(str, layer.shape)) for layer in table])
        arrays[f"{name}_parameters"] = np.array([layer.parameters for layer in table])
    rows = comparison.rows("{}, parameters", titles, counts)
    return Measured(arrays, rows, common.describe(setup, "no training"))


def draw(saved: Saved) -> Paths:
    """A table for each network, a panel for each of its parts."""
    arrays = saved.arrays
    for name, title in zip(arrays["network"], arrays["title"], strict=True):
        parts, kinds, shapes, counts = (arrays[f"{name}_{of}"] for of in ("part", "layer", "shape", "parameters"))
        panels = {}
        for part in dict.fromkeys(parts.tolist()):
            rows = zip(*(column[parts == part].tolist() for column in (kinds, shapes, counts)), strict=True)
            title_of_part = f"{part}, {counts[parts == part].sum():,} parameters"
            panels[title_of_part] = [(kind, shape, f"{count:,}") for kind, shape, count in rows]
        yield from saved.draw(sheets.tables, name, panels, HEADER, title=title)


STUDY = Study("architectures", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
