"""Networks with narrow codes train inside the widest: one program, the same numbers, weights of zero stay zero."""

import jax
import numpy as np
import pytest

import ae_jax
from ae_jax import corruptions, trials
from ae_jax.activations import linear
from ae_jax.engine import Halving, Settings
from ae_jax.lanes import HALVED, Group, make_lanes, stack_splits
from ae_jax.models import Autoencoder, ConvDecoder, ConvEncoder, conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder, cross_entropy_autoencoder, denoising, parameter_shapes, sparse_l1
from ae_jax.optimizers import OPTIMIZERS
from ae_jax.types import Plan, hparams
from ae_jax.widening import alike, fits

SIZES = (3, 1, 2)  # the widest not last
SPLITS = stack_splits([(np.arange(0, 120), np.arange(120, 160))])
PLAN = Plan(batch_size=40, optimizer="adam")


def dense(latent):
    return dense_autoencoder(latent, (16,))


def conv(latent):
    return conv_autoencoder(latent, (4, 4), 16)


def test_an_objective_fits_itself_and_a_little_more_and_nothing_less():
    few, some, many = (autoencoder(dense(latent)) for latent in (1, 3, 100))
    assert fits(some, some) and fits(few, some)
    assert not fits(some, few) and not fits(few, many)  # which has more than a tenth more parameters


def groups_of(objectives, plan=PLAN, **numbers):
    numbers = {"learning_rate": [1e-2, 3e-3], "l2": 1e-3, "dropout": [0.1, 0.2], "noise": 0.2, "epochs": 3} | numbers
    lanes = [make_lanes(hparams(**numbers), [10 * i, 10 * i + 1]) for i in range(len(objectives))]
    return [Group(f"group {i}", objectives[i], plan, lanes[i]) for i in range(len(objectives))]


def assert_equal_alone(groups, data):
    together = trials.run_groups(groups, data, SPLITS)
    for group, result in zip(groups, together, strict=True):
        (alone,) = trials.run_groups([group], data, SPLITS)
        np.testing.assert_array_equal(result.status, alone.status)
        for curve, expected in zip((*result.curves, result.loss), (*alone.curves, alone.loss), strict=True):
            np.testing.assert_allclose(curve, expected, rtol=2e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), result.params, alone.params)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_a_narrow_code_learns_the_same_in_a_wide_one(data, optimizer):
    """Under L2 and dropout; every optimizer leaves the weights alone that a narrow code does not have.

    The dense denoisers below are three sizes, as the convolutional networks whose weights stay zero.
    """
    numbers = {"momentum": 0.9} if optimizer == "sgd" else {}
    groups = groups_of([autoencoder(dense(d)) for d in SIZES[:2]], Plan(40, optimizer), **numbers)
    assert trials.programs(groups) == [[0, 1]]
    assert_equal_alone(groups, data)


@pytest.mark.parametrize(("model", "sizes"), [(dense, SIZES), (conv, SIZES[:2])])
def test_so_does_a_denoiser(data, model, sizes):
    groups = groups_of([denoising(model(d), corruptions.gaussian) for d in sizes])
    assert trials.programs(groups) == [[*range(len(sizes))]]
    assert_equal_alone(groups, data)


def test_weights_that_are_not_there_stay_zero(data):
    groups = groups_of([autoencoder(conv(d)) for d in SIZES])
    (run,) = trials.start(groups, data, SPLITS)
    while (ids := run.runnable(3)).size:
        run.call(ids, until=3)
    params = run.store.train.params["params"]
    code, first = params["encoder"]["Dense_1"], params["decoder"]["Dense_0"]
    for lane, size in enumerate(np.repeat(SIZES, 2)):
        for leaf in (code["kernel"][lane].T, code["bias"][lane], first["kernel"][lane]):
            assert (leaf[:size] != 0).any() and not leaf[size:].any()


def test_results_are_each_groups_own(data):
    """In the order given, whatever shares a program: curves as long as the budget, weights as the model's."""
    objectives = [autoencoder(dense(1)), autoencoder(conv(2)), autoencoder(dense(4))]
    groups = groups_of(objectives)
    short = make_lanes(hparams(epochs=[1, 2]))
    groups[0] = groups[0]._replace(lanes=short)
    assert trials.programs(groups) == [[0, 2], [1]]
    results = trials.run_groups(groups, data, SPLITS)
    assert [result.curves.train_loss.shape for result in results] == [(2, 2), (2, 3), (2, 3)]
    assert [result.epochs.tolist() for result in results] == [[1, 2], [3, 3], [3, 3]]
    for objective, result in zip(objectives, results, strict=True):
        shapes = jax.tree.map(lambda leaf: leaf.shape, parameter_shapes(objective))
        assert jax.tree.map(lambda leaf: leaf.shape[1:], result.params) == shapes
    assert results[0].cost.compile_seconds == pytest.approx(results[2].cost.compile_seconds / 2)  # 3 epochs of 9, and 6


def test_halving_and_checkpoints_know_no_groups(data, tmp_path):
    """A killed search goes on where it was, and ends as one that was left alone."""
    groups = groups_of([autoencoder(dense(d)) for d in SIZES], epochs=6)
    settings = Settings(segment=1, halving=Halving(2, 2), checkpoint_folder=tmp_path)
    expected = trials.run_groups(groups, data, SPLITS, Settings(segment=1, halving=Halving(2, 2)))
    seen = []
    with pytest.raises(trials.Interrupted):
        trials.run_groups(
            groups, data, SPLITS, settings, trials.Monitor(seen.append, should_stop=lambda: len(seen) > 3)
        )
    assert list(tmp_path.iterdir())
    resumed = trials.run_groups(groups, data, SPLITS, settings, trials.Monitor(seen.append))
    assert seen[4].epochs_done > seen[3].epochs_done > 3
    for result, other in zip(resumed, expected, strict=True):
        for field in ("status", "epochs", "curves", "loss", "params"):
            jax.tree.map(np.testing.assert_array_equal, getattr(result, field), getattr(other, field))
    assert sum((result.status == HALVED).sum() for result in expected) == 4


def test_a_parameter_of_the_likelihood_makes_models_unlike():
    model = ae_jax.dense_vae(2, (4,))
    fixed, learned = ae_jax.gaussian(1.0), ae_jax.gaussian_learned()
    assert alike([ae_jax.elbo(model, fixed), ae_jax.elbo(model, ae_jax.bernoulli(ae_jax.grey))])
    assert not alike([ae_jax.elbo(model, learned), ae_jax.elbo(model, fixed)])


@pytest.mark.parametrize(
    "first,second",
    [
        (autoencoder(dense(2)), autoencoder(dense_autoencoder(3, (17,)))),
        (autoencoder(dense(2)), autoencoder(dense_autoencoder(3, (16,), output=linear))),
        (autoencoder(dense(2)), denoising(dense(3), corruptions.gaussian)),
        (denoising(dense(2), corruptions.gaussian), denoising(dense(3), corruptions.occlusion)),
        (autoencoder(dense(2)), autoencoder(dense(400))),  # too much for the narrow one
        (cross_entropy_autoencoder(dense(2)), cross_entropy_autoencoder(dense(3))),
        (sparse_l1(dense(2)), sparse_l1(dense(3))),  # the mean over the code
    ],
)
def test_other_differences_take_a_program_each(first, second):
    assert trials.programs(groups_of([first, second])) == [[0], [1]]


@pytest.mark.parametrize(
    "model",
    [
        lambda d: dense_autoencoder(d, (16,), code_activation=jax.nn.sigmoid),
        lambda d: Autoencoder(ConvEncoder(d, (2,), code_activation=jax.nn.sigmoid), ConvDecoder((2,))),
    ],
)
def test_a_sigmoid_code_shares_nothing(model):
    """Half of it would be 1/2 where it should not be."""
    assert trials.programs(groups_of([autoencoder(model(d)) for d in (2, 3)])) == [[0], [1]]


def test_plans_and_pretrained_lanes_take_a_program_each():
    groups = groups_of([autoencoder(dense(2)), autoencoder(dense(3))])
    assert trials.programs([groups[0], groups[1]._replace(plan=Plan(20, "adam"))]) == [[0], [1]]
    assert trials.programs([groups[0], groups[1]._replace(pretrained={"params": {}})]) == [[0], [1]]
    assert trials.programs(groups) == [[0, 1]]
