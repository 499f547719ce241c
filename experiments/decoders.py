"""Trained decoders for the page: their weights as safetensors, and their layers as a list that a browser can follow.

Weights are rounded to float16, half the size. Pixels of trained models moved by a third of one of 255 grey levels at
most.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import safetensors.numpy

from ae_jax.activations import ACTIVATIONS
from ae_jax.models import ConvDecoder, DenseDecoder
from ae_jax.runs import Run, one_lane
from ae_jax.types import UsageError
from ae_jax.vae import VAE


def layers(model: Any) -> list[dict[str, Any]]:
    """What ``model.decode`` does to one code, step by step.

    ``dense`` and ``up`` (a transposed convolution of stride 2) name the tensors ``NAME.kernel`` and ``NAME.bias``, in
    our layout; ``maps`` reads a vector as ``[channels, height, width]``; ``image`` leads to ``[height, width,
    channels]``. Raises UsageError for a model without such a decoder.
    """
    decoder = getattr(model, "decoder", None)
    output = "sigmoid" if isinstance(model, VAE) else _name(getattr(model, "output", None))
    if isinstance(decoder, DenseDecoder):
        hidden = [_dense(number, _name(decoder.activation)) for number in range(len(decoder.widths))]
        return [*hidden, _dense(len(decoder.widths), output)]
    if isinstance(decoder, ConvDecoder):
        return _convolutional(decoder, output)
    raise UsageError(
        f"a {type(model).__name__} has no decoder that the page can follow; give a convolutional or dense one"
    )


def _convolutional(decoder: ConvDecoder, output: str) -> list[dict[str, Any]]:
    activation, depth = _name(decoder.activation), len(decoder.channels)
    height, width, _ = decoder.image
    dense = [_dense(number, activation) for number in range(1 if decoder.hidden is None else 2)]
    shape = [decoder.channels[-1], height >> depth, width >> depth]
    steps = [*dense, {"kind": "maps", "shape": shape}]
    for number in range(depth):
        stage = depth - 1 - number  # of the encoder's convolutions, whose input this gives back
        size = [height >> stage, width >> stage]
        step = {"kind": "up", "name": f"ConvTranspose_{number}", "size": size, "padding": [1 - n % 2 for n in size]}
        steps.append(step | {"activation": activation if stage else output})
    return [*steps, {"kind": "image"}]


def _dense(number: int, activation: str) -> dict[str, Any]:
    return {"kind": "dense", "name": f"Dense_{number}", "activation": activation}


def _name(activation: Any) -> str:
    """An activation's name. Raises UsageError for one that the page does not know."""
    for name, known in ACTIVATIONS.items():
        if known is activation:
            return name
    raise UsageError(f"{activation}: the page knows {', '.join(ACTIVATIONS)} as activations")


def save(run: Run) -> bytes:
    """The decoder of a lane as the bytes of a safetensors file; its metadata hold image, code size and layers."""
    one_lane(run)
    steps, parameters = layers(run.model), run.params["params"]["decoder"]
    tensors = {
        f"{name}.{part}": np.ascontiguousarray(values, np.float16)
        for name, layer in parameters.items()
        for part, values in layer.items()
    }
    described = {"image": run.model.image, "latent": tensors["Dense_0.kernel"].shape[0], "layers": steps}
    return safetensors.numpy.save(tensors, {"decoder": json.dumps(described)})
