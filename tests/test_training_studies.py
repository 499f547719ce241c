"""What the studies of report B's and C's trainings measure, against NumPy: baseline, denoising, transfer."""

import dataclasses

import jax
import numpy as np

from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from experiments import baseline_factors, classifiers, common, denoised, denoising, transfer
from tests.commands import in_group


@in_group("baseline_factors")
def test_a_factor_changes_one_thing(ran):
    """The first epochs of the longer training are the protocol's, seed by seed those of the baseline itself."""
    arrays = ran("baseline_factors").arrays
    names = ["as written", "twice the epochs", "He's initialisation", "no L2"]
    assert arrays["factor"].tolist() == names and arrays["longer_validation_loss"].shape == (2, 4)
    errors, longer = arrays["validation_mse"], arrays["longer_validation_loss"]
    np.testing.assert_array_equal(errors[:2], longer[:, [1, 3]].T)
    np.testing.assert_array_equal(arrays["validation_loss"][0], longer[:, :2])
    assert len(np.unique(errors)) == errors.size
    np.testing.assert_allclose(errors[3], errors[0], rtol=0.01)  # so few steps hardly decay


def test_the_factors_of_the_baseline_are_what_they_say():
    """He's weights have variance 2 / fan in; a ReLU on the code, and no sigmoid, on the same parameters."""
    plain, factors = autoencoder(conv_autoencoder(2)), baseline_factors.FACTORS
    kernels = baseline_factors.he(plain, np.arange(2))["params"]
    for part, layer, fan_in in (("encoder", "Dense_0", 288), ("decoder", "Dense_1", 64), ("encoder", "Conv_2", 144)):
        kernel = kernels[part][layer]["kernel"]
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_in), rtol=0.03)
        assert kernel.shape[0] == 2 and (kernel[0] != kernel[1]).all() and not kernels[part][layer]["bias"].any()
    images = np.random.default_rng(0).random((8, 28, 28, 1), np.float32)
    rectified, unbounded = factors["code"].objective.model, factors["output"].objective.model

    @jax.jit
    def applied(lane):
        codes = [model.apply(lane, images, method="code") for model in (plain.model, rectified)]
        return codes, [model.apply(lane, images) for model in (plain.model, unbounded)]

    codes, outputs = applied(jax.tree.map(lambda leaf: leaf[0], {"params": kernels}))
    assert codes[0].min() < 0 < codes[0].max()
    np.testing.assert_array_equal(codes[1], codes[0].clip(0))
    np.testing.assert_allclose(outputs[0], jax.nn.sigmoid(outputs[1]), rtol=1e-5)
    scaled = baseline_factors.standardised(None, images, 0.0)
    np.testing.assert_allclose(scaled * 0.3081 + 0.1307, images, atol=1e-6)


@in_group("denoising_C4")
def test_the_error_against_noisy_images_has_the_variance_of_the_noise_in_it(ran):
    """Of an untrained model, whose outputs hardly see the noise: the clean error plus the noise's variance."""
    arrays = ran("denoising_C4").arrays
    for part in ("training", "validation", "test"):
        clean = arrays["test_mse" if part == "test" else "validation_mse"]
        np.testing.assert_allclose(arrays[f"{part}_noisy_mse"], clean + arrays["noise"][:, None] ** 2, rtol=0.05)


def test_denoised_digits_have_the_label_of_their_nearest_training_image():
    """Against all distances in NumPy; a lane that diverged says nothing."""
    rng = np.random.default_rng(0)
    known, known_labels = rng.random((40, 5, 5, 1)), rng.integers(0, 3, 40)
    images, labels = rng.random((3, 30, 5, 5, 1)), rng.integers(0, 3, 30)
    distances = np.square(images[:, :, None] - known).sum((-3, -2, -1))
    expected = (known_labels[distances.argmin(-1)] == labels).mean(-1)
    images[2, 0, 0] = expected[2] = np.nan
    found = denoised.recognised(images, labels, known, known_labels)
    np.testing.assert_allclose(found, expected)
    assert 0 < found[0] < 1


def test_the_noise_of_the_command_line_takes_the_place_of_the_protocol_s():
    levels = {name: of["noise"] for name, of in denoising.variants(denoising.Options(study="B5", noise=0.3)).items()}
    assert levels == {"B3's best": 0.3, "lr 0.001 alone": 0.3, "B3's best, no noise": 0.0}
    assert list(denoising.variants(denoising.Options(study="C4", noise=0.3))) == ["noise 0.3"]


@in_group("transfer_B6")
def test_a_shorter_training_is_the_first_part_of_the_longer(ran):
    """20 and 40 epochs of the protocol, here 4 and 8; its losses are where the curves end."""
    arrays = ran("transfer_B6").arrays
    assert arrays["epochs"].tolist() == [4, 8]
    for part in ("train", "validation"):
        short, long = arrays[f"{part}_loss"][:, 0], arrays[f"{part}_loss"][:, 1]
        np.testing.assert_array_equal(short[..., :4], long[..., :4])
        assert np.isnan(short[..., 4:]).all() and np.isfinite(long).all()
        ends = np.stack([short[..., 3], long[..., 7]], 1)
        np.testing.assert_array_equal(arrays[f"final_{part}_loss"], ends)


def test_few_labels_are_trained_on_in_as_many_steps(tmp_path):
    """Of the digits' 1,150 training images the first 100 and no other; of the validation images a fourth of that."""
    options = transfer.Options(dataset="digits", study="C3", labels=100, out=tmp_path)
    setup = common.prepare(options, "transfer", transfer.BUDGETS)
    without = dataclasses.replace(setup, options=dataclasses.replace(options, labels=None))
    assert (classifiers.labels(setup), classifiers.labels(without)) == (100, 1150 // 40)
    groups, splits, *_ = classifiers.few_labels(setup, 100)
    np.testing.assert_array_equal(splits.train[0], np.arange(100))
    np.testing.assert_array_equal(splits.validation[0], 1150 + np.arange(25))
    (scratch,) = groups  # no autoencoder was trained
    steps = scratch.lanes.hparams.epochs * (100 // scratch.plan.batch_size)
    assert 0.4 < steps / (setup.budget.epochs * (1150 // setup.budget.batch_size)) <= 1


@in_group("transfer_C3")
def test_as_many_labels_as_there_are_train_the_same(ran):
    """80 labels of 80, in a training of its own on the same encoders."""
    arrays = ran("transfer_C3").arrays
    assert arrays["few_labels"] == 80
    np.testing.assert_array_equal(arrays["few_test_accuracy"], arrays["test_accuracy"][:, 0])
