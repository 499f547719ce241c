"""Networks, gradients and optimizers against numbers written by PyTorch (``make_oracles.py``); torch is not needed."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from ae_jax import activations, batching, losses, models, optimizers, training
from ae_jax.objectives import autoencoder
from ae_jax.types import Batch, Plan, hparams
from tests import made

ORACLES = Path(__file__).parent / "oracles"
NETWORKS = ["conv", "dense_linear", "dense_sigmoid", "dense_relu", "dense_elu", "dense_tanh"]
OPTIMIZERS = ["adam", "adamax", "adadelta", "rmsprop", "sgd", "momentum"]
RUNS = [f"{optimizer}_l2_{l2}" for optimizer in OPTIMIZERS for l2 in ("0", "0.01")]


@pytest.fixture(autouse=True)
def full_precision():
    """Accelerators would multiply in TF32 or bfloat16 otherwise."""
    with jax.default_matmul_precision("highest"):
        yield


@functools.cache
def load(name: str) -> tuple[dict, dict]:
    """The configuration and the arrays of one oracle."""
    with np.load(ORACLES / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    config = json.loads(str(arrays.pop("config")))
    return config, unflatten_dict(arrays, sep="/")


def build(kind: str, arguments: dict) -> models.Autoencoder:
    """Our network for the arguments in an oracle's configuration: sizes, and activations by name."""

    def ours(value):
        if isinstance(value, str):
            return activations.ACTIVATIONS[value]
        return tuple(value) if isinstance(value, list) else value

    arguments = {name: ours(value) for name, value in arguments.items()}
    if kind == "dense":
        return models.dense_autoencoder(**arguments)
    decoder = {name: value for name, value in arguments.items() if name != "latent"}
    return models.Autoencoder(models.ConvEncoder(**arguments), models.ConvDecoder(**decoder))


def scores(model: models.Autoencoder, loss: str, images):
    """``params -> (mean loss, (codes, outputs))``."""

    def score(params):
        codes = model.apply(params, images, method=model.encode)
        outputs = model.apply(params, codes, method=model.decode)
        if loss == "bce":
            logits = model.apply(params, codes, method=model.logits)
            values = losses.binary_cross_entropy(logits, images)
        else:
            values = losses.mean_squared_error(outputs, images)
        return values.mean(), (codes, outputs)

    return score


def assert_close_to_scale(ours, theirs, tolerance: float):
    """Same trees; in every array the largest error is below ``tolerance`` of that array's largest entry."""

    def check(path, a, b):
        assert a.shape == b.shape, jax.tree_util.keystr(path)
        error = np.abs(np.asarray(a) - b).max()
        assert error <= tolerance * np.abs(b).max(), f"{jax.tree_util.keystr(path)}: {error} of {np.abs(b).max()}"

    jax.tree_util.tree_map_with_path(check, ours, theirs)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_loss_and_gradients(name):
    config, oracle = load(name)
    model = build(config["kind"], config["arguments"])
    score = scores(model, config["loss"], oracle["images"])
    (loss, (codes, outputs)), gradients = jax.jit(jax.value_and_grad(score, has_aux=True))(oracle["params"])
    # float32 sums of up to 784 terms in another order; the largest error measured is 2e-6 of the array's scale.
    assert_close_to_scale(codes, oracle["codes"], 5e-6)
    assert_close_to_scale(outputs, oracle["outputs"], 5e-6)
    assert_close_to_scale(loss, oracle["loss"], 5e-6)
    assert_close_to_scale(gradients, oracle["gradients"], 5e-6)


def test_objective_is_the_oracles_loss():
    """The loss that training and evaluation share is PyTorch's ``mse_loss`` once its examples are averaged."""
    config, oracle = load("dense_sigmoid")
    objective = autoencoder(build(config["kind"], config["arguments"]))
    batch = Batch(oracle["images"], np.zeros(len(oracle["images"]), np.int32))
    for train in (True, False):
        loss, _ = made.loss(objective, oracle["params"], jax.random.key(0), batch, hparams(), train=train)
        np.testing.assert_allclose(np.mean(loss), oracle["loss"], rtol=5e-6)  # as above


@functools.cache
def trajectory(optimizer: str):
    """One compiled program an optimizer: the runs with and without L2 (and momentum) are its numbers."""
    config, oracle = load("trajectories")
    objective = autoencoder(build("conv", config["arguments"]))
    data = batching.Data(jnp.asarray(oracle["images"]), jnp.asarray(np.zeros(len(oracle["images"]), np.int32)))
    plan = Plan(batch_size=oracle["batches"].shape[1], optimizer=optimizer)

    @jax.jit
    def run(numbers, params):
        def step(state, indices):
            return training.train_step(objective, plan, state, numbers, batching.take(data, indices))

        begin = objective._replace(init=lambda key: params)
        state = training.init_state(begin, plan, jax.random.key(0), numbers)
        return jax.lax.scan(step, state, oracle["batches"])

    return run


@pytest.mark.parametrize("name", RUNS)
def test_fifty_steps_of_every_optimizer(name):
    config, oracle = load("trajectories")
    settings = config["runs"][name]
    numbers = hparams(learning_rate=settings["lr"], l2=settings["l2"], momentum=settings.get("momentum", 0.0))
    state, step_losses = trajectory(settings["optimizer"])(numbers, oracle["params"])
    assert state.step == len(step_losses)
    # PyTorch's run is in float64: these are 50 steps of our rounding, amplified most by Adam (measured 5e-6).
    np.testing.assert_allclose(step_losses, oracle[name]["losses"], rtol=2e-5)

    def check(path, ours, theirs, before):
        # Relative to how far the array moved, plus two units in the last place of a parameter near 3.
        # Measured: at most 0.55 of this tolerance, half of it the rounding of parameters that moved little.
        tolerance = 4e-5 * np.abs(theirs - before).max() + 5e-7
        error = np.abs(np.asarray(ours) - theirs).max()
        assert error <= tolerance, f"{jax.tree_util.keystr(path)}: {error} > {tolerance}"

    jax.tree_util.tree_map_with_path(check, state.params, oracle[name]["params"], oracle["params"])


def test_every_run_is_compared():
    assert sorted(load("trajectories")[0]["runs"]) == sorted(RUNS)
    assert {path.stem for path in ORACLES.glob("*.npz")} == {*NETWORKS, "trajectories"}
    assert {load("trajectories")[0]["runs"][name]["optimizer"] for name in RUNS} == set(optimizers.OPTIMIZERS)


@pytest.mark.parametrize("name", ["conv", "dense_elu"])
def test_gradients_of_lanes_are_those_of_each_alone(name):
    """Under vmap, where convolutions become batched matrix products, a lane's gradients do not change."""
    config, oracle = load(name)
    score = scores(build(config["kind"], config["arguments"]), config["loss"], oracle["images"])
    lanes = jax.tree.map(lambda x: np.stack([x, np.float32(1.1) * x, np.float32(0.8) * x]), oracle["params"])
    gradient = jax.grad(lambda params: score(params)[0])
    together = jax.tree.map(np.asarray, jax.jit(jax.vmap(gradient))(lanes))
    alone = jax.tree.map(np.asarray, jax.jit(lambda lanes: jax.lax.map(gradient, lanes))(lanes))
    for lane in range(3):
        pick = functools.partial(jax.tree.map, lambda x, lane=lane: x[lane])
        assert_close_to_scale(pick(together), pick(alone), 5e-6)  # rounding only, as above
    assert_close_to_scale(jax.tree.map(lambda x: x[0], together), oracle["gradients"], 5e-6)
