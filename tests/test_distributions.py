"""Gaussians and likelihoods against hand-computed values, float64, quadrature and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from scipy import stats

from ae_jax import distributions
from ae_jax.types import UsageError

MEAN = np.array([[0.3, -1.2, 0.0], [2.0, 0.1, -0.4]])
LOG_VARIANCE = np.array([[0.0, -1.5, 0.7], [-3.0, 0.2, 1.0]])
SCALES = 0.1, 0.2, 0.5, 1, 2, 5, 10  # of the kernels: a Gaussian's variance is such a multiple of the latents


def compiled(function):
    """``function`` of arrays as one program; its result in NumPy."""
    call = jax.jit(function)
    return lambda *arguments: np.asarray(call(*arguments))


kl_divergence, log_density, log_prior, mmd = map(
    compiled, (distributions.kl_divergence, distributions.log_density, distributions.log_prior, distributions.mmd)
)


def test_divergence_is_report_bs_for_full_covariances():
    """0.5 [mu'mu + tr S - k - log|S|] in float64."""
    for mean, log_variance in zip(MEAN, LOG_VARIANCE, strict=True):
        covariance = np.diag(np.exp(log_variance))
        expected = 0.5 * (mean @ mean + np.trace(covariance) - 3 - np.linalg.slogdet(covariance)[1])
        np.testing.assert_allclose(kl_divergence(mean, log_variance).sum(), expected, rtol=1e-6)


def test_divergence_is_the_mean_of_the_log_ratio_of_densities():
    """Monte Carlo over 200,000 draws, within five standard errors; this ties the draws to both densities."""
    codes = compiled(lambda key: distributions.sample(key, MEAN, LOG_VARIANCE, 200_000))(jax.random.key(0))
    ratio = log_density(codes, MEAN, LOG_VARIANCE) - log_prior(codes)
    error = ratio.std(0) / np.sqrt(len(ratio))
    divergence = kl_divergence(MEAN, LOG_VARIANCE).sum(-1)
    assert (np.abs(ratio.mean(0) - divergence) < 5 * error).all()


def test_densities_are_scipys():
    codes = np.random.default_rng(0).normal(size=(2, 3))
    expected = stats.norm.logpdf(codes, MEAN, np.exp(0.5 * LOG_VARIANCE)).sum(1)
    np.testing.assert_allclose(log_density(codes, MEAN, LOG_VARIANCE), expected, rtol=1e-5)
    np.testing.assert_allclose(log_prior(codes), stats.norm.logpdf(codes).sum(1), rtol=1e-5)


def test_divergence_of_a_collapsed_latent_keeps_its_digits():
    """At log-variance 1e-3 the KL is v^2 / 4, which ``exp(v) - 1`` would lose in float32."""
    ours = kl_divergence(np.zeros(1), np.full(1, 1e-3))
    np.testing.assert_allclose(ours, 0.25e-6, rtol=1e-2)


def test_a_limited_log_variance_is_counted():
    raw = np.array([[1e4, 0.0, -1e4, 3.0], [0.0, 1.0, 2.0, 19.9]])
    share = compiled(lambda raw: distributions.limited(distributions.limit(raw)))(raw)
    np.testing.assert_array_equal(share, [0.5, 0.0])


def test_log_variances_are_kept_within_20_of_zero():
    """Beyond, they have no gradient, and count as limited."""
    given = np.array([[-21.0, -20.0, -19.0], [19.0, 25.0, 0.0]])
    np.testing.assert_array_equal(distributions.limit(given), [[-20, -20, -19], [19, 20, 0]])
    np.testing.assert_allclose(distributions.limited(given[None]), [[2 / 3, 1 / 3]])
    slopes = jax.grad(lambda values: distributions.limit(values).sum())(given)
    np.testing.assert_array_equal(slopes[:, [0, 2]], [[0, 1], [1, 1]])


def test_mmd_by_quadrature():
    """One latent: the double integral of the kernel against (mixture - prior) on a grid, in float64."""
    mean, log_variance = np.array([0.5, -1.0, 2.0]), np.array([-1.0, 0.3, -2.0])
    grid = np.linspace(-12, 12, 1601)
    mixture = stats.norm.pdf(grid[:, None], mean, np.exp(0.5 * log_variance)).mean(1)
    difference = (mixture - stats.norm.pdf(grid)) * (grid[1] - grid[0])
    square = np.square(grid[:, None] - grid)
    kernel = np.mean([np.exp(-square / (2 * scale)) for scale in SCALES], axis=0)
    ours = mmd(mean[:, None], log_variance[:, None])
    np.testing.assert_allclose(ours.mean(), difference @ kernel @ difference, rtol=1e-4)


def test_mmd_in_several_dimensions_by_monte_carlo():
    """Kernel means over 500 x 500 pairs of draws, within the deviation over 20 repetitions."""

    def estimate(key):
        keys = jax.random.split(key, 4)
        ours = [distributions.sample(k, MEAN, LOG_VARIANCE, 250).reshape(-1, 3) for k in keys[:2]]
        prior = [jax.random.normal(k, (500, 3)) for k in keys[2:]]

        def kernel(a, b):
            square = jnp.square(a[:, None] - b).sum(-1)
            return sum(jnp.exp(-square / (6 * s)).mean() for s in SCALES) / 7

        cross = kernel(ours[0], prior[0]) + kernel(ours[1], prior[1])
        return kernel(*ours) + kernel(*prior) - cross

    estimates = compiled(lambda key: jax.lax.map(estimate, jax.random.split(key, 20)))(jax.random.key(0))
    expected = mmd(MEAN, LOG_VARIANCE).mean()
    assert abs(estimates.mean() - expected) < 5 * estimates.std() / np.sqrt(20) < 0.2 * expected


def test_mmd_is_zero_for_the_prior_and_blind_to_duplicates():
    prior = mmd(np.zeros((5, 4)), np.zeros((5, 4)))
    np.testing.assert_allclose(prior, 0.0, atol=1e-6)
    once, twice = (mmd(np.tile(MEAN, (n, 1)), np.tile(LOG_VARIANCE, (n, 1))) for n in (1, 2))
    np.testing.assert_allclose(twice, np.tile(once, 2), rtol=1e-6)


def test_bernoulli_of_two_pixels_by_hand():
    """Logits 0 and log 3, both pixels on: -log 1/2 - log 3/4 nats, summed."""
    likelihood = distributions.bernoulli(distributions.grey)
    logits, images = np.array([[0.0, np.log(3.0)]]), np.ones((1, 2))
    np.testing.assert_allclose(
        compiled(likelihood.log_prob)({}, logits, images), -np.log(2.0) - np.log(4 / 3), rtol=1e-6
    )


@pytest.mark.parametrize("learned", [False, True])
def test_gaussian_is_scipys_and_its_energy_is_report_bs(learned):
    rng = np.random.default_rng(0)
    logits, images = rng.normal(size=(3, 4, 4, 1)), rng.uniform(size=(3, 4, 4, 1))
    likelihood = distributions.gaussian_learned() if learned else distributions.gaussian(0.3)
    params = {"params": likelihood.init()}
    variance = 1.0 if learned else 0.3
    means = 1 / (1 + np.exp(-logits))
    expected = stats.norm.logpdf(images, means, np.sqrt(variance)).sum((1, 2, 3))
    np.testing.assert_allclose(compiled(likelihood.log_prob)(params, logits, images), expected, rtol=1e-5)
    energy = np.square(images - means).sum((1, 2, 3)) / (2 * variance)
    np.testing.assert_allclose(compiled(likelihood.energy)(params, logits, images), energy, rtol=1e-5)


def test_the_learned_variance_has_its_optimum_at_the_mean_squared_error():
    likelihood = distributions.gaussian_learned()
    rng = np.random.default_rng(0)
    logits, images = rng.normal(size=(5, 4, 4, 1)), rng.uniform(size=(5, 4, 4, 1))
    optimum = np.log(np.square(scipy.special.expit(logits) - images).mean())

    def log_prob(log_variance):
        return likelihood.log_prob({"params": {"likelihood": {"log_variance": log_variance}}}, logits, images).mean()

    gradient = compiled(jax.grad(log_prob))
    assert abs(gradient(optimum)) < 1e-3 < abs(gradient(optimum + 0.1))


def test_a_variance_must_be_positive():
    with pytest.raises(UsageError, match="variance 0 is not allowed"):
        distributions.gaussian(0)


@pytest.fixture
def grey_images():
    levels = np.random.default_rng(0).integers(0, 256, (400, 8, 8, 1))
    return np.float32(levels) / np.float32(255.0)


@pytest.mark.parametrize("binarize", [distributions.binarize_dynamic, distributions.binarize_static])
def test_binarised_pixels_are_on_as_often_as_they_are_bright(grey_images, binarize, key_reuse_check):
    """25,600 pixels in ten bins of brightness, each within five standard errors."""
    binarize = compiled(binarize)
    drawn = binarize(jax.random.key(0), grey_images)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    bins = np.floor(grey_images * 9.999)
    for index in range(10):
        on, bright = drawn[bins == index], grey_images[bins == index]
        assert abs(on.mean() - bright.mean()) < 5 * np.sqrt((bright * (1 - bright)).mean() / len(on))
    black_and_white = np.round(grey_images)
    np.testing.assert_array_equal(binarize(jax.random.key(1), black_and_white), black_and_white)


def test_static_draws_are_the_same_for_ever():
    """Two grey squares as they were once drawn, 64 pixels each: likelihoods of another draw would not compare."""
    squares = np.float32([128, 100])[:, None, None, None] / 255 * np.ones((8, 8, 1), np.float32)
    drawn = compiled(distributions.binarize_static)(jax.random.key(0), squares).reshape(2, 64)
    known = np.array([0xE03E4809E19B9841, 0x5114B6120213B240], ">u8").view(np.uint8).reshape(2, 8)
    np.testing.assert_array_equal(drawn, np.unpackbits(known, axis=1))


def test_dynamic_draws_differ_and_static_draws_belong_to_the_image(grey_images):
    dynamic, static = map(compiled, (distributions.binarize_dynamic, distributions.binarize_static))
    keys = jax.random.key(0), jax.random.key(1)
    assert not np.array_equal(*(dynamic(key, grey_images) for key in keys))
    order = np.random.default_rng(0).permutation(400)[:50]
    np.testing.assert_array_equal(static(keys[0], grey_images)[order], static(keys[1], grey_images[order]))
    half = np.full((2, 28, 28, 1), 128 / 255, np.float32)
    nearly = half.copy()
    nearly[1, 0, 0, 0] = 129 / 255  # another image has another draw
    assert 0.4 < np.mean(np.not_equal(*static(keys[0], nearly))) < 0.6
    np.testing.assert_array_equal(*static(keys[0], half))
