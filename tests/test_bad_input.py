"""Whatever is given to a public name that it does not take is refused in words, never by an error from inside."""

import re

import flax.linen as nn
import numpy as np
import pytest

import ae_jax
from ae_jax.sklearn import AutoencoderTransformer
from ae_jax.types import UsageError

NAN, INF, HUGE = float("nan"), float("inf"), 10**30
BAD = (None, 3, -1, 0, 2.5, NAN, INF, HUGE, True, "relu", "", b"x", [], (), {}, object())
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
QUICK = {"epochs": 1, "batch_size": 16, "progress": False}
ENCODER, LIKELIHOOD = ae_jax.DenseEncoder(2, (4,)), ae_jax.gaussian_learned()
PLAIN, VAE, VQVAE = ae_jax.dense_autoencoder(2, (4,)), ae_jax.dense_vae(2, (4,)), ae_jax.conv_vqvae(4, 2)
CONV = {"latent": [3], "channels": [], "hidden": [None, 3], "implementation": [], "image": []}
DENSE = {"latent": [3], "widths": [[], ()], "activation": [], "image": []}
FITTED = {
    "labels": [None], "epochs": [3], "batch_size": [3], "optimizer": [], "patience": [None, 3], "keep_best": [True],
    "checkpoints": [None, "relu"], "resume": [], "progress": [None, True], "validation": [None, 0],
}  # fmt: skip


def model(latent):
    return ae_jax.autoencoder(ae_jax.dense_autoencoder(latent, (4,)))


def searched(**given):
    usual = {"build": model, "space": {"latent": 2}, "images": IMAGES, "trials": 1}
    return ae_jax.search(**usual | QUICK | given)


# By public name: a call that is right but for one argument, and by argument which of BAD it takes.
TABLE = {
    "conv_autoencoder": (ae_jax.conv_autoencoder, {"latent": 2}, CONV),
    "conv_vae": (ae_jax.conv_vae, {"latent": 2}, CONV),
    "ConvEncoder": (ae_jax.ConvEncoder, {"latent": 2}, CONV | {"activation": []}),
    "conv_vqvae": (
        ae_jax.conv_vqvae,
        {"codes": 4, "code_size": 2},
        {"codes": [3], "code_size": [3], "positions": [3], "channels": [], "hidden": [None, 3], "image": []},
    ),
    "dense_autoencoder": (ae_jax.dense_autoencoder, {"latent": 2}, DENSE | {"code_activation": [], "output": []}),
    "dense_vae": (ae_jax.dense_vae, {"latent": 2}, DENSE),
    "DenseEncoder": (ae_jax.DenseEncoder, {"latent": 2}, DENSE | {"code_activation": []}),
    "Classifier": (ae_jax.Classifier, {"encoder": ENCODER}, {"encoder": [], "classes": [3]}),
    "autoencoder": (ae_jax.autoencoder, {}, {"model": []}),
    "cross_entropy_autoencoder": (ae_jax.cross_entropy_autoencoder, {}, {"model": []}),
    "denoising": (
        ae_jax.denoising,
        {"model": PLAIN, "corrupt": ae_jax.corruptions.gaussian},
        {"model": [], "corrupt": []},
    ),
    "sparse_l1": (ae_jax.sparse_l1, {}, {"model": []}),
    "sparse_kl": (ae_jax.sparse_kl, {"model": PLAIN}, {"model": [], "rho": []}),
    "contractive": (ae_jax.contractive, {}, {"model": []}),
    "classifier": (ae_jax.classifier, {}, {"model": []}),
    "elbo": (ae_jax.elbo, {"model": VAE, "likelihood": LIKELIHOOD}, {"model": [], "likelihood": []}),
    "wae_mmd": (ae_jax.wae_mmd, {"model": VAE, "likelihood": LIKELIHOOD}, {"model": [], "likelihood": []}),
    "free_bits": (
        ae_jax.free_bits,
        {"model": VAE, "likelihood": LIKELIHOOD, "nats": 0.5},
        {"model": [], "likelihood": [], "nats": [3, 0, 2.5, HUGE]},
    ),
    **{
        name: (
            getattr(ae_jax, name),
            {"model": VAE, "likelihood": LIKELIHOOD, "samples": 2},
            {"model": [], "likelihood": [], "samples": [3]},
        )
        for name in ("iwae", "iwae_doubly_reparameterised")
    },
    "vector_quantised": (
        ae_jax.vector_quantised,
        {"model": VQVAE, "likelihood": LIKELIHOOD},
        {"model": [], "likelihood": []},
    ),
    "bernoulli": (ae_jax.bernoulli, {}, {"observe": []}),
    "gaussian": (ae_jax.gaussian, {}, {"variance": [3, 2.5, HUGE]}),
    "uniform": (ae_jax.uniform, {"low": 0, "high": 5}, {"low": [3, -1, 0, 2.5], "high": [3, 2.5, HUGE]}),
    "log_uniform": (ae_jax.log_uniform, {"low": 1, "high": 5}, {"low": [3, 2.5], "high": [3, 2.5, HUGE]}),
    "integer_uniform": (ae_jax.integer_uniform, {"low": 1, "high": 5}, {"low": [3, -1, 0], "high": [3]}),
    "choice": (ae_jax.choice, {"values": [1, 2]}, {"values": [], "p": [None]}),
    "Plan": (ae_jax.Plan, {}, {"batch_size": [3], "optimizer": ["relu", ""], "trainable": [None, [], ()]}),
    "hparams": (ae_jax.hparams, {}, {"l2": [3, 0, 2.5], "epochs": [3], "dropout": [None, 0]}),
    "keep_programs": (ae_jax.keep_programs, {}, {"folder": [None, "relu"]}),
    "load": (ae_jax.load, {}, {"path": []}),
    "export_torch_state": (ae_jax.export_torch_state, {"path": "model"}, {"run": []}),
    "export_stablehlo": (ae_jax.export_stablehlo, {"folder": "model"}, {"run": []}),
    "fit": (
        ae_jax.fit,
        {"objective": model(2), "images": IMAGES} | QUICK,
        FITTED
        | {"objective": [], "images": [], "seeds": [3, 0], "learning_rate": [3, 2.5], "l2": [3, 0, 2.5]},
    ),
    "search": (
        searched,
        {},
        FITTED
        | {"build": [], "space": [], "images": [], "trials": [3], "folds": [3], "halving": [None], "seed": [3, 0]},
    ),
    "AutoencoderTransformer": (
        lambda **given: AutoencoderTransformer(widths=given.pop("widths", (4,)), **{"epochs": 1} | given).fit(
            IMAGES.reshape(40, -1)
        ),
        {},
        {
            "latent": [3], "kind": [], "widths": [[], ()], "epochs": [3], "batch_size": [3], "l2": [3, 0, 2.5],
            "validation": [0], "patience": [None, 3],
        },
    ),
}  # fmt: skip
# Modules and classes that a user reads, functions of arrays, which JAX judges, and one without arguments.
OTHERS = {"corruptions", "Run", "Searched", "Interrupted", "UsageError"}
OTHERS |= {"binarize_dynamic", "binarize_static", "grey", "gaussian_learned"}


def unlike(value, taken):
    """Whether ``value`` is none of ``taken``: 1, 1.0 and True are three values."""
    return not any(type(value) is type(one) and value == one for one in taken)


def assert_refused(call, taken):
    """``call`` of all of BAD but what is ``taken`` raises a UsageError, in English."""
    for value in (value for value in BAD if unlike(value, taken)):
        with pytest.raises(UsageError) as refused:
            call(value)
        words = str(refused.value)
        assert words and not re.search(r"\ba [aeio]", words, re.IGNORECASE), words


def test_every_public_name_is_in_the_table():
    assert set(ae_jax.__all__) == (TABLE.keys() - {"AutoencoderTransformer"}) | OTHERS


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, (*_, arguments) in TABLE.items() for argument in arguments]
)
def test_what_is_not_taken_is_refused_in_words(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, usual, arguments = TABLE[name]
    assert_refused(lambda value: function(**usual | {argument: value}), arguments[argument])


@pytest.fixture(scope="module")
def run():
    return ae_jax.fit(model(2), IMAGES, **QUICK)


def test_the_methods_of_a_run_refuse_it_too(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = {
        run.save: [],
        run.encode: [],
        run.decode: [],
        run.reconstruct: [],
        run.score: [],
        lambda labels: run.score(IMAGES, labels): [None],
        lambda seed: run.score(IMAGES, seed=seed): [3, 0],
        lambda n: run.sample(n, like=IMAGES): [3],
        lambda seed: run.sample(2, seed, like=IMAGES): [3, 0],
        lambda like: run.sample(2, like=like): [],
        lambda components: run.sample(2, like=IMAGES, components=components): [3],
        lambda path: ae_jax.export_torch_state(run, path): ["relu"],
        lambda folder: ae_jax.export_stablehlo(run, folder): ["relu", ""],
        searched().trial: [0],
    }
    for call, taken in calls.items():
        assert_refused(call, taken)


def test_a_network_of_the_users_own_is_taken():
    assert ae_jax.Classifier(nn.Dense(3)).encoder == nn.Dense(3)
