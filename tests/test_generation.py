"""Generated digits and their judgement, against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy import stats

from ae_jax import generation, latent
from ae_jax.models import dense_autoencoder
from ae_jax.types import UsageError
from ae_jax.vae import dense_vae
from tests.made import apply, run_of


@pytest.mark.parametrize("build", [dense_vae, dense_autoencoder])
def test_codes_are_decoded_lane_by_lane(build):
    """300 codes, more than a batch, by two lanes with their own parameters."""
    model = build(2, widths=(8,))
    params = jax.jit(jax.vmap(model.init, (0, None)))(jax.random.split(jax.random.key(0)), jnp.zeros((1, 28, 28, 1)))
    codes = generation.prior_codes(jax.random.key(1), (2,), 300, 2)
    np.testing.assert_array_equal(codes[0], codes[1])
    assert stats.kstest(codes[0].ravel(), stats.norm.cdf).pvalue > 1e-3
    decoded = latent.decode(run_of(model, params), codes)
    for lane in range(2):
        own = jax.tree.map(lambda leaf, lane=lane: leaf[lane], params)
        expected = apply(model, own, codes[lane], method="decode")
        np.testing.assert_allclose(decoded[lane], expected, rtol=1e-5)
    assert not np.allclose(decoded[0], decoded[1])


def test_what_a_diverged_lane_made_is_judged_as_nan():
    """And only that: the other lane's draws are as they would be alone."""
    rng = np.random.default_rng(0)
    codes = np.stack([np.full((50, 2), np.nan), rng.normal(size=(50, 2))])
    drawn = generation.mixture_codes(jax.random.key(0), codes, 20, 2)
    assert np.isnan(drawn[0]).all() and np.isfinite(drawn[1]).all()
    assert np.isnan(generation.recognition(np.full((4, 10), np.nan)).share)
    assert np.isnan(generation.frechet_distance(codes[0], codes[1]))


def test_a_mixture_is_fitted_to_each_lane():
    """Two clusters, elsewhere in the second lane: draws have the clusters' means, and are in no order."""
    rng = np.random.default_rng(0)
    centres = np.array([[[-5.0, 0.0], [5.0, 0.0]], [[0.0, 20.0], [0.0, 30.0]]])
    codes = (centres[:, :, None] + 0.1 * rng.normal(size=(2, 2, 100, 2))).reshape(2, 200, 2)
    drawn = generation.mixture_codes(jax.random.key(0), codes, 400, 2)
    assert drawn.shape == (2, 400, 2) and drawn.dtype == np.float32
    for lane in range(2):
        distance = np.linalg.norm(drawn[lane][:, None] - centres[lane], axis=-1)
        assert distance.min(1).max() < 0.6
        nearest = distance.argmin(1)
        assert 0.3 < nearest.mean() < 0.7 and 100 < np.count_nonzero(np.diff(nearest)) < 300
    again = generation.mixture_codes(jax.random.key(0), codes, 400, 2)
    np.testing.assert_array_equal(drawn, again)


def test_a_mixture_needs_codes():
    with pytest.raises(UsageError, match="6 components are not allowed: give 1 to 5"):
        generation.mixture_codes(jax.random.key(0), np.zeros((1, 5, 2)), 3, 6)


def test_a_mixture_like_one_code_is_refused():
    with pytest.raises(UsageError, match="give two images or more"):
        generation.mixture_codes(jax.random.key(0), np.zeros((1, 2)), 3, 1)


def test_recognition_by_hand():
    """Three of four images are sure: two of class 0, one of class 1, none of class 2."""
    probabilities = [[0.95, 0.05, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.4, 0.3, 0.3]]
    judged = generation.recognition(np.array(probabilities))
    assert judged.share == 0.75
    np.testing.assert_allclose(judged.classes, [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(judged.balance, (np.log(3) - 2 / 3 * np.log(2)) / np.log(3))
    unsure = generation.recognition(np.full((4, 3), 1 / 3))
    assert unsure.share == unsure.balance == 0.0


def test_a_judge_speaks_of_each_lane(monkeypatch):
    """Its logits are the images themselves: a lane of sure threes, one of real images, one that diverged."""
    monkeypatch.setattr(generation.evaluation, "class_logits", lambda judge, images: images)
    real = np.random.default_rng(0).normal(size=(30, 10))
    threes = np.tile(100.0 * np.eye(10)[3], (30, 1))
    judged = generation.judgement(None, np.stack([threes, real, np.full((30, 10), np.nan)]), real)
    assert judged.keys() == {"share", "balance", "frechet"}
    np.testing.assert_array_equal(judged["share"], [1, generation.recognition(jax.nn.softmax(real)).share, np.nan])
    np.testing.assert_allclose(judged["balance"][[0, 2]], [0, np.nan], atol=1e-9)
    np.testing.assert_allclose(judged["frechet"], [generation.frechet_distance(threes, real), 0, np.nan], atol=1e-6)


def test_frechet_distance_is_the_formula_with_scipys_matrix_root():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)), 1.0 + rng.normal(size=(150, 5)) * 2
    s1, s2 = np.cov(first.T), np.cov(second.T)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    shift = first.mean(0) - second.mean(0)
    expected = shift @ shift + np.trace(s1 + s2 - 2 * root)
    np.testing.assert_allclose(generation.frechet_distance(first, second), expected, rtol=1e-8)


def test_frechet_distance_of_a_set_from_itself_and_from_its_shift():
    """With a dead unit and a repeated one, so that the covariance is singular; one feature works too."""
    features = np.random.default_rng(0).normal(size=(100, 3))
    features = np.c_[features, np.zeros(100), features[:, :1]]
    np.testing.assert_allclose(generation.frechet_distance(features, features), 0.0, atol=1e-6)
    np.testing.assert_allclose(generation.frechet_distance(features, features + 2.0), 5 * 4.0, rtol=1e-6)
    one = features[:, :1]
    np.testing.assert_allclose(
        generation.frechet_distance(one, 3 * one + 1), (2 * one.mean() + 1) ** 2 + (2 * one.std(ddof=1)) ** 2
    )


def test_frechet_distance_needs_two_images():
    with pytest.raises(UsageError, match="1 and 5 images"):
        generation.frechet_distance(np.zeros((1, 2)), np.zeros((5, 2)))
