"""Recipes: the same arguments give the same object, JSON and back."""

import functools
import importlib
import json
import pickle

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from ae_jax import corruptions, distributions, objectives, recipes, variational
from ae_jax.activations import ACTIVATIONS, linear
from ae_jax.models import Autoencoder, Classifier, ConvEncoder, conv_autoencoder, dense_autoencoder
from ae_jax.objectives import Objective
from ae_jax.types import Batch, UsageError, hparams
from ae_jax.vae import conv_vae, conv_vqvae, dense_vae

BERNOULLI = distributions.bernoulli(distributions.binarize_static)


def everything(image=(28, 28, 1)):
    """An objective of every kind, for such images."""
    dense = dense_autoencoder(3, (8,), ACTIVATIONS["elu"], nn.sigmoid, linear, image)
    vae = dense_vae(2, (4,), image=image)
    return {
        "plain": objectives.autoencoder(conv_autoencoder(3, (2, 3), None, image=image)),
        "dense": objectives.autoencoder(dense),
        "denoising": objectives.denoising(dense, corruptions.occlusion_up_to),
        "cross-entropy": objectives.cross_entropy_autoencoder(dense_autoencoder(3, (8,), image=image)),
        "sparse L1": objectives.sparse_l1(dense),
        "sparse KL": objectives.sparse_kl(dense, rho=0.1),
        "contractive": objectives.contractive(dense),
        "classifier": objectives.classifier(Classifier(ConvEncoder(2, (2,), image=image))),
        "encoder as classifier": objectives.classifier(ConvEncoder(10, (2,), image=image)),
        "ELBO": variational.elbo(conv_vae(2, (2,), image=image), BERNOULLI),
        "free bits": variational.free_bits(vae, distributions.gaussian(2.0), 0.5),
        "WAE": variational.wae_mmd(vae, distributions.gaussian_learned()),
        "IWAE": variational.iwae(vae, BERNOULLI, 5),
        "IWAE, doubly": variational.iwae_doubly_reparameterised(vae, BERNOULLI, samples=5),
        "VQ-VAE": variational.vector_quantised(conv_vqvae(8, 2, 3, (2,), image=image), BERNOULLI),
    }


EVERYTHING = everything()
DENSE = EVERYTHING["dense"].model


def test_every_objective_of_the_package_is_here():
    def built(module):
        return {name for name in recipes.PARTS if name.startswith(f"{module}.")}

    assert built("objectives") | built("variational") == {objective.recipe.builder for objective in EVERYTHING.values()}


@pytest.mark.parametrize("name", EVERYTHING)
def test_an_objective_is_built_again_from_json(name):
    described = json.loads(json.dumps(recipes.describe(EVERYTHING[name])))
    assert recipes.build(described) is EVERYTHING[name]
    assert "foreign" not in json.dumps(described) and "0x" not in json.dumps(described)


def test_an_objective_is_pickled_by_its_recipe():
    assert pickle.loads(pickle.dumps(EVERYTHING)) == EVERYTHING
    assert all(pickle.loads(pickle.dumps(objective)) is objective for objective in EVERYTHING.values())
    for own in (objectives.autoencoder(dense_autoencoder(2, activation=abs)), Objective(None, None, separable=True)):
        with pytest.raises(UsageError, match=r"a pickle can hold the code of (builtins.abs|objectives.Objective)"):
            pickle.dumps(own)


@pytest.mark.parametrize("name", EVERYTHING)
def test_an_objective_is_sized_to_other_images(name):
    """The same object as one built for them, and it takes them; for its own images it is itself."""
    objective, image = EVERYTHING[name], (9, 6, 3)
    other = recipes.sized(objective, image)
    assert other is everything(image)[name] and other.image == image
    assert recipes.sized(objective, objective.image) is objective
    batch = Batch(jnp.zeros((4, *image)), jnp.zeros(4, jnp.int32))
    params = jax.eval_shape(other.init, jax.random.key(0))
    loss, _ = jax.eval_shape(functools.partial(other.loss, train=True), params, jax.random.key(0), batch, hparams())
    assert loss.shape == (4,)


def test_what_was_put_together_by_hand_is_not_sized():
    by_hand = Objective(None, None, separable=True)
    assert recipes.sized(by_hand, (9, 6, 3)) is by_hand


def test_arguments_count_not_how_they_are_passed():
    model = dense_autoencoder(2, (4,), code_activation=nn.sigmoid)
    assert objectives.sparse_kl(model) is objectives.sparse_kl(model=model, rho=0.05)
    assert objectives.sparse_kl(model) is not objectives.sparse_kl(model, 0.1)
    assert recipes.describe(objectives.sparse_kl(model)) != recipes.describe(objectives.sparse_kl(model, 0.1))
    assert objectives.denoising(model, corruptions.gaussian).recipe.corrupt is corruptions.gaussian
    with pytest.raises(AttributeError, match="no argument 'rho'"):
        _ = objectives.autoencoder(model).recipe.rho


def test_what_is_not_of_the_package_is_named_but_not_built():
    def corrupt(key, images, level):
        return images

    described = recipes.describe(objectives.denoising(DENSE, corrupt))
    assert described["corrupt"]["foreign"].endswith("corrupt")
    with pytest.raises(UsageError, match="is not part of ae_jax"):
        recipes.build(described)
    for bad in ({"build": "os.system", "command": "true"}, {"part": "nobody"}, {}):
        with pytest.raises(UsageError, match=r"unknown part|is not part of ae_jax"):
            recipes.build(bad)
    with pytest.raises(UsageError, match="cannot be built"):
        recipes.build({"build": "models.Autoencoder", "nonsense": 1})
    assert Objective(None, None, True).recipe is None
    with pytest.raises(UsageError, match="without a recipe"):
        _ = Objective(None, None, True).model
    assert isinstance(EVERYTHING["plain"].model, Autoencoder)


def test_a_model_of_the_users_is_named_whatever_it_is_called():
    """Even one that is called as one of ours is."""

    class ConvEncoder(nn.Module):
        latent: int

    ConvEncoder.__module__, ConvEncoder.__qualname__ = "models", "ConvEncoder"
    described = recipes.describe(Autoencoder(ConvEncoder(3), ConvEncoder(4)))
    assert recipes.foreign(described) == ["models.ConvEncoder"] * 2
    assert described["encoder"]["latent"] == 3
    assert recipes.foreign(recipes.describe(EVERYTHING["denoising"])) == []


def test_a_model_of_another_kind_is_refused_and_one_of_the_users_own_is_not():
    class Mine(nn.Module):
        """What an autoencoder does, without being a subclass."""

    with pytest.raises(UsageError, match="autoencoder: a VAE is not allowed as its model: give an Autoencoder"):
        objectives.autoencoder(dense_vae(2, (4,)))
    assert isinstance(objectives.autoencoder(Mine()).model, Mine)


def test_a_name_belongs_to_one_part():
    with pytest.raises(ValueError, match="two parts of recipes are called 'relu'"):
        recipes.part(lambda x: x, "relu")


def test_a_cell_that_is_run_again_replaces_its_part():
    """In a notebook or a script; an argument without a type is not checked."""
    cell = "@recipe\ndef mine(model):\n    return autoencoder(model)"
    names = {"__name__": "__main__", "recipe": recipes.recipe, "autoencoder": objectives.autoencoder}
    for _ in range(2):
        exec(cell, names)
        objective = names["mine"](dense_autoencoder(2))
        assert recipes.build(recipes.describe(objective)).recipe == objective.recipe
    assert objective.recipe.builder == "__main__.mine" and recipes.PARTS.pop("__main__.mine") is names["mine"]


def test_a_module_that_is_loaded_again_replaces_its_parts(tmp_path, monkeypatch):
    (tmp_path / "mine_of_recipes.py").write_text(
        "from ae_jax import recipes\n@recipes.part\ndef mine(x):\n    return x"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("mine_of_recipes")
    first = module.mine
    assert importlib.reload(module).mine is not first
    assert recipes.PARTS.pop("mine_of_recipes.mine") is module.mine


def test_what_a_function_defines_each_time_anew_is_not_one_part():
    """It would be taken for another when it is built again."""

    def define():
        @recipes.part
        def defined(x):
            return x

        return defined

    first = define()
    with pytest.raises(ValueError, match="two parts of recipes are called .*defined"):
        define()
    assert recipes.PARTS.pop(f"{__name__}.{first.__qualname__}") is first


def test_what_is_spelled_says_no_address():
    assert recipes.spelled((8, 2.5, "adam", None)) == "(8, 2.5, adam, None)" and recipes.spelled((8,)) == "(8,)"
    assert (
        recipes.spelled(functools.partial(nn.leaky_relu, negative_slope=0.1))
        == "partial leaky_relu(negative_slope=0.1)"
    )
    assert (
        recipes.spelled(object()) == "object"
        and recipes.spelled(distributions.gaussian(2.0)) == "gaussian(variance=2.0)"
    )
    module = recipes.spelled(conv_autoencoder(3, (2,)))
    assert module.startswith("Autoencoder(encoder=ConvEncoder(latent=3, channels=(2,), ") and "0x" not in module


def test_in_a_worker_of_a_script_its_parts_have_the_same_names():
    """There the script is the module ``__mp_main__``."""

    def mine(x):
        return x

    mine.__module__, mine.__qualname__ = "__mp_main__", "mine"
    recipes.part(mine)
    assert recipes.PARTS.pop("__main__.mine") is mine


def closed_over(factor):
    def scaled(x):
        return factor * x

    return lambda x: scaled(x) + 1


def test_code_of_the_users_own_is_told_apart():
    """Checkpoints of one function must not be taken for another's that has the same name."""
    different = [
        functools.partial(nn.leaky_relu, negative_slope=0.01), functools.partial(nn.leaky_relu, negative_slope=0.9),
        lambda x: 2 * x, lambda x: 3 * x, lambda x: x.sum(), lambda x: x.mean(), lambda x, y=1: x, lambda x, y=2: x,
        closed_over(2.0), closed_over(3.0),
    ]  # fmt: skip
    described = [json.dumps(recipes.describe(function)) for function in different]
    assert len(set(described)) == len(different) and not any("0x" in words for words in described)
    assert recipes.describe(closed_over(2.0)) == recipes.describe(closed_over(2.0))
    assert recipes.describe(functools.partial(nn.relu)) == recipes.describe(functools.partial(nn.relu))
    assert recipes.foreign(recipes.describe(functools.partial(nn.relu, foreign=3)))[0] == "functools.partial"
    assert recipes.foreign(recipes.describe(different[0])) == ["functools.partial", "jax._src.nn.functions.leaky_relu"]
