"""The page of a folder of results: what it says, that it needs nothing else, and how it behaves in a real browser.

The results are made by hand and their models untrained. Tests in a browser need the extra 'browser' and a Chromium.
"""

import dataclasses
import functools
import re

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy

from ae_jax import files, results
from ae_jax.distributions import bernoulli, grey
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.runs import of_params
from ae_jax.types import UsageError
from ae_jax.vae import conv_vae, dense_vae
from ae_jax.variational import elbo
from experiments import comparison, decoders, page
from experiments.comparison import Finding, Row
from tests.made import alone, apply, init, run_of

HOSTILE = "</script><script>document.title = 'taken over'</script>"
VERDICTS = [Row("a number", 0.5, [0.4]), Row("one of its notebook", 0.5, [0.6], source=comparison.NOTEBOOK)]
CLAIMS = [Finding("A2", "it falls", "largest step", [-1.0, -2.0], high=0.0)]
MODELS = {
    "report A's": conv_autoencoder(2),
    "report C's, variational": conv_vae(3, (32, 64), None),
    "report D's": dense_vae(5),
    "odd and in colour": conv_autoencoder(2, (6, 5), image=(17, 23, 2)),
    "of other activations": dense_autoencoder(2, (9, 7), nn.tanh, output=nn.elu),
}


@functools.cache
def lane(name):
    """A model of ``MODELS`` with parameters larger than fresh ones, so that its activations bend."""
    model = MODELS[name]
    params = init(model, np.zeros((1, *model.image), np.float32))
    return alone(model, jax.tree.map(lambda leaf: 2 * leaf, params))


def meta(study, caption="made by hand"):
    dataset = {"name": "digits", "sha256": "0" * 64, "train": 10, "test": 5}
    config = {"options": {"budget": "quick", "seed": 0}, "budget": {"epochs": 2}}
    seconds = dict.fromkeys(("wall_seconds", "train_seconds", "compile_seconds"), 1.0)
    return {
        "study": study, "dataset": dataset, "config": config, "caption": caption, "comparable": True,
        "rows": comparison.plain(VERDICTS), "findings": comparison.plain(CLAIMS),
    } | results.origin() | seconds  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A latent plane with its model, a space of three dimensions and two models, a search; figures and a page."""
    out, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(0)
    plane = conv_autoencoder(2)
    params = init(plane, np.zeros((1, *plane.image), np.float32))
    files.save(of_params("plane", autoencoder(plane), params), out / "latent_space_A5.safetensors")
    wide = conv_vae(3, (8, 16), None)
    params = [init(wide, np.zeros((1, *wide.image), np.float32)) for _ in range(2)]
    lanes = jax.tree.map(lambda one, other: np.stack([one, 2 * other]), *params)
    objective = elbo(wide, bernoulli(grey))
    files.save(dataclasses.replace(run_of(wide, lanes), objective=objective), out / "rate_distortion.safetensors")
    results.save(out / "rate_distortion.npz", {"names": np.array(["beta 1", "beta 2"])}, meta("rate_distortion"))
    labels = np.arange(40) % 10
    arrays = {
        "codes_2": rng.normal(size=(40, 2)), "labels": labels, "sample": np.arange(40),
        "sample_images": rng.integers(0, 256, (40, 28, 28, 1), np.uint8),
    }  # fmt: skip
    results.save(out / "latent_space_A5.npz", arrays, meta("latent_space", HOSTILE))
    trials = {
        "trial_learning_rate": 10.0 ** rng.uniform(-3, -1, 12), "trial_l2": 10.0 ** rng.uniform(-4, -2, 12),
        "trial_epochs": rng.integers(1, 5, 12), "score": np.append(rng.uniform(0.03, 0.1, 11), np.inf),
        "status": np.ones((12, 1), np.int32), "validation_loss": rng.uniform(0.03, 0.2, (12, 1, 5)),
    }  # fmt: skip
    results.save(out / "random_search_A1.npz", trials, meta("random_search"))
    for file in ("random_search_A1_fig1_l2.pdf", "random_search_A1_parallel.html", "plotly.min.js"):
        (out / file).touch()
    (out / "random_search_A1_fig1_l2.png").write_bytes(b"\x89PNG\r\n")
    return out


@pytest.fixture(scope="module")
def index(folder):
    return page.write(folder, folder / "page")


def test_the_page_says_what_was_reproduced(index):
    text = index.read_text()
    words = re.sub(r"<[^>]+>", " ", text.replace("\n", " "))
    assert re.search(
        r"met: equal within 1 % of the error, or better\s+3 of 6", words
    )  # better and worse, three studies
    assert "0.5000 (its notebook)" in words and "A2: it falls" in words and "3 of 3" in words
    assert "1 of " in words and "not in this folder: run compression" in words
    assert "sha256" in words and results.origin()["device"] in words


def test_the_page_needs_no_other_file_and_no_network(index):
    for name in (*index.parent.glob("*.html"), *index.parent.glob("*.css"), *index.parent.glob("*.js")):
        assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", name.read_text()), name
    linked = set(re.findall(r'(?:src|href)="([^"#:]+)"', index.read_text()))
    assert linked and all((index.parent / name).exists() for name in linked)


def test_words_of_a_run_are_words_on_the_page(index):
    assert HOSTILE not in index.read_text() and "taken over" in index.read_text()


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no study's npz in it; give the folder of a run"):
        page.write(tmp_path, tmp_path / "page")
    assert not list(tmp_path.iterdir())


def follow(steps, tensors, code):
    """The numbers of ``decoders.layers`` taken literally, in float64 and pixel by pixel: an oracle for both worlds."""
    known = {
        "linear": lambda x: x, "relu": lambda x: np.maximum(x, 0), "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh, "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    }  # fmt: skip
    x = np.asarray(code, np.float64)
    for step in steps:
        if step["kind"] == "dense":
            kernel, bias = (tensors[f"{step['name']}.{part}"] for part in ("kernel", "bias"))
            x = known[step["activation"]](x @ kernel.astype(float) + bias)
        elif step["kind"] == "maps":
            x = x.reshape(step["shape"])
        elif step["kind"] == "up":
            kernel, bias = (tensors[f"{step['name']}.{part}"].astype(float) for part in ("kernel", "bias"))
            y = np.tile(bias[:, None, None], (1, *step["size"]))
            for a, b, i, j in np.ndindex(*kernel.shape[:2], *x.shape[1:]):
                row, column = 2 * i + a - step["padding"][0], 2 * j + b - step["padding"][1]
                if 0 <= row < y.shape[1] and 0 <= column < y.shape[2]:
                    y[:, row, column] += kernel[a, b].T @ x[:, i, j]
            x = known[step["activation"]](y)
        else:
            x = x.transpose(1, 2, 0)
    return x.ravel()


@pytest.mark.parametrize("name", MODELS)
def test_the_layers_of_a_decoder_are_what_it_computes(name):
    run, code = lane(name), np.random.default_rng(1).normal(size=(1, latent(name))).astype(np.float32)
    expected = apply(run.model, run.params, code, method="decode")
    tensors = safetensors.numpy.load(decoders.save(run))
    np.testing.assert_allclose(follow(decoders.layers(run.model), tensors, code[0]), np.ravel(expected), atol=1e-5)


def latent(name):
    """How many numbers its code has."""
    return lane(name).params["params"]["decoder"]["Dense_0"]["kernel"].shape[0]
