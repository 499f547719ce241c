"""A training that went nowhere says so, and one that went well says nothing."""

import warnings

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax
from ae_jax import doubts, recipes
from ae_jax.objectives import Objective

RNG = np.random.default_rng(0)
# Two kinds of image: a code of one number tells them apart.
IMAGES = np.where(RNG.random((120, 1, 1)) < 0.5, np.eye(6), 1 - np.eye(6)) * RNG.uniform(0.8, 1.0, (120, 6, 6))
PLAIN = ae_jax.autoencoder(ae_jax.dense_autoencoder(1, (8,)))


def warned(objective=PLAIN, images=IMAGES, labels=None, **arguments):
    """The run and the warnings of a training."""
    usual = {"epochs": 60, "batch_size": 16, "learning_rate": 1e-2, "progress": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = ae_jax.fit(objective, images, labels, **usual | arguments)
    assert all(warning.filename == __file__ for warning in caught)
    return run, [str(warning.message) for warning in caught]


def test_a_training_that_went_well_says_nothing():
    for images in (IMAGES, np.uint8(IMAGES * 255)):
        run, told = warned(images=images)
        assert told == [] and np.square(run.reconstruct(IMAGES)[..., 0] - IMAGES).mean() < 0.1 * IMAGES.var(0).mean()


def test_a_model_that_learned_the_mean_image_is_told_with_its_error():
    run, (told,) = warned(learning_rate=1e-7, validation=None)
    constant = np.square(IMAGES - IMAGES.mean(0)).mean()
    error = np.square(run.reconstruct(IMAGES)[..., 0] - IMAGES).mean()
    assert told.startswith("the model came no closer to the images than their mean")
    assert f"{constant:.4g}" in told and f"{error:.4g}" in told and "more epochs or a larger learning rate" in told


def test_of_many_models_those_are_named_by_what_tells_them_apart():
    _, told = warned(learning_rate=[1e-2, 1e-7, 1e38], seeds=[3, 4])
    assert len(told) == 2
    assert told[0].startswith("2 of 6 models (learning_rate 1e+38, seed 3; learning_rate 1e+38, seed 4) diverged:")
    assert told[1].startswith("2 of 6 models (learning_rate 1e-07, seed 3; learning_rate 1e-07, seed 4) came no closer")
    _, (told,) = warned(learning_rate=1e-7, seeds=range(5), epochs=1)
    assert told.startswith("5 of 5 models (seed 0; seed 1; seed 2; ...)")


@pytest.mark.parametrize("rate", [1e-2, 1e-7])
def test_every_objective_is_judged_by_its_reconstructions(rate):
    """Bounds in nats and cross-entropies have no mean image of their own to be compared with."""
    for objective in (
        ae_jax.elbo(ae_jax.dense_vae(1, (8,)), ae_jax.gaussian(0.01)),
        ae_jax.cross_entropy_autoencoder(PLAIN.model),
    ):
        assert len(warned(objective, learning_rate=rate)[1]) == (rate == 1e-7)


def test_what_has_no_reconstructions_or_no_variance_is_not_judged():
    classifier = ae_jax.classifier(ae_jax.Classifier(ae_jax.DenseEncoder(1, (4,)), 2))
    assert warned(classifier, labels=np.arange(120) % 2, learning_rate=1e-7, epochs=1)[1] == []
    assert warned(images=np.full((60, 6, 6), 0.5), learning_rate=1e-7, epochs=1)[1] == []


class Own(nn.Module):
    """A dense autoencoder of the user's own, which may take more than images, or give more."""

    extra: str = ""
    image: tuple[int, int, int] = (6, 6, 1)

    @nn.compact
    def __call__(self, x, key=None):
        if self.extra == "takes" and key is None:
            raise TypeError("what is drawn needs a key")
        code = nn.Dense(2)(x.reshape(len(x), -1))
        copies = nn.Dense(36)(code).reshape(x.shape)
        return (copies, code) if self.extra == "gives" else copies


@recipes.recipe
def own(network: nn.Module) -> Objective:
    """The builder calls its model as it likes, too."""

    def loss(params, key, batch, hparams, train):
        made = network.apply(params, batch.images, key)
        copies = made[0] if network.extra == "gives" else made
        return jnp.square(copies - batch.images).mean((1, 2, 3)), {}

    def init(key):
        return network.init(key, jnp.zeros((1, 6, 6, 1)), key)

    return Objective(init, loss, separable=True)


@recipes.recipe
def own_model(model: nn.Module) -> Objective:
    return own(model)


@pytest.mark.parametrize("build", [own, own_model])
@pytest.mark.parametrize("extra", ["", "takes", "gives"])
def test_no_objective_of_ones_own_is_lost_for_being_judged(build, extra):
    run, told = warned(build(Own(extra)), epochs=1, learning_rate=1e-7)
    assert np.isfinite(run.loss) and len(told) == (build is own_model and not extra)


def test_some_images_are_judged_evenly_over_all():
    images = np.arange(10_000, 0, -1).reshape(-1, 1, 1, 1)
    assert doubts.some(images, np.arange(7)).ravel().tolist() == [*range(10_000, 9_993, -1)]
    some = doubts.some(images, np.arange(10_000)).ravel()
    assert len(some) == 256 and some[0] == 10_000 and some[-1] == 1 and set(np.diff(some)) == {-39, -40}


def test_of_large_images_few_are_judged():
    images = np.broadcast_to(np.float32(0), (200, 200, 200, 1))
    assert len(doubts.some(images, np.arange(200))) == 104
    assert len(doubts.some(images.reshape(200, 400, 100, 1)[:, :1], np.arange(200))) == 200
    images = np.broadcast_to(np.float32(0), (90, 1024, 1024, 1))
    assert len(doubts.some(images, np.arange(90))) == 64 and len(doubts.some(images, np.arange(50))) == 50


def test_a_training_whose_judgement_fails_keeps_its_checkpoints(tmp_path):
    """As it may for want of memory; here warnings are errors."""
    arguments = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-7, "checkpoints": tmp_path / "kept"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="came no closer"):
            ae_jax.fit(PLAIN, IMAGES, **arguments)
    assert any((tmp_path / "kept").iterdir())
    with pytest.warns(UserWarning, match="came no closer"):
        ae_jax.fit(PLAIN, IMAGES, **arguments, resume=True)
    assert not (tmp_path / "kept").exists()
