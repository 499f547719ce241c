"""Measures of trained models on models made by hand, whose answers are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from ae_jax import batching, corruptions, evaluation
from ae_jax.lanes import DIVERGED, DONE, make_lanes
from ae_jax.types import hparams
from tests.made import run_of


@dataclasses.dataclass(frozen=True)
class Gain:
    """A model of one parameter: images times its gain."""

    image = (28, 28, 1)

    def init(self, key, images):
        return jnp.ones(())

    def apply(self, gain, images):
        return gain * images


@dataclasses.dataclass(frozen=True)
class Moved:
    """A classifier of one parameter: its logits are ten pixels of the first row, moved by so many places."""

    image, init = (28, 28, 1), None

    def apply(self, places, images):
        return jnp.roll(images[:, 0, :10, 0], places, axis=1)


GAINS = jnp.array([1.0, 0.5, 2.0])
GAINED = run_of(Gain(), GAINS)


@pytest.fixture
def images(data):
    return batching.take(data, jnp.arange(200)).images


def test_a_score_is_of_each_lanes_numbers_and_of_one_draw_for_all(data, images):
    """Metrics of a loss that shows what it was given: parameters, hyper-parameters, images, and a draw of its key."""

    def loss(gain, key, batch, numbers, train):
        draws = jax.random.uniform(key, batch.labels.shape)
        return jnp.square((gain - 1) * batch.images).sum((1, 2, 3)), {
            "noise": 0 * draws + numbers.noise,
            "drawn": draws,
        }

    objective = GAINED.objective._replace(loss=loss)
    lanes = make_lanes(hparams(noise=[0.1, 0.2, 0.3]))
    run = dataclasses.replace(GAINED, objective=objective, lanes=lanes)
    scores = evaluation.score(run, jax.random.key(0), data)
    expected = np.square(GAINS - 1) * np.square(images).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(scores["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(scores["noise"], [0.1, 0.2, 0.3], rtol=1e-6)
    assert len({*scores["drawn"].tolist()}) == 1 and 0.4 < scores["drawn"][0] < 0.6
    assert (evaluation.score(run, jax.random.key(1), data)["drawn"] != scores["drawn"]).all()
    of_another = evaluation.score(
        run, jax.random.key(0), data, objective._replace(loss=lambda *a: (0 * loss(*a)[0], {}))
    )
    assert of_another.keys() == {"loss"} and (of_another["loss"] == 0).all()


def test_bytes_are_scaled(images):
    """Images as they are kept and as fractions: the same classes, reconstructions and errors."""
    as_bytes = jnp.round(images * 255).astype(jnp.uint8)
    fractions = as_bytes / np.float32(255)
    for measure in (evaluation.reconstruct, evaluation.class_logits, evaluation.predict):
        np.testing.assert_array_equal(measure(GAINED, as_bytes), measure(GAINED, fractions))
    errors = [evaluation.reconstruction_errors(GAINED, some, some) for some in (as_bytes, fractions)]
    np.testing.assert_array_equal(*errors)
    levels, key = np.array([0.1]), jax.random.key(0)
    noisy = [evaluation.robustness(GAINED, corruptions.gaussian, key, some, levels) for some in (as_bytes, fractions)]
    np.testing.assert_array_equal(*noisy)


def test_confusion_has_true_classes_in_rows():
    """Once a 0 was taken for a 2, twice a 1 for a 0; class 3 never came up."""
    counts = evaluation.confusion(np.array([0, 0, 1, 1, 1, 2]), np.array([0, 2, 0, 0, 1, 2]), classes=4)
    np.testing.assert_array_equal(counts, [[1, 0, 1, 0], [2, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert evaluation.confusion(np.array([9]), np.array([3])).shape == (10, 10)


def test_reconstructions_are_each_lanes_own(images):
    found = evaluation.reconstruct(GAINED, images)
    np.testing.assert_allclose(found, GAINS[:, None, None, None, None] * images)
    inputs, targets = images[:45], 1.0 - images[:45]
    expected = np.square(GAINS[:, None, None, None, None] * inputs - targets).mean((2, 3, 4))
    np.testing.assert_allclose(evaluation.reconstruction_errors(GAINED, inputs, targets), expected, rtol=1e-5)
    np.testing.assert_allclose(evaluation.reconstruction_error(GAINED, inputs, targets), expected.mean(1), rtol=1e-5)


def test_a_lane_alone_has_no_axis_and_several_runs_give_a_list(images):
    inputs, levels = 0.5 * images[:45], np.array([0.1, 0.3])
    found = evaluation.reconstruction_error(GAINED, inputs, images[:45])
    alone = evaluation.reconstruction_error(GAINED[1], inputs, images[:45])
    several = evaluation.reconstruction_error([GAINED[1], GAINED], inputs, images[:45])
    assert alone.shape == () and isinstance(several, list)
    np.testing.assert_allclose([alone, several[0], *several[1]], found[[1, 1, 0, 1, 2]], rtol=1e-6)
    curves = [
        evaluation.robustness(run, corruptions.gaussian, jax.random.key(0), images[:45], levels)
        for run in (GAINED, GAINED[1], [GAINED[1], GAINED])
    ]
    np.testing.assert_allclose(curves[1], curves[0][1], rtol=1e-6)
    np.testing.assert_allclose(curves[2][0], curves[0][1], rtol=1e-6)
    np.testing.assert_allclose(curves[2][1], curves[0], rtol=1e-6)


def test_robustness_is_the_error_from_the_clean_image_at_each_level(images):
    """Light is added to the input, level times a draw of the key: a gain w leaves ``(w - 1) x + w light``."""
    levels, key = np.array([0.0, 0.7, 0.2]), jax.random.key(3)
    curves = evaluation.robustness(
        GAINED, lambda key, images, level: images + level * jax.random.uniform(key), key, images, levels
    )
    light = [level * jax.random.uniform(jax.random.fold_in(key, i)) for i, level in enumerate(levels)]
    expected = [[jnp.square((w - 1) * images + w * added).mean() for added in light] for w in GAINS]
    np.testing.assert_allclose(curves, expected, rtol=1e-5, atol=1e-9)


def test_robustness_to_noise_grows_with_its_variance(images):
    """``(w - 1)^2 x^2 + w^2 sigma^2`` in the mean of 156,800 pixels, to 2 %; identical lanes see identical images."""
    levels = np.array([0.1, 0.4, 0.8])
    curves = evaluation.robustness(
        run_of(Gain(), jnp.append(GAINS, GAINS[0])), corruptions.gaussian, jax.random.key(0), images, levels
    )
    expected = np.square(GAINS - 1)[:, None] * np.square(images).mean() + np.square(np.outer(GAINS, levels))
    np.testing.assert_allclose(curves[:3], expected, rtol=0.02)
    np.testing.assert_array_equal(curves[3], curves[0])


def test_predictions_are_each_lanes_classes(monkeypatch):
    """Pixels of the first row are the logits, moved by the number of the lane; 45 images in batches of at most 14."""
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 14)
    images = np.random.default_rng(0).uniform(size=(45, 28, 28, 1)).astype(np.float32)
    brightest = images[:, 0, :10, 0].argmax(1)
    found = evaluation.predict(run_of(Moved(), jnp.array([0, 3])), jnp.asarray(images))
    np.testing.assert_array_equal(found, [brightest, (brightest + 3) % 10])
    logits = evaluation.class_logits(run_of(Moved(), jnp.array([0, 3])), jnp.asarray(images))
    np.testing.assert_array_equal(logits[1], np.roll(images[:, 0, :10, 0], 3, axis=1))


def test_a_diverged_lane_is_nan_or_nowhere(images):
    """Its errors are NaN, its predictions no class, so that a confusion matrix counts none; the others stay."""
    run = run_of(Gain(), GAINS, status=[DONE, DIVERGED, DONE])
    np.testing.assert_array_equal(np.isnan(evaluation.reconstruction_error(run, images, images)), [False, True, False])
    classes = evaluation.predict(run_of(Moved(), jnp.array([0, 3]), status=[DONE, DIVERGED]), images)
    assert (classes[1] == -1).all() and (classes[0] >= 0).all()
    assert evaluation.confusion(np.zeros(200, int), classes[1]).sum() == 0
    assert np.isnan(evaluation.linear_probe(np.full((4, 1), np.nan), np.zeros(4), np.ones((4, 1)), np.zeros(4)))


def test_a_probe_is_scored_on_the_test_codes():
    """Codes on a line, of another scale: class 1 lies above 0. Of four test codes one is labelled wrongly."""
    train, test = np.linspace(-100, 100, 40)[:, None], np.array([[-90.0], [-80.0], [80.0], [90.0]])
    accuracy = evaluation.linear_probe(train, (train[:, 0] > 0).astype(int), test, np.array([0, 0, 1, 0]))
    assert accuracy == 0.75


def test_a_probe_is_regularised_by_a_tenth():
    """Three examples of a class to one of the other: where they part depends on C, here by SciPy in float64."""
    codes, labels = np.array([[-5.0], [0.0], [1.0], [4.0]]), np.array([0, 0, 0, 1])
    standard = (codes[:, 0] - codes.mean()) / codes.std()

    def penalised(of):
        return np.square(of[0]) / 2 + 0.1 * np.logaddexp(0, (1 - 2 * labels) * (of[0] * standard + of[1])).sum()

    slope, offset = optimize.minimize(penalised, np.zeros(2), tol=1e-10).x
    parting = codes.mean() - codes.std() * offset / slope
    at = parting + np.array([[-0.01], [0.01]]) * abs(parting)
    assert evaluation.linear_probe(codes, labels, at, np.array([0, 1])) == 1.0


def test_anomalies_above_normal_examples_are_the_area():
    """Of six pairs of an anomaly and a normal example, four are in order and one is a tie."""
    scores, anomalous = np.array([1.0, 2.0, 5.0, 2.0, 6.0]), np.array([False, False, False, True, True])
    assert evaluation.auc(scores, anomalous) == pytest.approx(4.5 / 6)
    assert np.isnan(evaluation.auc(np.where(scores == 5.0, np.nan, scores), anomalous))


def test_lost_pixels_are_a_share_of_those_with_ink():
    """Of four pixels three have ink on one image or the other: black on both are two, on one only none, by lane."""
    images = np.zeros((3, 2, 2, 1))
    images[0, 0] = images[2, :, 0] = 0.5  # the last pixel is always black
    grey = np.full((3, 2, 2, 1), 0.1)
    two_lost, none_lost = grey.copy(), grey.copy()
    two_lost[:, 0] = two_lost[:, 1, 1] = none_lost[0] = 0.0
    outputs = np.stack([two_lost, none_lost, grey * np.nan])
    np.testing.assert_allclose(evaluation.lost_pixels(outputs, images), [2 / 3, 0, np.nan])
