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
from tests import made

PLAN = Plan(batch_size=16, optimizer="sgd")


def no_parameters(key):
    return {"w": jnp.zeros(())}


def recording_objective(metric):
    """The loss of an example is ``metric(example's label)``."""

    def loss(params, key, batch, hparams, train):
        values = metric(batch.labels.astype(jnp.float32))
        return values + 0.0 * params["w"], {"label": batch.labels.astype(jnp.float32)}

    return Objective(no_parameters, loss, separable=True)


@pytest.fixture
def numbered():
    """50 examples whose label is their index."""
    return batching.Data(*map(jnp.asarray, (np.zeros((50, 28, 28, 1), np.uint8), np.arange(50, dtype=np.int32))))


def evaluate(metric, data, indices):
    """Scores of :func:`recording_objective`."""
    call = jax.jit(functools.partial(training.evaluate, recording_objective(metric)))
    return call({"w": 0.0}, hparams(), jax.random.key(0), data, indices)


@pytest.mark.parametrize("n", [1, 7, 50])
def test_evaluation_counts_the_last_batch_exactly(numbered, n, monkeypatch):
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 16)
    scores = evaluate(jnp.square, numbered, np.arange(n))
    np.testing.assert_allclose(scores["loss"], np.mean(np.arange(n) ** 2.0), rtol=1e-6)
    np.testing.assert_allclose(scores["label"], np.arange(n).mean(), rtol=1e-6)


def test_of_large_images_fewer_are_scored_at_once():
    """As many as take the room of 256 images of 128 by 128."""
    indices = np.arange(500)
    for image, shape in {
        (28, 28, 1): (2, 250), (64, 64, 3): (2, 250), (128, 128, 1): (2, 250), (128, 128, 3): (6, 84),
        (256, 256, 3): (24, 21), (4096, 4096, 3): (500, 1),
    }.items():  # fmt: skip
        assert batching.evaluation_batches(image, indices).shape == shape


def test_evaluation_ignores_padding(numbered):
    scores = evaluate(lambda x: x, numbered, np.array([3, 5, batching.PADDING, batching.PADDING]))
    np.testing.assert_allclose(scores["loss"], 4.0)


def test_shuffle_is_a_permutation_with_the_padding_last():
    indices = np.concatenate([np.full(3, batching.PADDING), np.arange(100)])
    shuffle = jax.jit(training.shuffle)
    first, second = (np.asarray(shuffle(jax.random.key(seed), indices)) for seed in (0, 1))
    np.testing.assert_array_equal(np.sort(first[:100]), np.arange(100))
    np.testing.assert_array_equal(first[100:], batching.PADDING)
    assert not np.array_equal(first, second)


def test_every_order_is_as_likely():
    """Three examples have six orders; chi-square of 6,000 shuffles at the 0.1 % level."""
    indices = np.array([0, batching.PADDING, 1, 2])
    shuffles = jax.vmap(lambda key: training.shuffle(key, jnp.asarray(indices)))
    orders = np.asarray(jax.jit(lambda key: shuffles(jax.random.split(key, 6000)))(jax.random.key(0)))
    assert (orders[:, 3] == batching.PADDING).all()
    _, counts = np.unique(orders[:, :3] @ [9, 3, 1], return_counts=True)
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 1e-3


def test_an_epoch_sees_full_batches_only_once_each(numbered):
    """Three full batches of 16 are 48 of the 50 examples, none of them twice; the loss is the mean of the steps'."""
    seen = []

    def loss(params, key, batch, hparams, train):
        jax.debug.callback(lambda labels: seen.append(np.asarray(labels)), batch.labels)
        return batch.labels + 0.0 * params["w"], {}

    objective = Objective(no_parameters, loss, separable=True)
    state = made.init_state(objective, PLAN, jax.random.key(0), hparams())
    state, loss = made.train_epoch(objective, PLAN, state, hparams(), numbered, np.arange(50), steps=3)
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
        state = made.init_state(objective, plan, jax.random.key(seed), numbers)
        for _ in range(2):
            state, loss = epoch(state, numbers, data, np.arange(80))
        runs.append((jax.tree.leaves(state.params), float(loss)))
    assert runs[0][1] == runs[1][1] != runs[2][1]
    jax.tree.map(np.testing.assert_array_equal, runs[0][0], runs[1][0])


def test_each_epoch_shuffles_anew(numbered):
    objective = recording_objective(lambda labels: labels)
    state = made.init_state(objective, PLAN, jax.random.key(0), hparams())
    losses = []
    for _ in range(3):
        state, loss = made.train_epoch(objective, PLAN, state, hparams(), numbered, np.arange(50), steps=1)
        losses.append(float(loss))
    assert len(set(losses)) == 3


def test_each_step_draws_from_a_key_of_its_own(numbered):
    """Dropout masks, noise, codes: whatever a loss draws differs from step to step, of one epoch and of the next."""
    drawn = []

    def loss(params, key, batch, hparams, train):
        jax.debug.callback(lambda bits: drawn.append(int(bits)), jax.random.bits(key))
        return 0.0 * params["w"] + jnp.zeros(16), {}

    objective = Objective(no_parameters, loss, separable=True)
    state = made.init_state(objective, PLAN, jax.random.key(0), hparams())
    for _ in range(2):
        state, _ = made.train_epoch(objective, PLAN, state, hparams(), numbered, np.arange(50), steps=3)
    jax.effects_barrier()
    assert len(drawn) == len(set(drawn)) == 6


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_lanes_are_mapped_at_once_on_an_accelerator_only(monkeypatch, backend):
    """One after another, a scan, on a CPU; the results are the same."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    lanes = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0, 3.0])

    def weighted(*lanes):
        return sharing.lane_map(lambda row, w: w * row.sum(), *lanes)

    assert ("scan" in str(jax.make_jaxpr(weighted)(*lanes))) == (backend == "cpu")
    np.testing.assert_array_equal(jax.jit(weighted)(*lanes), [1.0, 10.0, 27.0])


def test_hyper_parameters_are_traced(data, objective):
    """Each alone changes what is learned, and none needs a second trace."""
    epoch = jax.jit(functools.partial(training.train_epoch, objective, PLAN, steps=2))

    def learned(**numbers):
        numbers = hparams(**{"learning_rate": 0.1} | numbers)
        state = made.init_state(objective, PLAN, jax.random.key(0), numbers)
        state, _ = epoch(state, numbers, data, np.arange(80))
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])

    plain = learned()
    np.testing.assert_array_equal(learned(), plain)
    for change in [{"learning_rate": 0.2}, {"l2": 0.1}, {"dropout": 0.5}, {"momentum": 0.9}]:
        assert not np.allclose(learned(**change), plain, atol=1e-6), change
    assert epoch._cache_size() == 1


def test_lanes_that_drop_nothing_train_the_same_without_masks(data, objective):
    numbers = hparams(learning_rate=0.1)
    state = made.init_state(objective, PLAN, jax.random.key(0), numbers)

    def train(numbers):
        return made.train_epoch(objective, PLAN, state, numbers, data, np.arange(64), steps=4)

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
        made.init_state(objective, Plan(16, "adamw"), jax.random.key(0), hparams())


def test_streams_share_no_key():
    keys = [
        jax.random.key_data(training.stream_key(jax.random.key(0), stream, index)).tolist()
        for stream in (training.STEP_STREAM, training.SHUFFLE_STREAM, training.EVALUATION_STREAM)
        for index in range(5)
    ]
    assert len({*map(tuple, keys)}) == 15


@pytest.mark.parametrize("warmup,expected", [(4, [0.0, 2.0, 4.0, 6.0, 8.0, 8.0]), (0, [8.0] * 6)])
def test_the_penalty_warms_up_linearly(numbered, warmup, expected):
    """Steps 0, 1, 2, ... of a warm-up over 4 see 0, 1/4, 2/4, 3/4, 1, 1 of the penalty; without one, all of it."""
    objective = Objective(
        no_parameters,
        lambda params, key, batch, hparams, train: (hparams.penalty + 0.0 * batch.labels + 0.0 * params["w"], {}),
        separable=True,
    )
    numbers = hparams(learning_rate=0.1, penalty=8.0, warmup=warmup)
    state = made.init_state(objective, PLAN, jax.random.key(0), numbers)
    seen, batch = [], made.take(numbered, np.arange(16))
    for _ in range(6):
        state, loss = made.train_step(objective, PLAN, state, numbers, batch)
        seen.append(float(loss))
    assert seen == expected


def test_frozen_modules_stay_bit_identical(data):
    """Not even the L2 penalty moves them; what is named learns."""
    objective = autoencoder(conv_autoencoder(2, channels=(2,), hidden=4))
    plan = Plan(16, "adam", trainable=("decoder",))
    numbers = hparams(learning_rate=0.01, l2=0.1)
    state = before = made.init_state(objective, plan, jax.random.key(0), numbers)
    batch = made.take(data, np.arange(16))
    for _ in range(3):
        state, _ = made.train_step(objective, plan, state, numbers, batch)
    frozen, learned = (state.params["params"][name] for name in ("encoder", "decoder"))
    jax.tree.map(np.testing.assert_array_equal, frozen, before.params["params"]["encoder"])
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), learned, before.params["params"]["decoder"])
    assert all(jax.tree.leaves(moved))


def test_a_trainable_module_must_exist(data, objective):
    with pytest.raises(UsageError, match="no module head to train: choose among .*decoder"):
        made.init_state(objective, Plan(16, "adam", trainable=("head",)), jax.random.key(0), hparams())
