"""Layers against ``lax`` convolutions, and the masks of dropout against their distribution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import convolutions, layers
from ae_jax.models import conv_autoencoder
from ae_jax.types import UsageError

# For parameters, which only serve a test: random numbers compile for long.
QUICKLY = {"xla_backend_optimization_level": 0}
# Kernel, stride, padding, output padding, the last two of height and width.
WINDOWS = [
    (3, 2, (1, 1), (1, 1)),
    (3, 2, (0, 0), (0, 0)),
    (3, 2, (1, 0), (1, 0)),
    (3, 2, (0, 1), (0, 1)),
    (3, 1, (1, 1), (0, 0)),
    (4, 2, (1, 1), (0, 0)),
    (5, 3, (2, 2), (1, 1)),
    (5, 2, (0, 2), (1, 0)),
    (2, 2, (0, 0), (1, 1)),
    (1, 1, (0, 0), (0, 0)),
]


def lax_conv(x, kernel, stride, padding):
    """x [N, H, W, C], kernel [k, k, C, O]."""
    pads = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def lax_conv_transpose(x, kernel, stride, padding, output_padding):
    """The input dilated by the stride, then convolved with the flipped kernel."""
    k = kernel.shape[0]
    pads = [(k - 1 - p, k - 1 - p + out) for p, out in zip(padding, output_padding, strict=True)]
    flipped = kernel[::-1, ::-1]
    return jax.lax.conv_general_dilated(
        x, flipped, (1, 1), pads, lhs_dilation=(stride, stride), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def inputs(window):
    """Parameters of a layer of four features, with a bias that matters, and images with two channels."""
    rng = np.random.default_rng(0)
    kernel = rng.uniform(-0.3, 0.3, (window[0], window[0], 2, 4))
    params = {"kernel": kernel, "bias": np.linspace(-1, 1, 4)}
    return jax.tree.map(np.float32, ({"params": params}, rng.normal(size=(3, 10, 9, 2))))


def by_both(convolve, transposed, window):
    """``[(output, gradients)] * 2`` of a convolution and a transposed one, functions of parameters and images.

    The gradients are of the weighted sum of the outputs, with respect to parameters and images.
    """

    @jax.jit
    def call(*arguments):
        outputs, pullbacks = zip(*(jax.vjp(function, *arguments) for function in (convolve, transposed)), strict=True)
        weights = [jnp.cos(jnp.arange(output.size)).reshape(output.shape) for output in outputs]
        return [(y, pull(w)) for y, pull, w in zip(outputs, pullbacks, weights, strict=True)]

    return call(*inputs(window))


@functools.cache
def with_lax(window):
    """``by_both`` of ``lax``."""

    def layer(function, own):
        return lambda params, images: function(images, params["params"]["kernel"], *own[1:]) + params["params"]["bias"]

    return by_both(layer(lax_conv, window[:3]), layer(lax_conv_transpose, window), window)


@pytest.mark.parametrize(
    "window,implementation",
    [
        (window, name)
        for window in WINDOWS
        for name in ("patches", "banded", "lax")
        if name == "patches" or window[0] % 2
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value)),
)
def test_convolutions_agree_with_lax(window, implementation):
    """Values and gradients, for odd and even windows; float32 sums of a hundred terms agree to 1e-5."""

    def layer(module):
        return lambda params, images: layers.batch_first(module.apply(params, layers.batch_last(images)))

    convolve, transposed = layers.Conv(4, *window[:3], implementation), layers.ConvTranspose(4, *window, implementation)
    for mine, theirs in zip(by_both(layer(convolve), layer(transposed), window), with_lax(window), strict=True):
        np.testing.assert_allclose(mine[0], theirs[0], atol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), mine[1], theirs[1])


def test_implementations_are_one_network():
    """Whichever computes it: the same parameters, the same output; ``auto`` is one of them, another name an error."""
    images = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype(np.float32)
    networks = [conv_autoencoder(2, (2, 3, 4), 5, name) for name in ("auto", *convolutions.IMPLEMENTATIONS)]
    params = jax.jit(networks[0].init, compiler_options=QUICKLY)(jax.random.key(1), images)
    for model in networks[1:]:
        shapes = jax.eval_shape(model.init, jax.random.key(1), images)
        jax.tree.map(lambda leaf, other: np.testing.assert_equal(leaf.shape, other.shape), params, shapes)
    outputs = [np.asarray(jax.jit(model.apply)(params, images)) for model in networks]
    for output in outputs[1:]:
        np.testing.assert_allclose(outputs[0], output, atol=1e-6)
    np.testing.assert_array_equal(outputs[0], outputs[1])  # auto is patches on a CPU
    programs = [jax.jit(model.apply).lower(params, images).as_text() for model in networks[1:]]
    assert ["stablehlo.convolution" in text for text in programs] == [False, False, True]
    assert programs[0] != programs[1]
    with pytest.raises(UsageError, match="'fast': choose among auto, patches, banded, lax"):
        conv_autoencoder(2, implementation="fast").init(jax.random.key(0), images)


def test_forward_mode_agrees_with_reverse_mode():
    """The layers differentiate in both modes: <w, J v> computed forwards equals <J^T w, v> computed backwards."""
    model = conv_autoencoder(2, channels=(2, 3, 4), hidden=5)
    images = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype(np.float32)
    params = jax.jit(model.init, compiler_options=QUICKLY)(jax.random.key(1), images)
    v, w = np.random.default_rng(1).normal(size=(2, *images.shape)).astype(np.float32)

    @jax.jit
    def both(x, v, w):
        forward = jax.jvp(lambda x: model.apply(params, x), (x,), (v,))[1]
        pullback = jax.vjp(lambda x: model.apply(params, x), x)[1]
        return (w * forward).sum(), (pullback(w)[0] * v).sum()

    np.testing.assert_allclose(*both(images, v, w), rtol=1e-4)


def test_ranks_stay_low_under_vmap():
    """No array of rank 7 or more, which some XLA:CPU fusions cannot take, even with a lane axis in front."""
    model = conv_autoencoder(2)
    images = np.zeros((2, 28, 28, 1), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((3, *leaf.shape), leaf.dtype), shapes)

    def loss(params):
        return jnp.square(model.apply(params, images)).sum()

    text = jax.jit(jax.vmap(jax.grad(loss))).lower(params).as_text()
    assert "tensor<3x" in text  # the lanes are really there
    ranks = [shape.count("x") for shape in text.replace(">", "<").split("<") if shape.endswith("xf32")]
    assert max(ranks) <= 6


def test_dropout_keeps_the_mean_and_takes_a_traced_rate():
    x = np.ones((300, 400), np.float32)
    dropout = jax.jit(lambda rate, key: layers.Dropout().apply({}, x, rate, True, rngs={"dropout": key}))
    for rate in (0.0, 0.1, 0.5, 0.9):
        y = np.asarray(dropout(np.float32(rate), jax.random.key(3)))
        kept = y > 0
        # 120,000 draws: four standard errors of the kept share are 4 * sqrt(p (1 - p) / n).
        assert abs(kept.mean() - (1 - rate)) <= 4 * np.sqrt(rate * (1 - rate) / x.size)
        np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    assert dropout._cache_size() == 1
    np.testing.assert_array_equal(layers.Dropout().apply({}, x, 0.5, False), x)


def test_dropout_bits_are_uniform_and_independent():
    """Every bit is fair; neighbours, rows and keys are uncorrelated; bytes pass a chi-square test."""
    n = 1 << 16
    draw = jax.vmap(lambda key: layers.dropout_bits(key, (n,)))
    bits = np.asarray(jax.jit(lambda key: draw(jax.random.split(key, 8)))(jax.random.key(7)))
    planes = (bits[..., None] >> np.arange(32, dtype=np.uint32)) & 1
    five_errors = 5 * 0.5 / np.sqrt(n)
    assert np.abs(planes.mean(1) - 0.5).max() < five_errors
    unit = bits / 2.0**32 - 0.5
    noise = 5 / 12 / np.sqrt(n)  # five standard errors of the mean product of two uniforms
    for lag in (1, 2, 28, 128, 256, 784, 1024, 4096):
        assert np.abs((unit[:, lag:] * unit[:, :-lag]).mean(1)).max() < noise, lag
    products = unit @ unit.T / n
    assert np.abs(products - np.diag(np.diag(products))).max() < noise
    for shift in (0, 8, 16, 24):
        counts = np.bincount((bits[0] >> shift).astype(np.uint8), minlength=256)
        chi_square = ((counts - n / 256) ** 2 / (n / 256)).sum()
        assert 255 - 5 * np.sqrt(510) < chi_square < 255 + 5 * np.sqrt(510)  # mean 255, variance 510


def test_initialisation_is_pytorchs():
    """Uniform within 1/sqrt(fan_in); a transposed convolution counts its outputs. Torch itself is in test_peers."""
    init = jax.jit(conv_autoencoder(4).init, compiler_options=QUICKLY)
    params = init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    fan_in = {"encoder": {"Conv_1": 72, "Dense_0": 288, "Dense_1": 64}, "decoder": {"ConvTranspose_0": 144}}
    for half, names in fan_in.items():
        for name, fan in names.items():
            kernel = np.asarray(params[half][name]["kernel"])
            bound = 1 / np.sqrt(fan)
            assert np.abs(kernel).max() <= bound
            assert np.abs(kernel).max() > 0.95 * bound
            np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.15)
