"""The page of a folder of results: what it says, that it needs nothing else, and how it behaves in a real browser.

The results are made by hand and their models untrained. Tests in a browser need the extra 'browser' and a Chromium.
"""

import base64
import functools
import io
import re

import flax.linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from ae_jax import files, pictures, results
from ae_jax.distributions import bernoulli, grey
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.runs import of_params
from ae_jax.types import Dataset, UsageError
from ae_jax.vae import conv_vae, dense_vae
from ae_jax.variational import elbo
from experiments import comparison, decoders, explorer, page, search_results, study
from experiments.comparison import Finding, Row
from tests.commands import in_group
from tests.made import alone, apply, init

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


def made_dataset(n):
    """``n`` images of noise, labels 0 to 9."""
    images, labels = np.random.default_rng(0).integers(0, 256, (n, 28, 28, 1), np.uint8), np.arange(n) % 10
    return Dataset("made", images, labels, images, labels, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A latent plane with its model, a space of three dimensions and two models, a search; figures and a page."""
    out, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(0)
    dataset = made_dataset(40)
    plane, wide = conv_autoencoder(2), conv_vae(3, (8, 16), None)
    run = of_params("plane", autoencoder(plane), init(plane, np.zeros((1, *plane.image), np.float32)))
    explored(out / "latent_space_A5.npz", dataset, {"": rng.normal(size=(40, 2))}, {"": run}, HOSTILE)
    objective, params = elbo(wide, bernoulli(grey)), init(wide, np.zeros((1, *wide.image), np.float32))
    runs = {
        f"beta {beta}": of_params("wide", objective, jax.tree.map(lambda leaf, beta=beta: beta * leaf, params))
        for beta in (1, 2)
    }
    codes = {name: rng.normal(size=(40, 3)) for name in runs}
    explored(out / "rate_distortion.npz", dataset, codes, runs)
    trials = {
        "trial_learning_rate": 10.0 ** rng.uniform(-3, -1, 12), "trial_l2": np.geomspace(1e-5, 1e-2, 12),
        "trial_epochs": rng.integers(1, 5, 12), "score": np.append(rng.uniform(0.03, 0.1, 11), np.inf),
        "status": np.ones((12, 1), np.int32), "validation_loss": rng.uniform(0.03, 0.2, (12, 1, 5)),
    }  # fmt: skip
    results.save(out / "random_search_A1.npz", trials, meta("random_search"))
    for file in ("random_search_A1_fig1_l2.pdf", "random_search_A1_parallel.html", "plotly.min.js"):
        (out / file).touch()
    few = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)[..., None] * np.array([1, 0, 1], np.uint8)
    (out / "random_search_A1_fig1_l2.png").write_bytes(pictures.png(few))
    (out / "random_search_A1_each.png").write_bytes(pictures.png(np.zeros((30, page.WIDE, 1), np.uint8)))
    return out


def explored(npz, dataset, codes, runs, caption="made by hand"):
    """What a study leaves for the explorer: its arrays in the npz, its models beside it."""
    described = meta(npz.stem.partition("_A5")[0], caption)
    arrays = explorer.arrays(dataset, codes)
    results.save(npz, arrays, described)
    explorer.export(study.Saved(npz, arrays, described), runs)


@pytest.fixture(scope="module")
def index(folder):
    return page.write(folder, folder / "page")


def test_the_page_says_what_was_reproduced(index):
    text = index.read_text()
    words = re.sub(r"<[^>]+>", " ", text.replace("\n", " "))
    # better and worse, three studies
    assert re.search(
        r"met: equal within 1 % of the error, or better\s+3 worse or different, 0 not comparable \(.+?\)\s+3 of 6",
        words,
    )
    assert re.search(
        r"confirmed by every run\s+0 not confirmed, 0 undecided, 0 not testable on these data\s+3 of 3", words
    )
    assert "0.5000 (its notebook)" in words and "A2: it falls" in words
    assert "1 of " in words and "not in this folder, run compression" in words
    assert "sha256" in words and results.origin()["device"] in words


def test_the_page_needs_no_other_file_and_no_network(index):
    for name in (*index.parent.glob("*.html"), *index.parent.glob("*.css"), *index.parent.glob("*.js")):
        assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", name.read_text()), name
    linked = set(re.findall(r'(?:src|href)="([^"#:]+)"', index.read_text()))
    assert linked and all((index.parent / name).exists() for name in linked)
    assert "../random_search_A1_fig1_l2.pdf" in linked and not list(index.parent.glob("*.pdf"))


def test_figures_keep_their_size_and_up_to_256_colours(folder, index):
    ours, page_s = (pictures.read([place / "random_search_A1_fig1_l2.png"])[0] for place in (folder, index.parent))
    np.testing.assert_array_equal(ours, page_s)


def test_a_figure_of_many_panels_comes_last_and_has_the_width_of_the_page(index):
    figures = re.findall(r'<figure( class="wide")? id="figure-(\w+)">', index.read_text())
    assert figures == [("", "random_search_A1_fig1_l2"), (' class="wide"', "random_search_A1_each")]


def test_a_study_has_its_own_figures_alone(tmp_path):
    """``baseline_factors`` begins as ``baseline`` does, and has a figure of its name."""
    for file in ("baseline_factors.png", "baseline_curves.png", "baseline_factors_l2.png", "baselines.png"):
        (tmp_path / file).touch()
    found = [[path.name for path in page._files(tmp_path, of, ".png")] for of in ("baseline", "baseline_factors")]
    assert found == [["baseline_curves.png"], ["baseline_factors.png", "baseline_factors_l2.png"]]


def test_a_figure_is_called_by_all_that_it_shows_of_the_reports(tmp_path):
    labels = [page._label(tmp_path / f"{file}.png", "architectures") for file in ("architectures_c", "architectures_x")]
    assert labels == ["C, Fig. 5a: architecture of the encoder; C, Fig. 5b: architecture of the decoder", "x"]


def test_a_hyper_parameter_that_a_trial_has_none_of_is_drawn_on_a_linear_axis():
    columns = {"l2": np.array([0, 1e-3]), "learning_rate": np.array([1e-4, 1e-3]), "dropout": np.array([0.1, 0.2])}
    assert search_results.log_axes(columns) == ["learning_rate"]


def test_figures_of_the_reports_lead_to_their_place_on_the_page(index):
    text = index.read_text()
    assert (
        '<a href="#figure-random_search_A1_fig1_l2">' in text
        and '<figure id="figure-random_search_A1_fig1_l2">' in text
    )


def test_the_page_is_not_written_over_the_figures(folder):
    with pytest.raises(UsageError, match="give another folder"):
        page.write(folder, folder)


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
    expected = apply(run.model, rounded(run.params), code, method="decode")
    tensors = safetensors.numpy.load(decoders.save(run))
    np.testing.assert_allclose(follow(decoders.layers(run.model), tensors, code[0]), np.ravel(expected), atol=1e-5)


def rounded(params):
    """Parameters as the page has them."""
    return jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float16).astype(np.float32), params)


@pytest.mark.parametrize("name", MODELS)
def test_rounded_weights_move_no_pixel_by_half_a_grey_level(name):
    run, codes = lane(name), np.random.default_rng(3).normal(size=(1, latent(name))).astype(np.float32)
    exact, found = (apply(run.model, params, codes, method="decode") for params in (run.params, rounded(run.params)))
    assert 0 < np.abs(np.subtract(exact, found)).max() < 0.5 / 255


def latent(name):
    """How many numbers its code has."""
    return lane(name).params["params"]["decoder"]["Dense_0"]["kernel"].shape[0]


BETAS = ["beta 0.1", "beta 0.3", "beta 1", "beta 2", "beta 4", "beta 8", "beta 1, warm-up", "free bits", "WAE-MMD"]
EXPLORED = {  # the models of a study's npz, and the latents of each
    "latent_space_A5": ([""], [2]),
    "variational_B7": (["d = 3, L2 0", "d = 3, L2 5e-05", "plain autoencoder"], [3, 3, 3]),
    "variational_C5": (["sigmoid", "ReLU", "plain autoencoder"], [2, 2, 2]),
    "variational_D3": (["d = 5", "plain autoencoder"], [5, 5]),
    "variational_D4": (["d = 5", "d = 20", "plain autoencoder"], [5, 20, 5]),
    "generators": (["autoencoder", "denoising", "VAE, same network", "VAE of 2.4"], [2, 2, 2, 2]),
    "rate_distortion": (BETAS, [10] * 9),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=in_group(name)) for name in EXPLORED])
def test_an_image_s_codes_are_those_of_the_model_that_decodes_them(ran, name):
    """The sheet's images through the encoder of each file, whose decoder the page has; the range holds nearly all."""
    npz, (names, sizes) = ran(name).npz, EXPLORED[name]
    space = explorer.space(npz, ran(name).arrays, "")
    assert [model["name"] for model in space["models"]] == names
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(space["images"]))))
    tiles = sheet.reshape(-1, 28, space["columns"], 28, 1).swapaxes(1, 2).reshape(-1, 28, 28, 1)
    images = (255 - tiles[: len(space["labels"])]) / np.float32(255)
    assert len(images) == (100 if sizes[0] == 2 else 10) and space["shape"] == (28, 28, 1)
    lanes = [files.load(explorer.model_path(npz, model["name"])) for model in space["models"]]
    encoded = [np.asarray(apply(lane.model, lane.params, images, method="code")) for lane in lanes]
    for number, (lane, model, size) in enumerate(zip(lanes, space["models"], sizes, strict=True)):
        codes = np.array(model["codes"])
        assert lane.lanes.seed == 0 and codes.shape == (len(images), size)
        far = [np.abs(codes - other).mean() if other.shape == codes.shape else np.inf for other in encoded]
        assert np.argmin(far) == number
        if name != "rate_distortion":  # whose codes are those of binarised images
            np.testing.assert_allclose(codes, encoded[number], rtol=1e-3, atol=2e-3)
        tensors = safetensors.numpy.load(base64.b64decode(model["decoder"]))
        for layer, values in lane.params["params"]["decoder"].items():
            np.testing.assert_allclose(tensors[f"{layer}.kernel"], values["kernel"], rtol=1e-3, atol=1e-6)
        low, high = np.transpose(model["range"])
        assert (high - low >= 2 - 1e-2).all() and ((codes >= low) & (codes <= high)).mean() > 0.9


@in_group("rate_distortion")
def test_the_switch_is_beta(ran):
    npz = ran("rate_distortion").npz
    lanes = [files.load(explorer.model_path(npz, name)).lanes.hparams for name in BETAS[:7]]
    np.testing.assert_allclose([lane.penalty for lane in lanes], [0.1, 0.3, 1, 2, 4, 8, 1], rtol=1e-6)
    assert [bool(lane.warmup) for lane in lanes] == [False] * 6 + [True]


@in_group("variational_B7")
def test_models_that_differ_in_l2_alone_are_told_apart(ran):
    npz, (names, _) = ran("variational_B7").npz, EXPLORED["variational_B7"]
    found = [float(files.load(explorer.model_path(npz, name)).lanes.hparams.l2) for name in names]
    np.testing.assert_allclose(found, [0, 5e-5, 0], rtol=1e-6)


def test_a_model_that_diverged_is_not_explored(tmp_path):
    dataset, npz = made_dataset(20), tmp_path / "rate_distortion.npz"
    codes = {"bad": np.full((20, 3), np.nan), "good": np.random.default_rng(0).normal(size=(20, 3))}
    model = MODELS["report C's, variational"]
    run = of_params("good", elbo(model, bernoulli(grey)), init(model, np.zeros((1, *model.image), np.float32)))
    explored(npz, dataset, codes, {"good": run})
    space = explorer.space(npz, explorer.arrays(dataset, codes), "")
    assert [model["name"] for model in space["models"]] == ["good"]
    assert explorer.space(npz, explorer.arrays(dataset, {"bad": codes["bad"]}), "") is None
