"""Lanes for other worlds: PyTorch's networks with our parameters, StableHLO programs without our package."""

import functools
import subprocess
import sys

import jax
import numpy as np
import pytest

from ae_jax import distributions, export, objectives, variational
from ae_jax.models import Classifier, ConvEncoder, conv_autoencoder, dense_autoencoder
from ae_jax.objectives import parameter_shapes
from ae_jax.runs import Run, of_params
from ae_jax.types import UsageError
from ae_jax.vae import conv_vae, conv_vqvae
from tests import made

GREY = distributions.bernoulli(distributions.grey)
MODELS = {
    "conv": objectives.autoencoder(conv_autoencoder(3, (2, 3, 4), 5)),
    "banded": objectives.autoencoder(conv_autoencoder(3, (2,), 5, "banded")),
    "lax": objectives.autoencoder(conv_autoencoder(3, (2,), None, "lax")),
    "dense": objectives.cross_entropy_autoencoder(dense_autoencoder(3, (4,))),
    "VAE": variational.elbo(conv_vae(2, (2,)), GREY),
    "VQ-VAE": variational.vector_quantised(conv_vqvae(8, 2, 3, (2,)), GREY),
}


def lane(objective) -> Run:
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(objective)
    return of_params("one", objective, jax.tree.map(lambda leaf: np.float32(rng.normal(0, 0.2, leaf.shape)), shapes))


def images(n: int) -> np.ndarray:
    return np.float32(np.random.default_rng(n).uniform(size=(n, 28, 28, 1)))


@pytest.mark.parametrize("name", MODELS)
def test_programs_take_any_number_of_images(name):
    run, given = lane(MODELS[name]), images(5)
    model, book = run.model, run.params["params"].get("quantiser", {"book": None})["book"]
    programs = export.programs(run)
    units, expected = (
        np.asarray(jax.jit(functools.partial(model.apply, method=method))(run.params, given))
        for method in (lambda model, x: model.encoder(x), None)
    )
    if name == "VAE":
        units = units[:, :2]
    elif name == "VQ-VAE":
        units = book[np.square(units.reshape(5, 3, 1, 2) - book).sum(-1).argmin(-1)]
    for n in (2, 5):
        codes = programs["encoder"].call(given[:n])
        np.testing.assert_allclose(codes, units[:n], atol=3e-6)
        np.testing.assert_allclose(programs["decoder"].call(codes), expected[:n], atol=3e-6)
    assert all(program.platforms == export.PLATFORMS for program in programs.values())


ALONE = """
import sys, pathlib, numpy as np
sys.modules["ae_jax"] = None
import jax.export
encoder, decoder = (jax.export.deserialize(bytearray(pathlib.Path(name).read_bytes())) for name in sys.argv[1:3])
for n in (2, 5):
    codes = encoder.call(np.load(f"images_{n}.npy"))
    np.savez(f"outputs_{n}.npz", codes=codes, images=decoder.call(codes))
"""


def test_stablehlo_runs_where_this_package_is_not(tmp_path):
    run = lane(MODELS["conv"])
    encoder, decoder = export.export_stablehlo(run, tmp_path / "programs")
    assert [encoder.name, decoder.name] == ["encoder.stablehlo", "decoder.stablehlo"]
    for n in (2, 5):
        np.save(tmp_path / f"images_{n}.npy", images(n))
    subprocess.run([sys.executable, "-c", ALONE, encoder, decoder], cwd=tmp_path, check=True)
    for n in (2, 5):
        with np.load(tmp_path / f"outputs_{n}.npz") as outputs:
            np.testing.assert_allclose(
                outputs["codes"], made.apply(run.model, run.params, images(n), method="encode"), atol=1e-6
            )
            np.testing.assert_allclose(outputs["images"], made.apply(run.model, run.params, images(n)), atol=1e-6)


def test_without_flatbuffers_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install ae-jax\[export\]"):
        export.export_stablehlo(lane(MODELS["dense"]), tmp_path)


def test_what_cannot_be_exported_is_refused(tmp_path, monkeypatch):
    classifier, vae, dense = (
        lane(of) for of in (objectives.classifier(Classifier(ConvEncoder(2, (2,)))), MODELS["VAE"], MODELS["dense"])
    )
    with pytest.raises(UsageError, match="one: a Classifier has no decoder"):
        export.programs(classifier)
    for other in (classifier, vae):
        with pytest.raises(UsageError, match=r"one: a (Classifier|VAE) has no PyTorch state"):
            export.export_torch_state(other, tmp_path / "state.safetensors")
    for function in (export.programs, export.torch_state):
        with pytest.raises(UsageError, match=r"lanes \(1,\) are not one trained model; give run\.best"):
            function(dense[np.newaxis])
    monkeypatch.setattr(type(dense.model), "image", (8, 8, 3), raising=False)
    with pytest.raises(UsageError, match="another order than PyTorch"):
        export.torch_state(dense)
    assert not list(tmp_path.iterdir())


@pytest.mark.peers
@pytest.mark.parametrize(
    ("objective", "kind", "arguments"),
    [
        (objectives.autoencoder(conv_autoencoder(4)), "conv", {"latent": 4}),
        (MODELS["dense"], "dense", {"latent": 3, "widths": (4,)}),
    ],
)
def test_pytorch_computes_the_same_from_our_parameters(objective, kind, arguments, tmp_path):
    torch = pytest.importorskip("torch")
    import torch_networks
    from safetensors.torch import load_file

    run = lane(objective)
    network = getattr(torch_networks, f"{kind}_autoencoder")(**arguments)
    network.load_state_dict(load_file(export.export_torch_state(run, tmp_path / "state.safetensors")), strict=True)
    given = images(6)
    with torch.no_grad():
        codes = network.encoder(torch_networks.channels_first(given))
        outputs = network.output(network.decoder(codes))
    expected = made.apply(run.model, run.params, given, method="encode")
    np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-5)
    decoded = made.apply(run.model, run.params, expected, method="decode")
    np.testing.assert_allclose(torch_networks.channels_last(outputs), decoded, rtol=1e-5, atol=1e-5)
