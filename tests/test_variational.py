"""Variational objectives: by hand, on a linear-Gaussian model where everything is known, and at the edge of float32."""

import functools
import itertools

import jax
import linear_gaussian as toy
import numpy as np
import pytest
import scipy.special
from scipy import stats

from ae_jax import distributions, evaluation, trials, variational
from ae_jax.engine import Settings
from ae_jax.lanes import make_lanes, stack_splits
from ae_jax.models import dense_autoencoder
from ae_jax.types import Batch, Plan, UsageError, hparams
from ae_jax.vae import VAE, VQVAE, VectorQuantiser, conv_vae, conv_vqvae, dense_vae
from tests import made

BERNOULLI = distributions.bernoulli(distributions.binarize_dynamic)
MODEL = dense_vae(latent=2, widths=(8,))
NETWORKS = dense_autoencoder(6, widths=(8,))
QUANTISED = VQVAE(NETWORKS.encoder, VectorQuantiser(codes=5, code_size=2), NETWORKS.decoder)

OBJECTIVES = {
    "elbo": variational.elbo(MODEL, BERNOULLI),
    "gaussian": variational.elbo(MODEL, distributions.gaussian_learned()),
    "free bits": variational.free_bits(MODEL, BERNOULLI, 0.5),
    "wae": variational.wae_mmd(MODEL, BERNOULLI),
    "iwae": variational.iwae(MODEL, BERNOULLI, 3),
    "dreg": variational.iwae_doubly_reparameterised(MODEL, BERNOULLI, 3),
    "vq": variational.vector_quantised(QUANTISED, BERNOULLI),
}
BOUNDS = {"iwae": variational.iwae, "dreg": variational.iwae_doubly_reparameterised}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_bound_is_minus_distortion_minus_rate(name, batch):
    """Of every code's three positions a VQ-VAE tells one of five vectors."""
    _, metrics = made.loss(OBJECTIVES[name], start(name), jax.random.key(1), batch, hparams())
    np.testing.assert_allclose(metrics["elbo"], -metrics["distortion"] - metrics["rate"], rtol=1e-6)
    assert (metrics["distortion"] > 0).all() and (metrics["rate"] > 0).all()
    if name == "vq":
        np.testing.assert_allclose(metrics["rate"], 3 * np.log(5), rtol=1e-6)


def test_a_code_is_drawn_for_each_image_unless_more_are_asked_for(batch):
    def infer(*samples):
        arguments = MODEL, BERNOULLI, start("elbo"), jax.random.key(1), batch, hparams(), True
        return jax.eval_shape(lambda: variational.infer(*arguments, *samples).codes).shape

    assert infer() == (1, len(batch.labels), 2) and infer(3) == (3, len(batch.labels), 2)


def test_all_but_the_mmd_of_a_batch_may_be_computed_in_parts():
    assert {name for name, objective in OBJECTIVES.items() if not objective.separable} == {"wae"}


@pytest.mark.parametrize("name", ["gaussian", "vq"])
@pytest.mark.parametrize("build", [distributions.gaussian_learned, lambda: distributions.gaussian(0.3)])
def test_a_gaussian_expects_the_images_that_its_model_decodes(name, build):
    """At its mean a density has no energy."""
    model, likelihood, params = OBJECTIVES[name].model, build(), start(name)
    codes = jax.random.normal(jax.random.key(1), (4, 3, 2) if name == "vq" else (4, 2))
    logits, images = (model.apply(params, codes, method=method) for method in ("logits", "decode"))
    params = {"params": likelihood.init()}
    assert (likelihood.energy(params, logits, images) < 1e-9).all() and likelihood.energy(params, logits, logits)[0] > 1


@pytest.fixture
def batch(data):
    return made.take(data, np.arange(6))


@functools.cache
def start(name):
    """Fresh parameters of an objective of the table."""
    return jax.jit(OBJECTIVES[name].init)(jax.random.key(0))


@functools.cache
def scored(name):
    """``(params, key, batch, hparams) -> (loss [batch], metrics), gradient of the mean loss``, compiled once."""

    def loss(params, key, batch, numbers):
        values, metrics = OBJECTIVES[name].loss(params, key, batch, numbers, True)
        return values.mean(), (values, metrics)

    def run(params, key, batch, numbers):
        (_, result), gradient = jax.value_and_grad(loss, has_aux=True)(params, key, batch, numbers)
        return *result, gradient

    return jax.jit(run)


def with_bias(params, module, bias, kernel=None):
    """``params`` with another bias, and perhaps kernel, in the last layer of ``module`` (both arrays or numbers)."""
    layer = params["params"][module]["Dense_1"]
    changed = {
        "bias": np.broadcast_to(np.float32(bias), layer["bias"].shape),
        "kernel": layer["kernel"] if kernel is None else np.full_like(layer["kernel"], kernel),
    }
    return {"params": params["params"] | {module: params["params"][module] | {"Dense_1": changed}}}


NARROW = np.array([0.0, 0.0, -19.0, -19.0])  # encoder biases under which a code is its mean, to 1e-4


def draws(objective, params, numbers, count, seed=0):
    """Batch-mean losses of the toy model for ``count`` keys: ``[count]``."""
    loss = jax.vmap(lambda key: objective.loss(params, key, toy.batch(), numbers, True)[0].mean())
    return np.asarray(jax.jit(lambda key: loss(jax.random.split(key, count)))(jax.random.key(seed)), np.float64)


def gradients(objective, params, numbers, count, seed=0):
    """Gradients of those losses: a tree with leaves ``[count, ...]``."""

    def loss(params, key):
        return objective.loss(params, key, toy.batch(), numbers, True)[0].mean()

    gradient = jax.vmap(jax.grad(loss), (None, 0))
    return jax.jit(lambda key: gradient(params, jax.random.split(key, count)))(jax.random.key(seed))["params"]


def standard_error(values):
    return values.std(0) / np.sqrt(len(values))


def test_elbo_of_two_pixels_by_hand():
    """A constant encoder (mean 1, variance e) and decoder (logits 0, log 3), two pixels on and off.

    Distortion ``log 2 + log 4`` nats, rate ``(1 + e - 1 - 1) / 2``; beta weighs the rate in the loss alone.
    """
    model = VAE(toy.Affine((2,)), toy.Affine((2, 1, 1)))
    images = np.array([1.0, 0.0], np.float32).reshape(1, 2, 1, 1)
    layer = {"kernel": np.zeros((2, 2)), "bias": np.array([1.0, 1.0])}
    decoder = {"kernel": np.zeros((1, 2)), "bias": np.array([0.0, np.log(3.0)])}
    params = {"params": {"encoder": {"Dense_0": layer}, "decoder": {"Dense_0": decoder}}}
    objective = variational.elbo(model, distributions.bernoulli(distributions.grey))
    batch = Batch(images, np.zeros(1, np.int32))
    loss, metrics = made.loss(objective, params, jax.random.key(0), batch, hparams(penalty=3.0))
    distortion, rate = np.log(8.0), (np.e - 1) / 2
    np.testing.assert_allclose(loss, distortion + 3 * rate, rtol=1e-6)
    np.testing.assert_allclose(metrics["distortion"], distortion, rtol=1e-6)
    np.testing.assert_allclose(metrics["rate"], rate, rtol=1e-6)
    np.testing.assert_allclose(metrics["elbo"], -distortion - rate, rtol=1e-6)


def test_report_bs_loss_is_energy_plus_rate(batch):
    """||x - x_hat||^2 / 2 + KL with the closed form of the report, from the networks' own outputs in float64."""
    objective = variational.elbo(MODEL, distributions.gaussian(1.0))
    params = with_bias(start("elbo"), "encoder", NARROW)
    _, metrics = jax.tree.map(np.asarray, made.loss(objective, params, jax.random.key(1), batch, hparams()))
    codes = made.apply(MODEL, params, batch.images, method="encode")
    mean, log_variance, images, outputs = (
        np.asarray(values, np.float64) for values in (*codes, batch.images, made.apply(MODEL, params, batch.images))
    )
    error = np.square(images - outputs).sum((1, 2, 3))
    divergence = 0.5 * (np.square(mean) + np.exp(log_variance) - 1 - log_variance).sum(1)
    np.testing.assert_allclose(metrics["energy"] + metrics["rate"], error / 2 + divergence, rtol=1e-4)
    np.testing.assert_allclose(metrics["distortion"] - metrics["energy"], 392 * np.log(2 * np.pi), rtol=1e-4)


@pytest.mark.parametrize("shift,log_factor", [(0.0, 0.0), (0.3, 0.5)])
def test_elbo_misses_the_likelihood_by_the_posteriors_divergence(shift, log_factor):
    """Within five standard errors of 4,000 draws."""
    losses = draws(variational.elbo(toy.MODEL, toy.LIKELIHOOD), toy.params(shift, log_factor), hparams(), 4000)
    expected = -toy.log_likelihood().mean() + toy.gap(np.full(toy.LATENT, shift), np.full(toy.LATENT, log_factor))
    assert abs(losses.mean() - expected) < 5 * standard_error(losses) < 0.1


@pytest.mark.parametrize("name", BOUNDS)
def test_with_the_exact_posterior_every_draw_of_the_bound_is_the_likelihood(name):
    """No variance at all, for any number of samples."""
    for samples in (1, 5):
        objective = BOUNDS[name](toy.MODEL, toy.LIKELIHOOD, samples)
        loss, _ = made.loss(objective, toy.params(), jax.random.key(0), toy.batch(), hparams())
        np.testing.assert_allclose(loss, -toy.log_likelihood(), rtol=1e-5)


def test_the_bound_rises_with_the_samples_from_the_elbo_to_the_likelihood():
    """One sample gives the closed-form ELBO within five standard errors; 1, 8, 64 rise by more than that."""
    means, errors = [], []
    for samples in (1, 8, 64):
        objective = variational.iwae(toy.MODEL, toy.LIKELIHOOD, samples)
        losses = draws(objective, toy.params(0.3, 0.5), hparams(), 4000, seed=samples)
        means.append(-losses.mean())
        errors.append(standard_error(losses))
    exact = toy.log_likelihood().mean()
    elbo = exact - toy.gap(np.full(toy.LATENT, 0.3), np.full(toy.LATENT, 0.5))
    assert abs(means[0] - elbo) < 5 * errors[0]
    for (low, high), error in zip(itertools.pairwise(means), errors, strict=False):
        assert high - low > 5 * error
    assert exact - 0.02 < means[-1] < exact + 5 * errors[-1]


def test_double_reparameterisation_keeps_the_bounds_value():
    plain, double = (
        draws(build(toy.MODEL, toy.LIKELIHOOD, 8), toy.params(0.3, 0.5), hparams(penalty=0.7), 10)
        for build in BOUNDS.values()
    )
    np.testing.assert_allclose(double, plain, rtol=1e-6)


@functools.cache
def expected_bound_gradient(beta):
    """d/d(shift, log_factor) of the first latent of the mean two-sample bound, by Gauss-Hermite quadrature in float64.

    24 nodes for each latent of each sample; central differences of step 1e-4.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    noise = np.array(list(itertools.product(nodes, nodes)))
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    variances, gain = toy.posterior()

    def bound(shift, log_factor):
        log_variance = np.log(variances) + [log_factor, 0.3]
        total = 0.0
        for image in toy.IMAGES:
            mean = gain @ (image - toy.BIAS) + [shift, 0.2]
            codes = mean + np.exp(0.5 * log_variance) * noise
            likelihood = stats.norm.logpdf(image, codes @ toy.WEIGHTS.T + toy.BIAS, np.sqrt(toy.VARIANCE)).sum(1)
            ratio = stats.norm.logpdf(codes) - stats.norm.logpdf(codes, mean, np.exp(0.5 * log_variance))
            one = likelihood + beta * ratio.sum(1)
            total += weights @ (np.logaddexp(one[:, None], one) - np.log(2)) @ weights
        return total / len(toy.IMAGES)

    steps = np.array([[1e-4, 0.0], [0.0, 1e-4]])
    return [(bound(*([0.5, -0.8] + step)) - bound(*([0.5, -0.8] - step))) / 2e-4 for step in steps]


@pytest.mark.parametrize("beta", [1.0, 0.4])
@pytest.mark.parametrize("name", BOUNDS)
def test_encoder_gradients_have_the_mean_of_the_bounds_gradient(name, beta):
    """Against quadrature, within five standard errors of 20,000 draws; beta other than 1 included."""
    params = toy.params(np.array([0.5, 0.2]), np.array([-0.8, 0.3]))
    drawn = gradients(BOUNDS[name](toy.MODEL, toy.LIKELIHOOD, 2), params, hparams(penalty=beta), 20_000)
    bias = -np.asarray(drawn["encoder"]["Dense_0"]["bias"], np.float64)[:, [0, 2]]
    assert (np.abs(bias.mean(0) - expected_bound_gradient(beta)) < 5 * standard_error(bias)).all()
    assert (standard_error(bias) < 0.1 * np.abs(expected_bound_gradient(beta))).all()


def test_double_reparameterisation_keeps_the_decoders_gradient_and_calms_the_encoders():
    """At the exact posterior the encoder's gradient vanishes draw by draw; the plain one only in the mean."""
    plain, double = (
        gradients(build(toy.MODEL, toy.LIKELIHOOD, 4), toy.params(), hparams(), 50) for build in BOUNDS.values()
    )
    for a, b in zip(*(jax.tree.leaves(tree["decoder"]) for tree in (plain, double)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    size = [np.abs(tree["encoder"]["Dense_0"]["bias"]).max() for tree in (plain, double)]
    assert size[1] < 1e-4 < 1e-2 < size[0]


def test_free_bits_by_hand():
    """Latents of 0.5 and 0.005 nats under 0.1 free nats count 0.5 and 0.1, and the second has no gradient."""
    objective = variational.free_bits(toy.MODEL, toy.LIKELIHOOD, 0.1)
    layer = {"kernel": np.zeros((toy.PIXELS, 4)), "bias": np.array([1.0, 0.1, 0.0, 0.0])}
    decoder = jax.tree.map(np.zeros_like, toy.params()["params"]["decoder"])
    params = {"params": {"encoder": {"Dense_0": layer}, "decoder": decoder}}

    def cost(params):
        loss, metrics = objective.loss(params, jax.random.key(0), toy.batch(), hparams(penalty=2.0), True)
        return (loss - metrics["distortion"]).mean(), metrics["rate"]

    (value, rate), gradient = jax.jit(jax.value_and_grad(cost, has_aux=True))(params)
    np.testing.assert_allclose(value, 2.0 * 0.6, rtol=1e-5)
    np.testing.assert_allclose(rate, 0.505, rtol=1e-5)
    np.testing.assert_allclose(gradient["params"]["encoder"]["Dense_0"]["bias"], [2.0, 0, 0, 0], atol=1e-6)


def test_wae_adds_the_mmd_of_the_batch(batch):
    params, key = start("wae"), jax.random.key(1)
    without, with_mmd = (
        jax.tree.map(np.asarray, scored("wae")(params, key, batch, hparams(penalty=p))) for p in (0.0, 100.0)
    )
    infer = jax.jit(lambda key: variational.infer(MODEL, BERNOULLI, params, key, batch, hparams(), True))
    posterior = infer(key)
    mmd = np.asarray(jax.jit(distributions.mmd)(posterior.mean, posterior.log_variance))
    np.testing.assert_allclose(with_mmd[0] - without[0], 100 * mmd, atol=1e-2)
    assert mmd.mean() > 0.003
    np.testing.assert_array_equal(without[0], without[1]["distortion"])


def test_the_quantiser_takes_the_nearest_code():
    quantiser = VectorQuantiser(codes=4, code_size=2)
    book = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]], np.float32)
    vectors = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    chosen, indices = made.apply(quantiser, {"params": {"book": book}}, vectors)
    nearest = np.square(vectors[..., None, :] - book).sum(-1).argmin(-1)
    np.testing.assert_array_equal(indices, nearest)
    np.testing.assert_array_equal(chosen, book[nearest])
    start = np.asarray(made.init(quantiser, vectors)["params"]["book"])
    assert np.abs(start).max() <= 0.25 and start.min() < 0 < start.max()


def test_straight_through_by_hand(batch):
    """The encoder's gradient is the decoder's at the quantised vector plus the commitment's; the book's is its own."""
    params = start("vq")
    key, numbers = jax.random.key(1), hparams(penalty=0.25)

    @jax.jit
    def by_hand(params, key):
        images = BERNOULLI.observe(jax.random.split(key, 3)[0], batch.images)
        vectors, pull = jax.vjp(lambda p: QUANTISED.apply(p, images, method="encode"), params)
        quantised, indices = QUANTISED.apply(params, vectors, method="quantise")

        def energy(codes):
            return BERNOULLI.energy(params, QUANTISED.apply(params, codes, method="logits"), images).mean()

        at_codes = jax.grad(energy)(quantised) + 0.25 * 2 * (vectors - quantised) / len(images)
        return pull(at_codes)[0]["params"]["encoder"], indices, quantised - vectors

    encoder, indices, moves = by_hand(params, key)
    ours = scored("vq")(params, key, batch, numbers)[2]["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours["encoder"], encoder)
    book = np.zeros((5, 2))
    np.add.at(book, np.ravel(indices), 2 * np.reshape(moves, (-1, 2)) / len(batch.images))
    np.testing.assert_allclose(ours["quantiser"]["book"], book, rtol=1e-4, atol=1e-5)


def test_perplexity_of_a_batch_counts_the_codes_in_use(batch):
    params = start("vq")
    _, metrics, _ = scored("vq")(params, jax.random.key(1), batch, hparams())
    # Black and white images are their own draw.
    vectors = made.apply(QUANTISED, params, batch.images, method="encode")
    _, indices = made.apply(QUANTISED, params, vectors, method="quantise")
    _, counts = np.unique(indices, return_counts=True)
    shares = counts / counts.sum()
    np.testing.assert_allclose(metrics["perplexity"], np.exp(-(shares * np.log(shares)).sum()), rtol=1e-5)
    np.testing.assert_allclose(metrics["rate"], 3 * np.log(5), rtol=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("units,logits", [(1e4, 1000.0), (-1e4, -1000.0), (1e4, None)])
def test_losses_and_gradients_are_finite_at_extreme_outputs(name, units, logits, batch):
    """Encoder outputs of +-1e4, means and log-variances alike; logits of +-1000, or what such codes make of them."""
    params = with_bias(start(name), "encoder", units)
    if logits is not None:
        params = with_bias(params, "decoder", logits, kernel=0.0)
    loss, metrics, gradient = scored(name)(params, jax.random.key(1), batch, hparams())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((loss, metrics, gradient)))
    if name != "vq":
        np.testing.assert_array_equal(metrics["clipped"], 1.0)


@pytest.mark.parametrize("name", ["elbo", "wae", "vq"])
def test_duplicating_the_batch_changes_no_loss(name, batch):
    """Up to rounding; codes are their means, to 1e-4, and black and white images are their own draw."""
    params = start(name) if name == "vq" else with_bias(start(name), "encoder", NARROW)
    twice = Batch(*(np.concatenate([leaf, leaf]) for leaf in batch))
    once, doubled = (scored(name)(params, jax.random.key(0), b, hparams())[0] for b in (batch, twice))
    assert once.shape == (6,)
    np.testing.assert_allclose(doubled, np.tile(once, 2), rtol=1e-4)
    assert np.ptp(once) > 0.1


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_images_loss_does_not_depend_on_its_neighbours(name, batch, data):
    """All noise included; the MMD is the batch's."""
    others = made.take(data, np.array([0, 11, 12, 13, 14, 15]))
    one, other = (np.asarray(scored(name)(start(name), jax.random.key(1), b, hparams())[0]) for b in (batch, others))
    assert (abs(one[0] - other[0]) < 1e-3) == (name != "wae")
    assert (abs(one[1:] - other[1:]) > 1e-2).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_keys_are_used_once_and_every_key_draws_afresh(name, batch, key_reuse_check):
    """With dropout; grey images, so that dynamic binarisation draws too."""
    grey = batch._replace(images=0.5 * np.asarray(batch.images))
    loss = jax.jit(lambda key: OBJECTIVES[name].loss(start(name), key, grey, hparams(dropout=0.2), True)[0])
    first, second = (loss(jax.random.key(k)) for k in (1, 2))
    assert not np.allclose(first, second)


def test_beta_differs_between_lanes_of_one_program(data):
    """A larger KL weight gives a lower rate and a higher distortion; the metrics are those of the bound itself."""
    objective = OBJECTIVES["elbo"]
    lanes = make_lanes(hparams(learning_rate=3e-3, penalty=[0.1, 1.0, 30.0], warmup=10, epochs=8))
    splits = stack_splits([(np.arange(160), np.arange(160, 200))])
    results = trials.run_lanes(objective, Plan(batch_size=16), lanes, data, splits, Settings(segment=8))
    assert np.isfinite(results.curves.train_loss).all()
    scores = evaluation.score(results, jax.random.key(0), data)
    rate, distortion = np.asarray(scores["rate"]), np.asarray(scores["distortion"])
    assert (np.diff(rate) < 0).all() and (np.diff(distortion) > 0).all()
    np.testing.assert_allclose(scores["loss"], distortion + lanes.hparams.penalty * rate, rtol=1e-4)
    np.testing.assert_allclose(scores["elbo"], -distortion - rate, rtol=1e-4)


def test_the_learned_variance_learns(data):
    objective, numbers = OBJECTIVES["gaussian"], hparams(learning_rate=0.01)
    state = made.init_state(objective, Plan(16), jax.random.key(0), numbers)
    batch = made.take(data, np.arange(16))
    for _ in range(30):
        state, _ = made.train_step(objective, Plan(16), state, numbers, batch)
    assert state.params["params"]["likelihood"]["log_variance"] < -0.2


def test_a_convolutional_vae_encodes_decodes_and_reconstructs():
    """Report C's, with two convolutions; the reconstruction is from the mean, and pixels are sigmoids of logits."""
    model = conv_vae(3, channels=(2, 4), hidden=8)
    images = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(np.float32)

    @jax.jit
    def run(key):
        params = model.init(key, images)
        mean, log_variance = model.apply(params, images, method="encode")
        outputs = [model.apply(params, mean, method=name) for name in ("decode", "logits")]
        return mean, log_variance, *outputs, model.apply(params, images)

    mean, log_variance, decoded, logits, reconstruction = run(jax.random.key(1))
    assert mean.shape == log_variance.shape == (3, 3)
    assert not np.allclose(mean, log_variance)
    assert decoded.shape == images.shape
    np.testing.assert_allclose(decoded, scipy.special.expit(logits), rtol=1e-6)
    np.testing.assert_allclose(decoded, reconstruction, rtol=1e-6)


def test_a_convolutional_vqvae_reconstructs_from_quantised_vectors():
    model = conv_vqvae(codes=6, code_size=3, positions=4, channels=(2, 4), hidden=8)
    images = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(np.float32)

    @jax.jit
    def run(key):
        params = model.init(key, images)
        vectors = model.apply(params, images, method="encode")
        quantised, _ = model.apply(params, vectors, method="quantise")
        return vectors, model.apply(params, quantised, method="decode"), model.apply(params, images)

    vectors, decoded, reconstruction = run(jax.random.key(1))
    assert vectors.shape == (3, 4, 3)
    assert decoded.shape == images.shape
    np.testing.assert_allclose(decoded, reconstruction, rtol=1e-6)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: variational.iwae(MODEL, BERNOULLI, 0), "samples 0 is not allowed"),
        (lambda: variational.iwae_doubly_reparameterised(MODEL, BERNOULLI, 0), "samples 0 is not allowed"),
        (lambda: variational.free_bits(MODEL, BERNOULLI, -1.0), "nats -1.0 is not allowed"),
        (lambda: _start(VAE(toy.Affine((3,)), toy.Affine((4, 1, 1)))), "encoder of 3 units.*latent=2"),
        (lambda: _start(VQVAE(toy.Affine((3,)), VectorQuantiser(4, 2), toy.Affine((4, 1, 1)))), "multiple of 2"),
        (lambda: conv_vae(2, channels=()), "channels"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def _start(model):
    return made.init(model, toy.images())


def test_equal_models_share_one_objective():
    first, second = (variational.elbo(conv_vae(3), distributions.gaussian(1.0)) for _ in range(2))
    assert first is second
