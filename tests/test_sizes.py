"""Images of any size: maps halved and mirrored exactly, networks that learn, a model rebuilt for another shape."""

import base64
import functools
import io
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ae_jax import batching, evaluation, latent, pca, training, trials, widening
from ae_jax.batching import Data
from ae_jax.lanes import Group, make_lanes, stack_splits
from ae_jax.models import (
    Autoencoder,
    Classifier,
    ConvDecoder,
    ConvEncoder,
    DenseDecoder,
    DenseEncoder,
    conv_autoencoder,
    dense_autoencoder,
)
from ae_jax.objectives import autoencoder
from ae_jax.recipes import sized
from ae_jax.types import Plan, UsageError, hparams
from ae_jax.vae import conv_vae, conv_vqvae, dense_vae
from experiments import interactive, sheets
from tests import figures

# Images, and the height and width of the maps after each of three convolutions, by hand.
SIZES = {
    (8, 8, 1): [(4, 4), (2, 2), (1, 1)],
    (28, 28, 1): [(14, 14), (7, 7), (3, 3)],
    (32, 32, 3): [(16, 16), (8, 8), (4, 4)],
    (17, 23, 2): [(8, 11), (4, 5), (2, 2)],
    (64, 64, 3): [(32, 32), (16, 16), (8, 8)],
}
CHANNELS, HIDDEN, LATENT = (3, 4, 5), 6, 2
RECTANGLE = (17, 23, 2)


def shapes_of(model):
    """``(parameters, codes, outputs, maps)`` of three images, traced: the maps by layer, height and width."""
    traced = functools.partial(model.init_with_output, capture_intermediates=True, mutable=True)
    outputs, variables = jax.eval_shape(traced, jax.random.key(0), jnp.zeros((3, *model.image)))
    seen = variables["intermediates"]
    maps = {
        name: value["__call__"][0].shape[1:3]
        for half in ("encoder", "decoder")
        for name, value in seen[half].items()
        if name.startswith("Conv")
    }
    return variables["params"], seen["encoder"]["__call__"][0].shape, outputs.shape, maps


@pytest.mark.parametrize("image", SIZES, ids=str)
def test_a_convolutional_network_halves_an_image_and_mirrors_it(image):
    params, codes, outputs, maps = shapes_of(conv_autoencoder(LATENT, CHANNELS, HIDDEN, image=image))
    assert codes == (3, LATENT) and outputs == (3, *image)
    down, up = SIZES[image], [*SIZES[image][1::-1], image[:2]]
    assert maps == {f"Conv_{i}": down[i] for i in range(3)} | {f"ConvTranspose_{i}": up[i] for i in range(3)}
    colours, flat = image[2], 5 * math.prod(down[-1])
    weights = 9 * (colours * 3 + 3 * 4 + 4 * 5) + flat * HIDDEN + HIDDEN * LATENT
    biases = (3 + 4 + 5 + HIDDEN + LATENT) + (HIDDEN + flat + 4 + 3 + colours)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2 * weights + biases


def test_every_height_and_every_width_comes_back():
    """From 2 pixels, each with the deepest network that fits; heights and widths of every parity meet."""
    for height in range(2, 41):
        width = 2 + 7 * height % 39
        stages = int(math.log2(min(height, width)))
        model = conv_autoencoder(1, (2,) * stages, None, image=(height, width, 1 + height % 4))
        _, codes, outputs, maps = shapes_of(model)
        assert codes == (3, 1) and outputs == (3, *model.image)
        assert min(maps[f"Conv_{stages - 1}"]) == 1
        with pytest.raises(UsageError, match=rf"of {height}x{width} pixels: give 1 to {stages} numbers"):
            conv_autoencoder(1, (2,) * (stages + 1), image=model.image)


@pytest.mark.parametrize("image", [*SIZES, (30, 1, 1)], ids=str)
def test_a_dense_network_takes_any_number_of_features(image):
    params, codes, outputs, _ = shapes_of(dense_autoencoder(LATENT, (6,), image=image))
    features = math.prod(image)
    assert codes == (3, LATENT) and outputs == (3, *image)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2 * 6 * (features + LATENT) + 2 * 6 + LATENT + features


@functools.cache
def pictures(image, n=48):
    """uint8 ``[n, *image]``: a bright bar across each, in a place and a colour of its own."""
    rng = np.random.default_rng(0)
    images = np.zeros((n, *image), np.uint8)
    for picture, row in zip(images, rng.integers(0, image[0] - 2, n), strict=True):
        picture[row : row + 3] = rng.integers(100, 256, image[2])
    return images


@pytest.mark.parametrize("image", [image for image in SIZES if image != (28, 28, 1)], ids=str)
def test_networks_of_every_size_learn(image):
    objective, plan = autoencoder(conv_autoencoder(LATENT, CHANNELS, HIDDEN, image=image)), Plan(32)
    data, numbers = Data(jnp.asarray(pictures(image)), jnp.zeros(48, jnp.int32)), hparams(learning_rate=0.02)
    batch = batching.take(data, jnp.arange(32))

    @jax.jit
    def losses(key):
        def step(state, _):
            return training.train_step(objective, plan, state, numbers, batch)

        return jax.lax.scan(step, training.init_state(objective, plan, key, numbers), length=30)[1]

    first, *_, last = losses(jax.random.key(0))
    assert last < 0.8 * first


def trained(objective, epochs):
    images = pictures(objective.image)
    data = Data(jnp.asarray(images), jnp.zeros(len(images), jnp.int32))
    lanes = make_lanes(hparams(learning_rate=1e-2, epochs=epochs), [0, 1])
    splits = stack_splits([(np.arange(32), np.arange(32, 48))])
    return trials.run_groups([Group("sized", objective, Plan(16), lanes)], data, splits)[0]


def test_a_rectangle_goes_through_everything():
    """Trained as lanes, encoded, decoded, scored, and beside its principal components."""
    run = trained(autoencoder(dense_autoencoder(LATENT, (6,), image=RECTANGLE)), epochs=2)
    images = jnp.asarray(pictures(RECTANGLE)[:5] / 255, jnp.float32)
    codes = latent.encode(run, images)
    assert latent.decode(run, codes).shape == (2, 5, *RECTANGLE)
    errors = evaluation.reconstruction_errors(run, images, images)
    expected = np.square(latent.decode(run, codes) - np.asarray(images)).mean((2, 3, 4))
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    assert evaluation.contraction(run, images).shape == (2,)
    principal = pca.as_run(*pca.fit(images, 3), RECTANGLE)
    assert principal.model.image == RECTANGLE
    assert (evaluation.reconstruction_error(principal, images, images) < errors.mean(1)).all()


def test_only_equal_images_share_a_program():
    narrow, wide, larger = (
        autoencoder(dense_autoencoder(d, (16,), image=image))
        for d, image in [(1, (8, 8, 1)), (2, (8, 8, 1)), (2, (8, 9, 1))]
    )
    assert widening.fits(narrow, wide) and widening.alike([narrow, wide])
    assert not widening.fits(narrow, larger) and not widening.alike([narrow, larger])


@pytest.mark.parametrize("model", [conv_autoencoder(2), dense_autoencoder(2)], ids=["conv", "dense"])
def test_images_that_do_not_fit_are_refused(model):
    objective = autoencoder(model)
    params = jax.eval_shape(objective.init, jax.random.key(0))
    for given, advice in (((3, 32, 32, 3), r"build it with image=\(32, 32, 3\)"), ((3, 28, 28), "give .batch, height")):
        with pytest.raises(UsageError, match=rf"do not fit a network for \(28, 28, 1\): {advice}"):
            jax.eval_shape(model.apply, params, jnp.zeros(given))


@pytest.mark.parametrize("image", [(28, 28), [28, 28, 1], (28, 28.0, 1), (0, 28, 1)], ids=str)
@pytest.mark.parametrize(
    "network", [functools.partial(ConvEncoder, 2), ConvDecoder, functools.partial(DenseEncoder, 2), DenseDecoder]
)
def test_what_is_no_shape_of_an_image_is_refused(network, image):
    with pytest.raises(UsageError, match="is not allowed: give .height, width, channels., such as"):
        network(image=image)


def test_networks_that_cannot_be_one_model_are_refused():
    with pytest.raises(UsageError, match="of 30x1 pixels: build a dense network"):
        conv_autoencoder(2, image=(30, 1, 1))
    with pytest.raises(UsageError, match=r"images \(28, 28, 1\) and a decoder for \(17, 23, 2\) are not one model"):
        autoencoder(Autoencoder(ConvEncoder(2), ConvDecoder(image=RECTANGLE))).init(jax.random.key(0))


MODELS = {
    "conv": functools.partial(conv_autoencoder, 2),
    "dense": functools.partial(dense_autoencoder, 2, (4,)),
    "conv VAE": functools.partial(conv_vae, 2),
    "dense VAE": functools.partial(dense_vae, 2),
    "VQ-VAE": functools.partial(conv_vqvae, 8, 2),
    "encoder": functools.partial(ConvEncoder, 2),
    "classifier": lambda **image: Classifier(DenseEncoder(2, **image)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_sized_model_is_as_built_and_a_fitting_one_the_same(name):
    """Objectives are sized in test_recipes, all of them."""
    model = MODELS[name]()
    assert sized(model, RECTANGLE) == MODELS[name](image=RECTANGLE) != model
    assert sized(model, RECTANGLE).image == RECTANGLE
    assert sized(model, model.image) is model


def test_images_too_small_for_a_model_are_refused():
    with pytest.raises(UsageError, match="of 4x4 pixels: give 1 to 2 numbers"):
        sized(autoencoder(conv_autoencoder(2)), (4, 4, 1))


@pytest.mark.parametrize("image", [(4, 6, 1), (4, 6, 3), (4, 6, 2)], ids=str)
def test_a_sheet_shows_images_as_they_are(tmp_path, image):
    """Three channels in colour on white, otherwise their mean with dark ink; a lost one is a cross in its place."""
    rows = np.random.default_rng(0).uniform(size=(2, 3, *image))
    rows[1, 2] = np.nan
    with figures.drawn() as drawings:
        sheets.image_sheet(tmp_path / "sheet", rows, ["a", "b"], title="")
    (panel,) = drawings["sheet.png"].panels
    expected = rows if image[2] == 3 else rows.mean(-1)
    sheet = panel.images[0]
    assert sheet.shape[:2] == (2 * 6, 3 * 8)
    for row, column in itertools.product(range(2), range(3)):
        tile = sheet[6 * row : 6 * row + 6, 8 * column : 8 * column + 8]
        if (row, column) != (1, 2):
            np.testing.assert_array_equal(tile[:4, :6], expected[row, column])
        assert (tile[4:] == (image[2] == 3)).all() and (tile[:, 6:] == (image[2] == 3)).all()
    (cross,) = panel.lines.values()
    assert (cross.x, cross.y) == (2 * 8 + 3, 6 + 2)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_page_shows_the_image_under_the_pointer(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, channels), np.uint8)
    path = tmp_path / "page.html"
    interactive.digit_scatter(path, np.zeros((2, 2)), np.array([0, 0]), images, title="", axes=("", ""))
    shown = figures.page(path).traces[0]["customdata"]
    for text, image in zip(shown, images, strict=True):
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
        np.testing.assert_array_equal(found, image if channels == 3 else 255 - image.mean(-1).round())
