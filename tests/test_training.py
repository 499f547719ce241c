"""The pure epoch: batches, randomness, exact evaluation, one trace."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax import batching, sharing, training
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import Objective, autoencoder
from ae_jax.types import Plan, UsageError, hparams, static_dropout

PLAN = Plan(batch_size=16, optimizer="sgd")


def recording_objective(metric):
    """No parameters to speak of; the loss of an example is ``metric(example's label)``."""

    def loss(params, key, batch, hparams, train):
        values = metric(batch.labels.astype(jnp.float32))
        return values + 0.0 * params["w"], {"label": batch.labels.astype(jnp.float32)}

    return Objective(lambda key: {"w": jnp.zeros(())}, loss, separable=True)


@pytest.fixture
def numbered():
    """50 examples whose label is their index."""
    return batching.Data(jnp.zeros((50, 28, 28, 1), jnp.uint8), jnp.arange(50, dtype=jnp.int32))


@pytest.mark.parametrize("n", [1, 7, 50])
def test_evaluation_counts_the_last_batch_exactly(numbered, n, monkeypatch):
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 16)
    objective = recording_objective(jnp.square)
    scores = training.evaluate(objective, {"w": 0.0}, hparams(), jax.random.key(0), numbered, jnp.arange(n))
    np.testing.assert_allclose(scores["loss"], np.mean(np.arange(n) ** 2.0), rtol=1e-6)
    np.testing.assert_allclose(scores["label"], np.arange(n).mean(), rtol=1e-6)


def test_evaluation_ignores_padding(numbered):
    indices = jnp.array([3, 5, batching.PADDING, batching.PADDING])
    scores = training.evaluate(
        recording_objective(lambda x: x), {"w": 0.0}, hparams(), jax.random.key(0), numbered, indices
    )
    np.testing.assert_allclose(scores["loss"], 4.0)


def test_shuffle_is_a_permutation_with_the_padding_last():
    indices = jnp.concatenate([jnp.full(3, batching.PADDING), jnp.arange(100)])
    first, second = (np.asarray(training.shuffle(jax.random.key(seed), indices)) for seed in (0, 1))
    np.testing.assert_array_equal(np.sort(first[:100]), np.arange(100))
    np.testing.assert_array_equal(first[100:], batching.PADDING)
    assert not np.array_equal(first, second)


def test_every_order_is_as_likely():
    """Three examples have six orders; chi-square of 6,000 shuffles at the 0.1 % level."""
    keys = jax.random.split(jax.random.key(0), 6000)
    orders = np.asarray(jax.vmap(training.shuffle, (0, None))(keys, jnp.array([0, batching.PADDING, 1, 2])))
    assert (orders[:, 3] == batching.PADDING).all()
    _, counts = np.unique(orders[:, :3] @ [9, 3, 1], return_counts=True)
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 1e-3


def test_an_epoch_sees_full_batches_only_once_each(numbered):
    """Three full batches of 16 are 48 of the 50 examples, none of them twice; the loss is the mean of the steps'."""
    seen = []

    def loss(params, key, batch, hparams, train):
        jax.debug.callback(lambda labels: seen.append(np.asarray(labels)), batch.labels)
        return batch.labels + 0.0 * params["w"], {}

    objective = Objective(lambda key: {"w": jnp.zeros(())}, loss, separable=True)
    state = training.init_state(objective, PLAN, jax.random.key(0), hparams())
    state, loss = training.train_epoch(objective, PLAN, state, hparams(), numbered, jnp.arange(50), 3)
    jax.effects_barrier()
    assert [labels.shape for labels in seen] == [(16,)] * 3
    assert len(np.unique(np.concatenate(seen))) == 48
    np.testing.assert_allclose(loss, np.mean(seen), rtol=1e-6)
    assert int(state.step) == 3


def test_a_run_is_replayed_bit_for_bit_and_keys_are_used_once(data, objective, key_reuse_check):
    plan, numbers = Plan(16, "adam"), hparams(learning_rate=1e-3, dropout=0.2)
    epoch = jax.jit(functools.partial(training.train_epoch, objective, plan, steps=4))
    runs = []
    for seed in (0, 0, 1):
        state = training.init_state(objective, plan, jax.random.key(seed), numbers)
        for _ in range(2):
            state, loss = epoch(state, numbers, data, jnp.arange(80))
        runs.append((jax.tree.leaves(state.params), float(loss)))
    assert runs[0][1] == runs[1][1] != runs[2][1]
    jax.tree.map(np.testing.assert_array_equal, runs[0][0], runs[1][0])


def test_each_epoch_shuffles_anew(numbered):
    objective = recording_objective(lambda labels: labels)
    state = training.init_state(objective, PLAN, jax.random.key(0), hparams())
    losses = []
    for _ in range(3):
        state, loss = training.train_epoch(objective, PLAN, state, hparams(), numbered, jnp.arange(50), 1)
        losses.append(float(loss))
    assert len(set(losses)) == 3


def test_each_step_draws_from_a_key_of_its_own(numbered):
    """Dropout masks, noise, codes: whatever a loss draws differs from step to step, of one epoch and of the next."""
    drawn = []

    def loss(params, key, batch, hparams, train):
        jax.debug.callback(lambda bits: drawn.append(int(bits)), jax.random.bits(key))
        return 0.0 * params["w"] + jnp.zeros(16), {}

    objective = Objective(lambda key: {"w": jnp.zeros(())}, loss, separable=True)
    state = training.init_state(objective, PLAN, jax.random.key(0), hparams())
    for _ in range(2):
        state, _ = training.train_epoch(objective, PLAN, state, hparams(), numbered, jnp.arange(50), 3)
    jax.effects_barrier()
    assert len(drawn) == len(set(drawn)) == 6


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_lanes_are_mapped_at_once_on_an_accelerator_only(monkeypatch, backend):
    """One after another, a scan, on a CPU; the results are the same."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    lanes = jnp.arange(6.0).reshape(3, 2), jnp.array([1.0, 2.0, 3.0])
    program = jax.make_jaxpr(lambda *lanes: sharing.lane_map(lambda row, w: w * row.sum(), *lanes))(*lanes)
    assert ("scan" in str(program)) == (backend == "cpu")
    np.testing.assert_array_equal(sharing.lane_map(lambda row, w: w * row.sum(), *lanes), [1.0, 10.0, 27.0])


def test_hyper_parameters_are_traced(data, objective):
    """Each alone changes what is learned, and none needs a second trace."""
    epoch = jax.jit(functools.partial(training.train_epoch, objective, PLAN, steps=2))

    def learned(**numbers):
        numbers = hparams(**{"learning_rate": 0.1} | numbers)
        state, _ = epoch(
            training.init_state(objective, PLAN, jax.random.key(0), numbers), numbers, data, jnp.arange(80)
        )
        return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(state.params)])

    plain = learned()
    np.testing.assert_array_equal(learned(), plain)
    for change in [{"learning_rate": 0.2}, {"l2": 0.1}, {"dropout": 0.5}, {"momentum": 0.9}]:
        assert not np.allclose(learned(**change), plain, atol=1e-6), change
    assert epoch._cache_size() == 1


def test_lanes_that_drop_nothing_train_the_same_without_masks(data, objective):
    numbers = hparams(learning_rate=0.1)
    state = training.init_state(objective, PLAN, jax.random.key(0), numbers)

    def train(numbers):
        return jax.jit(training.train_epoch, static_argnums=(0, 1, 6))(
            objective, PLAN, state, numbers, data, jnp.arange(64), 4
        )

    assert static_dropout(numbers).dropout is None
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        *(train(n)[0].params for n in (numbers, static_dropout(numbers))),
    )
    mixed = hparams(dropout=[0.0, 0.1])
    assert static_dropout(mixed) is mixed


def test_equal_models_share_one_objective():
    assert autoencoder(conv_autoencoder(4)) is autoencoder(conv_autoencoder(4))
    assert autoencoder(conv_autoencoder(4)) is not autoencoder(conv_autoencoder(5))


def test_unknown_optimizer_names_the_known_ones(objective):
    with pytest.raises(UsageError, match="'adamw'.*adamax"):
        training.init_state(objective, Plan(16, "adamw"), jax.random.key(0), hparams())


def test_the_penalty_warms_up_linearly(numbered):
    """Steps 0, 1, 2, ... of a warm-up over 4 see 0, 1/4, 2/4, 3/4, 1, 1 of the penalty."""
    objective = Objective(
        lambda key: {"w": jnp.zeros(())},
        lambda params, key, batch, hparams, train: (hparams.penalty + 0.0 * batch.labels + 0.0 * params["w"], {}),
        separable=True,
    )
    numbers = hparams(learning_rate=0.1, penalty=8.0, warmup=4)
    state = training.init_state(objective, PLAN, jax.random.key(0), numbers)
    seen = []
    for _ in range(6):
        state, loss = training.train_step(objective, PLAN, state, numbers, batching.take(numbered, jnp.arange(16)))
        seen.append(float(loss))
    assert seen == [0.0, 2.0, 4.0, 6.0, 8.0, 8.0]


def test_frozen_modules_stay_bit_identical(data):
    """Not even the L2 penalty moves them; what is named learns."""
    objective = autoencoder(conv_autoencoder(2, channels=(2,), hidden=4))
    plan = Plan(16, "adam", trainable=("decoder",))
    numbers = hparams(learning_rate=0.01, l2=0.1)
    state = before = training.init_state(objective, plan, jax.random.key(0), numbers)
    step = jax.jit(functools.partial(training.train_step, objective, plan))
    for _ in range(3):
        state, _ = step(state, numbers, batching.take(data, jnp.arange(16)))
    frozen, learned = (state.params["params"][name] for name in ("encoder", "decoder"))
    jax.tree.map(np.testing.assert_array_equal, frozen, before.params["params"]["encoder"])
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), learned, before.params["params"]["decoder"])
    assert all(jax.tree.leaves(moved))


def test_a_trainable_module_must_exist(data, objective):
    with pytest.raises(UsageError, match="no module head to train: choose among .*decoder"):
        training.init_state(objective, Plan(16, "adam", trainable=("head",)), jax.random.key(0), hparams())
