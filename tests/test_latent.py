"""The latent space: hand-made codes, scikit-learn as the oracle, and maps in which the answer is known."""

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.manifold import TSNE

from ae_jax import batching, latent
from ae_jax.models import dense_autoencoder
from ae_jax.types import UsageError
from tests import made
from tests.made import alone

MODEL = dense_autoencoder(latent=2, widths=(8,))
CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [np.nan, np.nan]])


@pytest.fixture(scope="module")
def params():
    return made.init(MODEL, np.zeros((1, 28, 28, 1), np.float32))


@pytest.fixture(scope="module")
def run(params):
    return alone(MODEL, params)


def test_encoding_in_batches_is_encoding(run, params, data, monkeypatch):
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 14)
    images = made.take(data, np.arange(45)).images
    codes = latent.encode(run, images)
    np.testing.assert_allclose(codes, made.apply(MODEL, params, images, method="encode"), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(latent.decode(run, codes), made.apply(MODEL, params, images), rtol=1e-5)


def test_centroids_by_hand():
    codes = np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 0.0]])
    with np.errstate(all="raise"):
        means = latent.centroids(codes, np.array([0, 0, 2]), classes=3)
    np.testing.assert_array_equal(means, [[2.0, 3.0], [np.nan, np.nan], [10.0, 0.0]])
    np.testing.assert_array_equal(latent.bounding_box(means), [[2.0, 0.0], [10.0, 3.0]])


def test_box_samples_are_uniform():
    """In both directions, by Kolmogorov and Smirnov at the 0.1 % level, and independent."""
    samples = latent.sample_box(jax.random.key(0), np.array([-1.0, 5.0]), np.array([1.0, 6.0]), 4000)
    for values, low, size in zip(samples.T, (-1, 5), (2, 1), strict=True):
        assert stats.kstest(values, stats.uniform(low, size).cdf).pvalue > 1e-3
    assert abs(stats.spearmanr(*samples.T).statistic) < 0.08


def test_normal_samples_are_normal_with_the_moments_of_the_codes():
    """Along both axes and a diagonal, on which the covariance shows."""
    codes = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]]) + [3.0, -1.0]
    samples = latent.sample_normal(jax.random.key(0), codes, 20_000)
    np.testing.assert_allclose(samples.mean(0), codes.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(codes.T), rtol=0.05)
    for axis in ([1, 0], [0, 1], [1, -2]):
        expected = stats.norm(codes.mean(0) @ axis, (codes @ axis).std(ddof=1))
        assert stats.kstest(samples[::5] @ axis, expected.cdf).pvalue > 1e-3


def test_normal_samples_of_codes_on_a_line_stay_on_it():
    """A covariance that is not positive definite, as of a latent that never moves."""
    codes = np.random.default_rng(0).normal(size=(50, 1)) * [2.0, 0.0, -1.0] + [0.0, 3.0, 0.0]
    samples = latent.sample_normal(jax.random.key(0), codes, 2_000)
    np.testing.assert_allclose(samples[:, 1], 3.0)
    np.testing.assert_allclose(samples[:, 0], -2.0 * samples[:, 2], atol=1e-5)
    np.testing.assert_allclose(samples.std(0), codes.std(0), rtol=0.05)


def test_grid_runs_along_x_in_a_row():
    points = latent.grid(np.array([0.0, 10.0]), np.array([2.0, 14.0]), 3)
    np.testing.assert_array_equal(points[0], [[0, 10], [1, 10], [2, 10]])
    np.testing.assert_array_equal(points[:, 0], [[0, 10], [0, 12], [0, 14]])
    with pytest.raises(UsageError, match="3 dimensions cannot be drawn"):
        latent.grid(np.zeros(3), np.ones(3), 5)


def test_nearest_never_picks_a_missing_centre():
    codes = np.array([[1.0, 0.0], [3.0, 1.0], [2.1, 0.0]])
    np.testing.assert_array_equal(latent.nearest(codes, CENTRES), [0, 1, 1])


def test_nothing_is_nearest_to_the_code_of_a_diverged_lane():
    codes = np.array([[np.nan, np.nan], [3.0, 1.0], [0.0, np.nan]])
    np.testing.assert_array_equal(latent.nearest(codes, CENTRES), [-1, 1, -1])
    np.testing.assert_array_equal(latent.nearest(codes, np.full((2, 2), np.nan)), [-1, -1, -1])


def test_typical_examples_are_the_nearest_of_their_own_class():
    """The nearest to a centre by far is of the other class; a class without a centre has some example of its own."""
    codes = np.array([[4.0, 0.0], [1.0, 0.0], [-3.0, 0.0], [9.0, 0.0], [5.0, 5.0]])
    np.testing.assert_array_equal(latent.typical(codes, np.array([0, 0, 1, 1, 2]), CENTRES), [1, 3, 4])


def test_distance_map_is_zero_at_the_centres_and_sums_over_pixels(run, params):
    points = np.array([[0.0, 0.0], [4.0, 0.0], [1.0, 1.0]])
    distance, centre = latent.distance_map(run, points, CENTRES)
    np.testing.assert_array_equal(centre, [0, 1, 0])
    there, here = np.asarray(made.apply(MODEL, params, points[[2, 0]], method="decode"))
    np.testing.assert_allclose(distance, [0.0, 0.0, np.square(there - here).sum()], rtol=1e-4, atol=1e-9)


def test_basins_go_by_the_decoded_images(run, params):
    """A decoder of one bend only: what is nearest in the images is found image by image."""
    points = latent.grid(np.array([-3.0, -3.0]), np.array([7.0, 3.0]), 6).reshape(-1, 2)
    images, centres = (np.asarray(made.apply(MODEL, params, z, method="decode")) for z in (points, CENTRES[:2]))
    expected = [int(np.argmin([np.square(image - centre).sum() for centre in centres])) for image in images]
    np.testing.assert_array_equal(latent.basins(run, points, CENTRES), expected)
    assert len(set(expected)) == 2


def test_interpolation_is_a_straight_line():
    line = latent.interpolate(np.array([0.0, 1.0]), np.array([4.0, 1.0]), 5)
    np.testing.assert_allclose(line, [[0, 1], [1, 1], [2, 1], [3, 1], [4, 1]])


def test_walks_follow_each_other():
    ends = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 4.0]])
    walks = latent.walks(ends, [(0, 1), (2, 0)], 3)
    np.testing.assert_allclose(walks, [[0, 0], [1, 0], [2, 0], [2, 4], [1, 2], [0, 0]])


def test_traversals_move_one_latent_at_a_time():
    codes = latent.traversals(np.array([-1.0, 2.0]), latent=3)
    np.testing.assert_array_equal(codes[1], [[0, -1, 0], [0, 2, 0]])
    np.testing.assert_array_equal(codes.sum(-1), [[-1, 2]] * 3)


def test_a_sample_is_sorted_and_without_repetition():
    chosen = latent.subsample(1000, 50, seed=3)
    assert len(chosen) == 50 and (np.diff(chosen) > 0).all() and chosen[0] >= 0 and 900 < chosen[-1] < 1000
    assert (chosen != latent.subsample(1000, 50, seed=4)).any()
    np.testing.assert_array_equal(latent.subsample(5, 50, seed=3), range(5))


def test_pca_keeps_the_variance_and_pads(params):
    codes = np.random.default_rng(0).normal(size=(60, 5)) * [5, 3, 1, 1, 1]
    values = np.linalg.eigvalsh(np.cov(codes.T))[::-1]
    np.testing.assert_allclose(latent.pca(codes).var(0, ddof=1), values[:2], rtol=1e-6)
    padded = latent.pca(codes[:, :1])
    np.testing.assert_array_equal(padded[:, 1], 0)
    np.testing.assert_allclose(np.abs(padded[:, 0]), np.abs(codes[:, 0] - codes[:, 0].mean()), rtol=1e-6)


def test_codes_of_a_diverged_lane_have_no_projection():
    codes = np.full((6, 3), np.nan)
    assert np.isnan(latent.pca(codes)).all() and latent.pca(codes).shape == (6, 2)
    assert np.isnan(latent.tsne(codes, seed=0)).all()


def test_tsne_keeps_far_clusters_apart():
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(size=(20, 4)), rng.normal(size=(20, 4)) + 50])
    plane = latent.tsne(codes, seed=0)
    near, far = plane[:20], plane[20:]
    spread = max(np.linalg.norm(part - part.mean(0), axis=1).max() for part in (near, far))
    assert np.linalg.norm(near.mean(0) - far.mean(0)) > spread
    np.testing.assert_array_equal(plane, latent.tsne(codes, seed=0))


@pytest.mark.parametrize(
    "n,dimensions,perplexity,init",
    [(3, 2, 1, "pca"), (31, 2, 10, "pca"), (31, 1, 10, "random"), (31, 3, 10, "pca"), (100, 2, 30, "pca")],
)
def test_tsne_is_scikit_learns_with_a_perplexity_that_the_codes_allow(n, dimensions, perplexity, init):
    """At most scikit-learn's default of 30, at most a third of the others, and 1 at least."""
    codes = np.random.default_rng(0).normal(size=(n, dimensions))
    expected = TSNE(2, perplexity=perplexity, init=init, random_state=7).fit_transform(codes)
    np.testing.assert_array_equal(latent.tsne(codes, seed=7), expected)
