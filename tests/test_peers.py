"""Side by side with PyTorch at the sizes of the reports: networks, gradients, optimizers, layers, initialisation."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from test_oracles import ORACLES, assert_close_to_scale, build, scores
from test_sizes import SIZES

from ae_jax import convolutions, layers, losses, training
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Batch, Plan, hparams

torch = pytest.importorskip("torch")

import make_oracles  # noqa: E402
import torch_networks  # noqa: E402

pytestmark = pytest.mark.peers

D = {"latent": 5, "widths": (500, 500)}
E = {"latent": 64, "widths": (128,), "activation": "relu", "code_activation": "sigmoid"}

# The kind of network, its arguments, its loss: named by report.
NETWORKS = {
    "A_conv_1": ("conv", {"latent": 1, "channels": (8, 16, 32), "hidden": 64}, "mse"),
    "A_conv_4": ("conv", {"latent": 4, "channels": (8, 16, 32), "hidden": 64}, "mse"),
    "A_conv_16": ("conv", {"latent": 16, "channels": (8, 16, 32), "hidden": 64}, "mse"),
    "C_conv_wide": ("conv", {"latent": 2, "channels": (64, 64, 64), "hidden": 32}, "mse"),
    "D_linear": ("dense", D | {"activation": "linear", "output": "linear"}, "mse"),
    "D_sigmoid": ("dense", D | {"activation": "sigmoid"}, "mse"),
    "D_relu": ("dense", D | {"activation": "relu"}, "mse"),
    "D_elu": ("dense", D | {"activation": "elu"}, "mse"),
    "D_tanh": ("dense", D | {"activation": "tanh"}, "mse"),
    "E1_sigmoid": ("dense", E | {"output": "sigmoid"}, "mse"),
    "E2_relu": ("dense", E | {"output": "relu"}, "mse"),
    "E3_cross_entropy": ("dense", E, "bce"),
}

# Optimizer, learning rate, momentum; the rates of the reports where they have one.
OPTIMIZERS = {
    "adam": ("adam", 1e-3, 0.0),
    "adamax": ("adamax", 1.36e-2, 0.0),
    "adadelta": ("adadelta", 1.0, 0.0),
    "rmsprop": ("rmsprop", 1e-2, 0.0),
    "sgd": ("sgd", 1.0, 0.0),
    "momentum": ("sgd", 0.3, 0.9),
}

# Kernel, stride, padding, output padding (which PyTorch wants below the stride).
WINDOWS = [
    (1, 1, 0, 0),
    (2, 2, 0, 1),
    (3, 1, 1, 0),
    (3, 2, 0, 0),
    (3, 2, 0, 1),
    (3, 2, 1, 1),
    (3, 3, 1, 2),
    (4, 1, 2, 0),
    (4, 2, 1, 0),
    (4, 3, 0, 1),
    (5, 2, 2, 1),
    (5, 3, 1, 0),
    (2, 3, 1, 2),
]


@pytest.fixture(scope="module", autouse=True)
def equal_footing():
    """No TF32 on an accelerator, where PyTorch is on the CPU; one thread, as the tests share a small machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with jax.default_matmul_precision("highest"):
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def float64():
    """JAX in double precision: what is left between two programs is then arithmetic, not rounding."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def images(n: int) -> np.ndarray:
    """Float32 ``[n, 28, 28, 1]`` in [0, 1]."""
    return np.float32(make_oracles.blobs(np.random.default_rng(3), n) / 255)


def assert_same_network(network, model, loss, inputs):
    """Codes, outputs, loss, and the gradients of every parameter; ``network`` and ``inputs`` in double precision."""
    theirs = make_oracles.forward_and_gradients(network, loss, inputs)
    score = scores(model, loss, inputs)
    params = torch_networks.flax_tree(network)
    (mean, (codes, outputs)), gradients = jax.jit(jax.value_and_grad(score, has_aux=True))(params)
    assert gradients["params"]["decoder"]["Dense_0"]["bias"].dtype == np.float64
    assert_close_to_scale(codes, theirs["codes"], 1e-11)
    assert_close_to_scale(outputs, theirs["outputs"], 1e-11)
    assert_close_to_scale(mean, theirs["loss"], 1e-11)
    assert_close_to_scale(gradients, theirs["gradients"], 1e-11)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_loss_and_gradients(name, float64):
    """In double precision: a bias's gradient is a sum of 25,000 numbers, whose float32 rounding differs by machine."""
    kind, arguments, loss = NETWORKS[name]
    torch.manual_seed(3)
    network = make_oracles.BUILDERS[kind](**arguments).double()
    assert_same_network(network, build(kind, arguments), loss, np.float64(images(32)))


@pytest.mark.parametrize("image", SIZES, ids=str)
def test_networks_for_images_of_other_sizes(image, float64):
    """Report A's activations; as small as their shapes allow."""
    torch.manual_seed(3)
    network = torch_networks.conv_autoencoder(2, (3, 4, 5), 8, image=image).double()
    inputs = np.random.default_rng(3).uniform(size=(4, *image))
    assert_same_network(network, conv_autoencoder(2, (3, 4, 5), 8, image=image), "mse", inputs)


def test_cross_entropy_at_any_logit():
    """Values and gradients, from chance to the certain and wrong."""
    rng = np.random.default_rng(4)
    logits = np.float32(rng.normal(size=(6, 784)) * np.float32([0, 0.1, 1, 10, 100, 1000])[:, None])
    targets = np.float32(rng.uniform(size=(6, 784)).round(1))
    x = torch.tensor(logits, requires_grad=True)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(x, torch.tensor(targets), reduction="none").mean(1)
    theirs.sum().backward()
    ours, gradient = jax.value_and_grad(lambda x: losses.binary_cross_entropy(x, targets).sum())(logits)
    np.testing.assert_allclose(losses.binary_cross_entropy(logits, targets), theirs.detach().numpy(), rtol=2e-6)
    np.testing.assert_allclose(ours, theirs.sum().item(), rtol=2e-6)  # float32 sums of 784 terms
    assert_close_to_scale(gradient, x.grad.numpy(), 2e-6)


@functools.cache
def trajectory(optimizer: str):
    """One compiled program an optimizer, in double precision."""
    kind, arguments, _ = NETWORKS["A_conv_4"]
    objective = autoencoder(build(kind, arguments))
    plan = Plan(batch_size=32, optimizer=optimizer)

    @jax.jit
    def run(numbers, params, data, batches):
        def step(state, indices):
            batch = Batch(data[indices], jnp.zeros(len(indices), jnp.int32))
            return training.train_step(objective, plan, state, numbers, batch)

        begin = objective._replace(init=lambda key: params)
        return jax.lax.scan(step, training.init_state(begin, plan, jax.random.key(0), numbers), batches)

    return run


def assert_same_trajectory(name: str, l2: float, examples: int, batch: int, steps: int):
    """Report A's network, from the same weights on the same batches: the loss of each step, and where it ends."""
    optimizer, learning_rate, momentum = OPTIMIZERS[name]
    rng = np.random.default_rng(5)
    data = np.float64(images(examples))
    batches = np.stack([rng.permutation(examples)[:batch] for _ in range(steps)])
    torch.manual_seed(5)
    network = make_oracles.BUILDERS["conv"](**NETWORKS["A_conv_4"][1]).double()
    before = torch_networks.flax_tree(network)
    numbers = hparams(learning_rate=learning_rate, l2=l2, momentum=momentum)
    # HParams are float32: PyTorch gets the very same numbers.
    settings = {"lr": numbers.learning_rate.item(), "weight_decay": numbers.l2.item()}
    if momentum:
        settings["momentum"] = numbers.momentum.item()
    x = torch_networks.channels_first(data, torch.float64)
    their_losses = torch_networks.train(network, optimizer, settings, x, batches)
    state, our_losses = trajectory(optimizer)(numbers, before, data, batches)

    # Double precision carried through the steps; measured: 1e-15 for losses, 5e-12 of the way for parameters.
    np.testing.assert_allclose(our_losses, their_losses, rtol=1e-9)
    moved = jax.tree.map(np.subtract, torch_networks.flax_tree(network), before)
    assert all(leaf.any() for leaf in jax.tree.leaves(moved))
    assert_close_to_scale(jax.tree.map(np.subtract, state.params, before), moved, 1e-9)


@pytest.mark.parametrize("l2", [0.0, 1e-2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_of_every_optimizer(name, l2, float64):
    """In float32 two correct programs part at the first ReLU that rounding switches on or off."""
    assert_same_trajectory(name, l2, examples=64, batch=32, steps=50)


def test_steps_on_a_large_batch(float64):
    """However a batch larger than the caches is computed, its loss and gradient are those of the whole."""
    assert_same_trajectory("sgd", 0.0, examples=400, batch=384, steps=2)


def torch_case(layer, shape):
    """``(parameters, inputs [shape], output weights)`` for :func:`values_and_gradients`, and PyTorch's answer."""
    x = torch.randn(shape, dtype=layer.weight.dtype, requires_grad=True)
    y = layer(x)
    weights = torch.randn_like(y)
    (weights * y).sum().backward()
    nhwc = torch_networks.channels_last
    theirs = nhwc(y), torch_networks.flax_layer(layer, torch_networks.gradient), nhwc(x.grad)
    return (torch_networks.flax_layer(layer), nhwc(x), nhwc(weights)), theirs


def values_and_gradients(layer, params, x, weights):
    """Outputs, and the gradients of their weighted sum with respect to parameters and inputs."""

    def call(params, x):
        y = layers.batch_first(layer.apply({"params": params}, layers.batch_last(x)))
        return (weights * y).sum(), y

    (_, y), gradients = jax.value_and_grad(call, (0, 1), has_aux=True)(params, x)
    return y, *gradients


@pytest.mark.parametrize("kernel,stride,padding,output_padding", WINDOWS)
def test_convolutions_alone(kernel, stride, padding, output_padding):
    """Both directions for one window: values, and gradients with respect to kernel, bias and input."""
    torch.manual_seed(6)
    window = {"stride": stride, "padding": (padding, padding)}
    out = (output_padding, output_padding)
    pairs = [
        (layers.Conv(4, kernel, **window), torch.nn.Conv2d(3, 4, kernel, **window)),
        (
            layers.ConvTranspose(4, kernel, **window, output_padding=out),
            torch.nn.ConvTranspose2d(3, 4, kernel, **window, output_padding=out),
        ),
    ]
    for ours, layer in pairs:
        case, theirs = torch_case(layer, (2, 3, 8, 11))
        found = jax.jit(functools.partial(values_and_gradients, ours))(*case)
        assert_close_to_scale(found, theirs, 2e-6)  # float32 sums of at most 400 terms


@pytest.mark.parametrize("image", SIZES, ids=str)
def test_convolutions_between_the_maps_of_every_size(image, float64):
    """Each convolution and its mirror image, in every implementation; all in one program."""
    torch.manual_seed(6)
    ours, cases, theirs = [], [], []
    for size, half in itertools.pairwise([image[:2], *SIZES[image]]):
        padding = tuple(2 * m + 1 - n for n, m in zip(size, half, strict=True))
        window = {"stride": 2, "padding": padding}
        pairs = [
            (layers.Conv, torch.nn.Conv2d(2, 3, 3, **window), {}, size),
            (layers.ConvTranspose, torch.nn.ConvTranspose2d(2, 3, 3, **window, output_padding=padding),
             {"output_padding": padding}, half),
        ]  # fmt: skip
        for layer, peer, out, inputs in pairs:
            case, answer = torch_case(peer.double(), (2, 2, *inputs))
            assert answer[0].shape[1:3] == (half if layer is layers.Conv else size)
            ours.append([layer(3, **window, **out, implementation=how) for how in convolutions.IMPLEMENTATIONS])
            cases.append(case)
            theirs.append([answer] * len(convolutions.IMPLEMENTATIONS))

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def all_of_them(cases):
        return [[values_and_gradients(how, *case) for how in hows] for hows, case in zip(ours, cases, strict=True)]

    assert_close_to_scale(all_of_them(cases), theirs, 1e-11)


INITIALISED = {
    "dense": (layers.Dense(7), lambda: torch.nn.Linear(20, 7), (20, 1)),
    "conv": (layers.Conv(8, 4), lambda: torch.nn.Conv2d(3, 8, 4), (3, 5, 5, 1)),
    "conv_transpose": (layers.ConvTranspose(3, 4), lambda: torch.nn.ConvTranspose2d(8, 3, 4), (8, 5, 5, 1)),
}


@pytest.mark.parametrize("name", INITIALISED)
def test_default_initialisation(name):
    """Kernels and biases of every layer are drawn from PyTorch's range, uniformly: 1,000 layers of each."""
    layer, torch_layer, shape = INITIALISED[name]
    torch.manual_seed(7)
    theirs = jax.tree.map(lambda *x: np.stack(x), *[torch_networks.flax_layer(torch_layer()) for _ in range(1000)])
    keys = jax.random.split(jax.random.key(7), 1000)
    ours = jax.jit(jax.vmap(lambda key: layer.init(key, jnp.zeros(shape))["params"]))(keys)

    def check(mine, reference):
        mine = np.asarray(mine)
        assert mine.shape == reference.shape
        # The largest of n magnitudes misses its bound by more than 16/n of it once in exp(16) = 9 million times.
        bound = np.abs(reference).max()
        assert abs(np.abs(mine).max() / bound - 1) < 16 / mine.size
        # Kolmogorov and Smirnov's distance from the uniform law exceeds 2.3 / sqrt(n) once in 20,000 times.
        distance = scipy.stats.kstest(mine.ravel() / bound, scipy.stats.uniform(-1, 2).cdf).statistic
        assert distance < 2.3 / np.sqrt(mine.size)

    jax.tree.map(check, ours, theirs)
    # Kernel and bias are drawn apart: over 1,000 layers their first entries are uncorrelated, to four standard errors.
    first = np.stack([np.asarray(x).reshape(1000, -1)[:, 0] for x in jax.tree.leaves(ours)])
    assert abs(np.corrcoef(first)[0, 1]) < 4 / np.sqrt(1000)


def test_committed_oracles_are_what_the_script_writes(tmp_path):
    make_oracles.write_all(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in ORACLES.iterdir()}
    for path in sorted(tmp_path.iterdir()):
        with np.load(path) as fresh, np.load(ORACLES / path.name) as committed:
            assert fresh["config"] == committed["config"], path.name
            assert sorted(fresh.files) == sorted(committed.files), path.name
            for key in set(fresh.files) - {"config"}:
                assert fresh[key].dtype == committed[key].dtype, key
                # Another processor may sum float32 in another order.
                assert_close_to_scale(fresh[key], committed[key], 5e-6)
