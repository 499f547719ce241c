"""A trained lane for other worlds: its parameters as a PyTorch state, its networks as StableHLO programs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jax import Array
from jax.export import Exported, export, symbolic_shape

from ae_jax import results
from ae_jax.models import Autoencoder, ConvDecoder, ConvEncoder, DenseDecoder, DenseEncoder, apply
from ae_jax.runs import Run, one_lane
from ae_jax.types import UsageError, a, as_path

PLATFORMS = ("cpu", "cuda", "tpu")

# The axes of our kernels ``[*window, in, out]`` in the order of PyTorch's weights, by kind of layer; and the kinds in a
# network's order. Between two kinds lies the Flatten or Unflatten of a feature map, channels first in both worlds.
_AXES = {"Dense": (1, 0), "Conv": (3, 2, 0, 1), "ConvTranspose": (2, 3, 0, 1)}
_KINDS = {"encoder": ("Conv", "Dense"), "decoder": ("Dense", "ConvTranspose")}


def export_torch_state(run: Run, path: str | Path) -> Path:
    """Write :func:`torch_state` of ``run`` to ``path``, for ``safetensors.torch.load_file`` and ``load_state_dict``.

    Raises UsageError where :func:`torch_state` does, and if the path cannot be written.
    """
    return results.write(as_path(path), safetensors.numpy.save(torch_state(run), {"format": "pt"}))


def torch_state(run: Run) -> dict[str, np.ndarray]:
    """The parameters of a lane of ``conv_autoencoder`` or ``dense_autoencoder`` by PyTorch's names, in its layout.

    They are those of a module whose ``encoder`` and ``decoder`` are ``nn.Sequential``, each layer followed by its
    activation (the last too, if only by ``nn.Identity``; dropout left out)::

        encoder  Conv2d, act, ..., Flatten, Linear, act, ..., Linear          encoder.0.weight, encoder.0.bias ...
        decoder  Linear, act, ..., Unflatten, ConvTranspose2d, act, ...       decoder.0.weight ...

    so that report A's network (section II) has ``encoder.0, 2, 4, 7, 9`` and ``decoder.0, 2, 5, 7, 9``. Images are
    ``[batch, channels, height, width]`` there. Raises UsageError for several lanes, a diverged one, another model.
    """
    one_lane(run)
    model = run.model
    networks = (type(model), type(getattr(model, "encoder", None)), type(getattr(model, "decoder", None)))
    if networks not in ((Autoencoder, ConvEncoder, ConvDecoder), (Autoencoder, DenseEncoder, DenseDecoder)):
        raise UsageError(f"{run.name}: {a(type(model).__name__)} has no PyTorch state; give a plain autoencoder's lane")
    if networks[1] is DenseEncoder and run.model.image[2] != 1:
        raise UsageError(f"{run.name}: dense networks flatten colour in another order than PyTorch; give a grey one")
    state = {}
    for network, kinds in _KINDS.items():
        layers, place = run.params["params"][network], 0
        for kind in kinds:
            for number in range(sum(name.startswith(f"{kind}_") for name in layers)):
                layer = layers[f"{kind}_{number}"]
                state[f"{network}.{place}.weight"] = np.array(layer["kernel"].transpose(_AXES[kind]), order="C")
                state[f"{network}.{place}.bias"] = np.array(layer["bias"])
                place += 2  # the layer and its activation
            place += 1
    return state


def export_stablehlo(run: Run, folder: str | Path) -> list[Path]:
    """Write :func:`programs` of ``run`` to ``folder``: ``encoder.stablehlo`` and ``decoder.stablehlo``.

    Where JAX is installed they run without this package::

        encoder = jax.export.deserialize(bytearray(Path("encoder.stablehlo").read_bytes()))
        codes = encoder.call(images)

    Raises UsageError where :func:`programs` does, if the path cannot be written, and without ``flatbuffers``.
    """
    if importlib.util.find_spec("flatbuffers") is None:
        raise UsageError("StableHLO files are written by the package flatbuffers: install ae-jax[export]")
    folder = as_path(folder)
    contents = {f"{name}.stablehlo": bytes(program.serialize()) for name, program in programs(run).items()}
    return [results.write(folder / name, content) for name, content in contents.items()]


def programs(run: Run) -> dict[str, Exported]:
    """``encoder`` and ``decoder`` of a lane, its parameters in them, for any number of images and any of ``PLATFORMS``.

    Codes are what the decoder takes: ``[batch, latent]``, a VAE's the means, a VQ-VAE's the vectors of the book
    ``[batch, positions, code_size]``. Decoding them gives the model's reconstruction. Images are float32 ``[batch,
    *image]``. Raises UsageError for several lanes, a diverged one, and a model without a decoder.
    """
    one_lane(run)
    model, params = run.model, jax.tree.map(jnp.asarray, run.params)
    if not hasattr(model, "decode"):
        raise UsageError(f"{run.name}: {a(type(model).__name__)} has no decoder; give an autoencoder's lane")

    def encode(images: Array) -> Array:
        return apply(model, params, images, method="code")

    def decode(codes: Array) -> Array:
        return apply(model, params, codes, method="decode")

    images = jax.ShapeDtypeStruct((*symbolic_shape("batch"), *run.model.image), np.float32)
    encoder = export(jax.jit(encode), platforms=PLATFORMS)(images)
    decoder = export(jax.jit(decode), platforms=PLATFORMS)(encoder.out_avals[0])
    return {"encoder": encoder, "decoder": decoder}
