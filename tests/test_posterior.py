"""Measures of a variational model: against closed forms, and exact for any number of images."""

import jax
import linear_gaussian as toy
import numpy as np
import pytest

from ae_jax import batching, distributions, posterior
from ae_jax.types import UsageError
from ae_jax.vae import VAE, VQVAE, VectorQuantiser
from tests import made
from tests.made import run_of

GREY = distributions.bernoulli(distributions.grey)


def lanes(*trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def test_importance_sampling_finds_the_exact_likelihood():
    """A posterior that is off by 0.3 and 0.5: within 0.02 nats at 5,000 samples, well above the ELBO.

    The exact posterior, in the other lane, gives the likelihood with no error but rounding.
    """
    params = lanes(toy.params(0.3, 0.5), toy.params())
    nll = posterior.importance_nll(run_of(toy.MODEL, params, toy.LIKELIHOOD), jax.random.key(0), toy.images(), 5000)
    assert nll.shape == (2, 6)
    np.testing.assert_allclose(nll[0], -toy.log_likelihood(), atol=0.08)
    np.testing.assert_allclose(nll[0].mean(), -toy.log_likelihood().mean(), atol=0.02)
    np.testing.assert_allclose(nll[1], -toy.log_likelihood(), rtol=1e-5)
    assert toy.gap(np.full(2, 0.3), np.full(2, 0.5)) > 0.2


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_samples_that_fill_no_chunk_count_exactly(samples):
    """With the exact posterior every weight is p(x), so that a wrong count of them shows as a shift."""
    params = lanes(toy.params())
    nll = posterior.importance_nll(run_of(toy.MODEL, params, toy.LIKELIHOOD), jax.random.key(0), toy.images(), samples)
    np.testing.assert_allclose(nll[0], -toy.log_likelihood(), rtol=1e-5)


def test_images_in_padded_batches_keep_their_places(monkeypatch):
    """Seven images in batches of at most four are two of four, the last one padded by one."""
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 4)
    images = np.concatenate([toy.images(), toy.images()[:1]])
    jax.clear_caches()
    codes = posterior.encode(run_of(toy.MODEL, lanes(toy.params()), toy.LIKELIHOOD), jax.random.key(0), images)
    mean, log_variance = made.apply(toy.MODEL, toy.params(), images, method="encode")
    np.testing.assert_allclose(codes.mean[0], mean, rtol=1e-5)
    np.testing.assert_allclose(codes.log_variance[0], log_variance, rtol=1e-5)


def test_each_batch_of_images_draws_for_itself(monkeypatch):
    """The same image, once in each of four batches, with a posterior that is off, so that a draw shows."""
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 1)
    jax.clear_caches()
    images, run = np.repeat(toy.images()[:1], 4, axis=0), run_of(toy.MODEL, lanes(toy.params(0.3, 0.5)), toy.LIKELIHOOD)
    nll = posterior.importance_nll(run, jax.random.key(0), images, 2)
    assert len({*nll[0].tolist()}) == 4
    jax.clear_caches()


def test_likelihoods_are_by_five_thousand_samples():
    images, run = toy.images(), run_of(toy.MODEL, lanes(toy.params(0.3, 0.5)), toy.LIKELIHOOD)
    told, usual = (posterior.importance_nll(run, jax.random.key(0), images, *given) for given in ((5000,), ()))
    np.testing.assert_array_equal(told, usual)


def test_likelihood_of_a_dynamically_binarised_image():
    """A decoder that ignores its code gives each pixel on with probability 3/4; the image is grey, 1/2.

    The likelihood of a draw with m of 784 pixels on is known, and the encoder that is the prior makes it exact.
    """
    model = VAE(toy.Affine((6,)), toy.Affine((28, 28, 1)))
    images = np.full((3, 28, 28, 1), 0.5, np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    params["params"]["decoder"]["Dense_0"]["bias"] = np.full(784, np.log(3.0), np.float32)
    likelihood = distributions.bernoulli(distributions.binarize_dynamic)
    nll = posterior.importance_nll(run_of(model, lanes(params), likelihood), jax.random.key(0), images, 2)[0]
    on = (784 * np.log(4) - nll) / np.log(3)  # -m log 3/4 - (784 - m) log 1/4
    np.testing.assert_allclose(on, np.round(on), atol=1e-2)
    assert (np.abs(on - 392) < 5 * 14).all() and np.ptp(on) > 0


def codes_of(mean, log_variance):
    return posterior.Codes(np.float32(mean)[None], np.float32(log_variance)[None])


def test_active_units_and_latent_rates():
    """The first latent tells images apart; the second is the prior; the third moves by too little."""
    mean = np.stack([np.linspace(-1, 1, 50), np.zeros(50), np.linspace(-0.1, 0.1, 50)], axis=1)
    codes = codes_of(mean, np.tile([-2.0, 0.0, 0.0], (50, 1)))
    np.testing.assert_array_equal(posterior.active_units(codes), [1])
    np.testing.assert_array_equal(posterior.active_units(codes, threshold=0.001), [2])
    steps = np.array([[0.5, 0.0], [-0.5, 0.0]])  # a variance of 1/4
    assert posterior.active_units(posterior.Codes(steps, steps), threshold=0.25) == 0
    assert posterior.active_units(posterior.Codes(steps, steps), threshold=0.24) == 1
    just_below, just_above = (np.sqrt(variance) * np.array([[1.0], [-1.0]]) for variance in (0.0099, 0.0101))
    assert posterior.active_units(posterior.Codes(just_below, just_below)) == 0
    assert posterior.active_units(posterior.Codes(just_above, just_above)) == 1
    second_moment = np.square(mean).mean(0)
    expected = 0.5 * (second_moment + np.exp([-2.0, 0, 0]) - 1 - [-2.0, 0, 0])
    np.testing.assert_allclose(posterior.latent_rates(codes)[0], expected, rtol=1e-5, atol=1e-7)


def test_codes_of_a_diverged_lane_have_no_active_units():
    mean = np.stack([np.full((50, 3), np.nan), np.linspace([-1, 0, -1], [1, 0, 1], 50)])
    np.testing.assert_array_equal(posterior.active_units(posterior.Codes(mean, mean)), [np.nan, 2])


def test_the_aggregated_posterior_of_an_exact_model_is_the_prior():
    """Posteriors of 3,000 images drawn from the model average to N(0, I); moved by 1, they do not."""
    rng = np.random.default_rng(0)
    variances, gain = toy.posterior()
    images = rng.normal(size=(3000, 2)) @ toy.WEIGHTS.T + np.sqrt(toy.VARIANCE) * rng.normal(size=(3000, 4))
    mean, log_variance = images @ gain.T, np.tile(np.log(variances), (3000, 1))
    both = posterior.Codes(np.float32([mean, mean + 1.0]), np.float32([log_variance] * 2))
    matched, moved = posterior.aggregate_mmd(both)
    assert abs(matched) < 1e-3 < 0.05 < moved


def test_code_counts_and_perplexity():
    """Vectors are the pixels themselves, codes the integers: every image's pixels are counted once."""
    model = VQVAE(toy.Affine((4,)), VectorQuantiser(codes=3, code_size=1), toy.Affine((4, 1, 1)))
    images = np.random.default_rng(0).integers(0, 2, (300, 4, 1, 1)).astype(np.float32)
    params = made.init(model, images)
    params["params"]["encoder"]["Dense_0"] = {"kernel": np.eye(4, dtype=np.float32), "bias": np.zeros(4, np.float32)}
    params["params"]["quantiser"]["book"] = np.array([[0.0], [1.0], [9.0]], np.float32)
    counts = posterior.code_counts(run_of(model, lanes(params), GREY), jax.random.key(0), images)
    ones = int(images.sum())
    np.testing.assert_array_equal(counts, [[1200 - ones, ones, 0]])
    table = np.array([[5, 5, 0], [1, 1, 1], [7, 0, 0], [-1, -1, -1]])
    effective = [2.0, 3.0, 1.0, np.nan]  # of a diverged lane no code
    np.testing.assert_allclose(posterior.perplexity(table), effective)
    np.testing.assert_allclose(posterior.perplexity(table[None]), [effective])
    assert posterior.perplexity(table[0]) == pytest.approx(2.0)


def test_at_least_one_sample():
    with pytest.raises(UsageError, match="0 samples are not allowed"):
        posterior.importance_nll(run_of(toy.MODEL, toy.params(), toy.LIKELIHOOD), jax.random.key(0), toy.images(), 0)
