"""The benchmarks: what they count, how they compare, that each of them runs; their speed is nobody's test."""

import functools
import gc
import json
import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import distributions, optimizers, posterior
from ae_jax.data import load
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Batch, Plan, UsageError, hparams
from ae_jax.vae import dense_vae
from benchmarks import (
    __main__ as everything,
    accelerator,
    compile as compiling,
    counts,
    epoch,
    lanes,
    likelihood,
    machine,
    memory,
    networks,
    parts,
    precision,
    report,
    roofline,
    shares,
    step,
    timing,
)
from benchmarks.networks import NETWORKS, Network
from benchmarks.programs import Case
from tests.made import alone, init

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Compiling as fast as can be, no waiting before a timed call; afterwards JAX's settings as they were."""
    names = "jax_enable_compilation_cache", "jax_compilation_cache_dir", "jax_default_matmul_precision"
    before = {name: getattr(jax.config, name) for name in names}
    before["jax_disable_most_optimizations"] = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "1"
    jax.config.update("jax_disable_most_optimizations", True)
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # in child processes, too
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    monkeypatch.setattr(timing, "SETTLE", 0.0)
    monkeypatch.setattr(timing.gc, "collect", lambda: 0)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def tiny(monkeypatch):
    """The name of a network that compiles in a second, for the length of a test."""
    network = Network(
        ours=lambda: autoencoder(dense_autoencoder(2, (8,))),
        linen=lambda rate: autoencoder(dense_autoencoder(2, (8,))),
        products=2 * (784 * 8 + 8 * 2),
        hidden=(8, 8),
        other=2 + 784,
        parameters=2 * (784 * 8 + 8 * 2) + (8 + 2) + (8 + 784),
    )
    monkeypatch.setitem(NETWORKS, "tiny", network)
    return "tiny"


def command_line(monkeypatch, capsys, module, *arguments):
    """Exit code and stderr of a benchmark's command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    with pytest.raises(SystemExit) as end:
        if hasattr(module, "QUICK"):
            report.main(module.NAME, module.Options, module.QUICK, module.run)
        else:
            report.guard(module.Options, module.run)
    return end.value.code, capsys.readouterr().err


def write(path, rows, **meta):
    measurements = [
        {"case": "c", "contestant": name, "unit": "s", "quartiles": triple} for name, triple in rows.items()
    ]
    path.write_text(json.dumps({"meta": meta, "measurements": measurements}))
    return path


# What is counted


@pytest.mark.parametrize("name", ["conv", "dense", "conv_vae", "tiny"])
def test_parameters_are_counted_right(tiny, name):
    shapes = jax.eval_shape(NETWORKS[name].ours().init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == NETWORKS[name].parameters
    if name != "tiny":
        peer = jax.eval_shape(NETWORKS[name].linen(0.0).init, jax.random.key(0))
        assert sum(leaf.size for leaf in jax.tree.leaves(peer)) == NETWORKS[name].parameters


@pytest.mark.parametrize("name", ["conv", "dense", "conv_vae"])
def test_linens_networks_fit_their_loss(name):
    """In training, with dropout; traced, not run."""
    objective, batch = NETWORKS[name].linen(0.1), Batch(jnp.zeros((3, 28, 28, 1)), jnp.zeros(3, jnp.int32))
    params = jax.eval_shape(objective.init, jax.random.key(0))
    step = functools.partial(objective.loss, train=True)
    loss, _ = jax.eval_shape(step, params, jax.random.key(0), batch, hparams())
    assert loss.shape == (3,)


def test_cost_by_hand():
    """784-500-500-5 and back on a batch of 10: six FLOPs a multiplication, eight floats a parameter."""
    products, parameters = 2 * (392_000 + 250_000 + 2_500), 1_291_789
    cost = roofline.by_hand("dense", 10)
    assert cost.flops == 6 * 10 * products
    assert cost.bytes == 10 * (784 + 20 * (4 * 500 + 5 + 784)) + 32 * parameters


def test_xlas_count_is_that_of_the_products_and_little_more(tiny):
    """Elementwise work comes on top of them."""
    counted = roofline.by_xla("tiny", 64)
    # No gradient with respect to the image: a third of the first layer's share is missing from XLA's count.
    products = 2 * 64 * (3 * NETWORKS["tiny"].products - 784 * 8)
    assert products < counted.flops < 2 * products


def test_xlas_count_is_of_all_microbatches():
    """Four times the batch, in as many microbatches: four times the products, not those of one of them."""
    small, large = (roofline.by_xla("conv", size).flops for size in (32, 128))
    assert 3.5 < large / small < 4.1
    assert large > 2 * 128 * 2.5 * NETWORKS["conv"].products


def test_bound_is_the_nearer_roof():
    peaks = machine.Peaks(flops=100.0, bandwidth=10.0)
    assert roofline.bound(roofline.Cost(200.0, 10.0), peaks) == (2.0, "compute")
    assert roofline.bound(roofline.Cost(200.0, 30.0), peaks) == (3.0, "memory")


def test_fused_adam_is_the_optimizer_of_the_training_step():
    numbers = hparams(learning_rate=0.01, l2=0.1)
    params = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(4)}
    fused = params, *(jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    rule = optimizers.build(Plan(), numbers)
    opt_state = rule.init(params)
    for count in (1.0, 2.0, 3.0):
        gradients = jax.tree.map(lambda leaf, count=count: jnp.sin(leaf + count), params)
        updates, opt_state = rule.update(gradients, opt_state, params)
        params = jax.tree.map(jnp.add, params, updates)
        fused = shares.fused_adam(*fused, jnp.float32(count), gradients, numbers)
    for ours, expected in zip(jax.tree.leaves(fused[0]), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells the peak of a process")
def test_the_measured_peak_is_that_since_the_start():
    np.ones(64 * 2**20, np.uint8)  # before the start: forgotten
    before = memory._start_peak()
    np.ones(32 * 2**20, np.uint8)
    assert 30 * 2**20 < memory._peak() - before < 48 * 2**20


# Comparison


@pytest.mark.parametrize(
    "after, expected",
    [((1.0, 2.0, 3.0), "same"), ((3.0, 4.0, 5.0), "same"), ((3.1, 4.0, 5.0), "more"), ((0.1, 0.2, 0.9), "less")],
)
def test_change_is_beyond_the_quartiles(after, expected):
    assert report.change((1.0, 2.0, 3.0), after) == expected


def test_compare(tmp_path, capsys):
    old = {"fast": (1.0, 2.0, 3.0), "slow": (10.0, 20.0, 30.0), "gone": (1.0, 1.0, 1.0), "even": (1.0, 1.0, 1.0)}
    new = {"fast": (0.4, 0.5, 0.6), "slow": (31.0, 40.0, 50.0), "new": (1.0, 1.0, 1.0), "even": (1.0, 1.5, 2.0)}
    files = write(tmp_path / "a.json", old, device="x"), write(tmp_path / "b.json", new, device="y")
    report.compare(*files)
    lines = capsys.readouterr().out.splitlines()
    assert "caution: device differs: x against y" in lines
    assert [line.split() for line in lines if line.startswith("c ") and "contestant" not in line] == [
        ["c", "fast", "2", "s", "0.5", "s", "0.250", "less"],
        ["c", "slow", "20", "s", "40", "s", "2.000", "more"],
        ["c", "even", "1", "s", "1.5", "s", "1.500", "same"],
    ]
    assert "2 row(s) in one file only" in lines[-1]


@pytest.mark.parametrize("content", ["", "[]", '{"meta": {}, "measurements": [{"case": "c"}]}', None])
def test_compare_refuses_what_is_no_result_file(tmp_path, monkeypatch, capsys, content):
    good, bad = write(tmp_path / "good.json", {"a": (1.0, 2.0, 3.0)}), tmp_path / "bad.json"
    if content is not None:
        bad.write_text(content)
    code, error = command_line(monkeypatch, capsys, everything, "--compare", str(good), str(bad))
    assert code == 2 and error.startswith("error: ") and "bad.json" in error and error.count("\n") == 1


def test_compare_needs_something_in_common(tmp_path):
    files = write(tmp_path / "a.json", {"a": (1.0, 1.0, 1.0)}), write(tmp_path / "b.json", {"b": (1.0, 1.0, 1.0)})
    with pytest.raises(UsageError, match="no measurement in common"):
        report.compare(*files)


# Command lines


@pytest.mark.parametrize(
    "module, arguments, part",
    [
        (step, ["--repeat"], "Unrecognized"),
        (step, ["--batch-sizes", "0"], "--batch-sizes 0 is not allowed"),
        (step, ["--batch-sizes"], "--batch-sizes has no value"),
        (step, ["--networks", "cnn"], "choose among conv, dense"),
        (step, ["--dropout", "1"], "rates in [0, 1)"),
        (lanes, ["--out", "/proc/none/x.json"], "cannot write there"),
        (compiling, ["--repeats", "-1"], "--repeats -1 is not allowed"),
        (everything, ["--repeats", "0"], "--repeats 0 is not allowed"),
        (likelihood, ["--networks", "conv"], "conv_vae"),
        (likelihood, ["--samples", "0"], "--samples 0 is not allowed"),
        (accelerator, ["--only", "everything"], "A1"),
        (accelerator, ["--seconds", "0"], "--seconds 0 is not allowed"),
    ],
)
def test_bad_input_is_one_line(monkeypatch, capsys, tmp_path, module, arguments, part):
    monkeypatch.chdir(tmp_path)
    code, error = command_line(monkeypatch, capsys, module, *arguments)
    assert code == 2 and error.startswith("error: ") and part in error and error.count("\n") == 1


def test_pytorch_is_asked_for_and_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    arguments = "--torch", "yes", "--out", str(tmp_path / "out.json")
    code, error = command_line(monkeypatch, capsys, epoch, *arguments)
    assert code == 2 and "pip install '.[peers]'" in error and error.count("\n") == 1


def test_quick_changes_defaults_and_nothing_else(monkeypatch):
    for arguments, repeats, batch_sizes in ([], 7, (32, 128, 512)), (["--quick", "--batch-sizes", "4"], 2, (4,)):
        seen = []
        monkeypatch.setattr(sys, "argv", ["step", *arguments])
        report.main(step.NAME, step.Options, step.QUICK, seen.append)
        assert (seen[0].repeats, seen[0].batch_sizes) == (repeats, batch_sizes)
        assert seen[0].out == Path("results/benchmarks/step.json")


# Every benchmark, once


def measured(module, tmp_path, **options):
    """The rows of a tiny run, which leaves PyTorch out."""
    out = tmp_path / "out.json"
    without = {"torch": "no"} if hasattr(module.Options, "torch") else {}
    module.run(module.Options(**{**module.QUICK, **without, "quick": True, "out": out, **options}))
    meta, rows = report.load(out)
    assert {"jax", "python"} <= meta["versions"].keys() and "device" in meta
    assert all(len(row["samples"]) >= 1 for row in rows.values())
    return meta, {contestant: row for (_, contestant), row in rows.items()}


def test_step(tiny, tmp_path, capsys):
    meta, rows = measured(step, tmp_path, networks=(tiny,))
    assert list(rows) == ["ours", "Linen layers, same scan", "Linen layers, a call a step"]
    ours = rows["ours"]
    seconds = max(ours["flops"] / meta["peaks"]["flops"], ours["bytes"] / meta["peaks"]["bandwidth"])
    np.testing.assert_allclose(ours["share_of_roof"], seconds / ours["quartiles"][1])
    assert ours["ratio_quartiles"] == [1.0, 1.0, 1.0] and ours["compile_seconds"] > 0
    assert "of roof" in capsys.readouterr().out


@pytest.mark.parametrize("network, layouts", [("conv", 2), ("dense", 1), ("conv_vae", 2)])
def test_convolutions_have_a_contestant_for_each_layout(network, layouts):
    found = step.contestants(Case(network, 8), report.random_images(8), has_torch=True, torch_compile=0)
    assert sum(name.startswith("PyTorch eager") for name in found) == layouts


def test_lanes(tmp_path, capsys, monkeypatch, tiny):
    monkeypatch.setitem(NETWORKS, "conv", NETWORKS["tiny"])
    _, rows = measured(lanes, tmp_path)
    assert list(rows) == ["ours, 1 lane(s)", "ours, 2 lane(s)"]
    assert "trials/hour" in capsys.readouterr().out


def test_epoch(tiny, tmp_path):
    _, rows = measured(epoch, tmp_path, networks=(tiny,))
    assert list(rows) == ["ours, one scan", "ours, a jitted call a step"]
    assert len(rows["ours, one scan"]["samples"]) == 2


def test_compile(tiny, tmp_path, monkeypatch):
    """Each of three programs is found in the cache when it is compiled again, and not before."""
    events, hits, phases = [], [], compiling.phases
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))

    def watched(trace):
        events.clear()
        seconds = phases(trace)
        hits.append("/jax/compilation_cache/cache_hits" in events)
        return seconds

    monkeypatch.setattr(compiling, "phases", watched)
    _, rows = measured(compiling, tmp_path, networks=(tiny,))
    assert hits == [False, True] * 3
    assert list(rows) == [
        f"{phase}, {cache}" for cache in ("cold", "cached") for phase in ("trace", "lower", "compile")
    ]


@pytest.mark.parametrize(
    ("study", "groups", "lanes", "programs"),
    [
        ("random_search_A1", 1, 174, 1),
        ("transfer_C3", 7, 7, 7),
        ("smoothness", 0, 0, 0),  # it reads a model
    ],
)
def test_programs_are_counted_without_training(study, groups, lanes, programs):
    """All trials of A1 are one program; C3's autoencoder is followed by three classifiers, of all labels and of few."""
    assert counts.count(study, load("digits")) == (study, groups, lanes, programs)


def test_memory(tmp_path, monkeypatch):
    """As it is run, in a process of its own."""
    monkeypatch.chdir(ROOT)
    _, rows = measured(memory, tmp_path, lanes=(2,))
    # Parameters, two moments and the best parameters: 4 floats a parameter before and after.
    floats = 2 * 4 * NETWORKS["dense"].parameters
    assert 4 * floats < rows["planned"]["quartiles"][1] < 4 * 3 * floats
    assert 0.3 < rows["measured"]["quartiles"][1] / rows["planned"]["quartiles"][1] < 3


def test_shares(tiny, tmp_path):
    _, rows = measured(shares, tmp_path, networks=(tiny,))
    assert list(rows)[0] == shares.STEP and len(rows) == 10


def test_precision(tiny, tmp_path, capsys):
    _, rows = measured(precision, tmp_path, networks=(tiny,))
    assert list(rows) == ["float32", "tf32", "bfloat16"] and rows["float32"]["change"] == [0.0, 0.0]
    assert all(change != 0.0 for change in rows["bfloat16"]["change"])
    assert "validation loss" in capsys.readouterr().out


def test_factors_are_rounded_forwards_and_backwards():
    """A product behind a jit and an activation with a derivative of its own, against bfloat16 factors by hand."""
    a, b = jax.random.normal(jax.random.key(0), (2, 30, 30))

    def loss(a, b):
        return jnp.sum(jnp.square(jax.nn.relu(jax.jit(jnp.matmul)(a, b))))

    def bfloat16(x):
        return x.astype(jnp.bfloat16).astype(jnp.float32)

    hidden = bfloat16(a) @ bfloat16(b)
    outer = bfloat16(2.0 * jax.nn.relu(hidden))
    expected = outer @ bfloat16(b).T, bfloat16(a).T @ outer
    for found, by_hand in zip(precision.rounded(jax.grad(loss, (0, 1)), 7)(a, b), expected, strict=True):
        np.testing.assert_allclose(found, by_hand, rtol=1e-4, atol=1e-3)
    assert not np.allclose(expected[0], jax.grad(loss)(a, b), rtol=1e-4, atol=1e-3)


def test_masks_of_shares_have_the_rate(tiny):
    """One step of each generator keeps nine units in ten, within five standard deviations."""
    units = sum(NETWORKS["tiny"].hidden) * 2_000
    started = shares.pieces("tiny", 2_000, report.random_images(2_000))
    for name, start in started.items():
        if name.startswith("masks"):
            assert abs(start().run() / units - 0.9) < 5 * np.sqrt(0.09 / units)


def test_likelihood(tmp_path, capsys, monkeypatch):
    """A fresh decoder hardly knows a pixel: log 2 nats each, within a hundredth."""
    monkeypatch.setitem(likelihood.MODELS, "dense_vae", dense_vae(2, (8,)))
    _, rows = measured(likelihood, tmp_path, images=40)
    assert list(rows) == ["ours"]
    np.testing.assert_allclose(rows["ours"]["negative_log_likelihood"], 784 * np.log(2), rtol=0.02)
    assert "samples/s" in capsys.readouterr().out


def test_unavailable_contestants_are_named_and_left_out(capsys):
    def missing():
        raise timing.Unavailable("there is no compiler")

    timings = timing.measure({"here": lambda: timing.Program(lambda: 1.0), "not": missing}, 2)
    assert list(timings) == ["here"] and len(timings["here"].samples) == 2
    assert "not is left out: there is no compiler" in capsys.readouterr().out


def test_short_calls_settle_before_they_are_timed(monkeypatch):
    """By a clock that only calls move on: two untimed calls of 0.2 s fit, of 0.6 s none; two calls come before.

    Before each timed call a pause and a collection of garbage, then none until it is over.
    """
    now, before = [0.0], []
    monkeypatch.setattr(timing, "PAUSE", 0.05)
    monkeypatch.setattr(timing, "SETTLE", 0.5)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing.time, "sleep", before.append)
    monkeypatch.setattr(timing.gc, "collect", lambda: before.append("collected"))
    calls = {0.2: 0, 0.6: 0}

    def start(seconds):
        def run():
            assert not gc.isenabled()
            now[0] += seconds
            calls[seconds] += 1
            return 0.0

        return timing.Program(run)

    timings = timing.measure({str(seconds): functools.partial(start, seconds) for seconds in calls}, 3)
    assert calls == {0.2: 2 + 3 * 3, 0.6: 2 + 3}
    np.testing.assert_allclose(timings["0.2"].samples, [0.2] * 3)
    assert before == [0.05, "collected"] * 2 * (2 + 3) and gc.isenabled()


def test_programs_of_a_study_are_counted(tmp_path):
    cold, cached = compiling.count_programs("anomaly", "--limit", "100", "--batch-size", "16", "--epochs", "1")
    assert (cold["training"], cold["programs"]) == (cached["training"], cached["programs"]) and cold["training"] == 1
    assert cached["samples"][0] < cold["samples"][0]
    with pytest.raises(UsageError, match="no study 'A7': choose all, or among compression"):
        compiling.run(compiling.Options(studies=("A7",), out=tmp_path / "compile.json"))


def test_parts_end_at_their_limit_with_all_their_processes(tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text(
        "import pathlib, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\npathlib.Path('pid').write_text(str(child.pid))\ntime.sleep(60)\n"
    )
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    outcome = parts.run(parts.Part("slow", "slow", limit=1.5))
    assert outcome["outcome"].startswith("stopped") and outcome["seconds"] < 10
    time.sleep(0.1)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/status")
    assert not status.exists() or "zombie" in status.read_text()
    assert parts.run(parts.Part("broken", "broken"))["outcome"] == "failed with exit code 3"
    assert parts.run(parts.Part("late", "broken", limit=9.0), left=0.0)["outcome"] == "no time left"


def test_accelerator(tmp_path, monkeypatch):
    """The search of report A, tiny; all limits together stay under ten minutes."""
    assert sum(part.limit for part in accelerator.plan(accelerator.Options())) < 600
    monkeypatch.chdir(ROOT)
    words = ["accelerator", "--quick", "--dataset", "digits", "--only", "A1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    report.guard(accelerator.Options, accelerator.run)
    (outcome,) = json.loads((tmp_path / accelerator.SUMMARY).read_text())
    assert outcome["outcome"] == "done" and outcome["trials"] == 2
    assert 0 < outcome["train_seconds"] < outcome["wall_seconds"] < outcome["seconds"]


@pytest.mark.parametrize("quick", [False, True])
def test_accelerator_asks_for_what_the_benchmarks_take(monkeypatch, tmp_path, quick):
    modules = {module.NAME: module for module in (step, lanes, epoch, compiling, memory, shares, likelihood, precision)}
    plan = [part for part in accelerator.plan(accelerator.Options(quick=quick, out=tmp_path)) if part.name != "A1"]
    assert {part.name for part in plan} == modules.keys() == set(everything.BENCHMARKS)
    for part in plan:
        seen, module = [], modules[part.name]
        monkeypatch.setattr(sys, "argv", [part.module, *part.arguments])
        report.main(module.NAME, module.Options, module.QUICK, seen.append)
        assert seen[0].out == tmp_path / f"{part.name}.json" and seen[0].quick == quick


# Against PyTorch


@pytest.mark.peers
@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_counted_right(name):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import torch_peers

    sizes, (module, _) = NETWORKS[name], torch_peers.network(name, 0.0)
    hidden = []
    for layer in module.modules():
        if isinstance(layer, torch.nn.ReLU):
            layer.register_forward_hook(lambda layer, inputs, output: hidden.append(output.numel()))
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 1, 28, 28))
    assert counter.get_total_flops() == 2 * sizes.products
    assert tuple(hidden) == sizes.hidden
    assert sum(parameter.numel() for parameter in module.parameters()) == sizes.parameters


@pytest.mark.peers
def test_pytorchs_bound_is_ours():
    """From the same logits and posteriors, some of them wild."""
    torch = pytest.importorskip("torch")
    from benchmarks import torch_networks

    rng = np.random.default_rng(0)
    logits, images = np.float32(rng.normal(0, 30, (5, 28, 28, 1))), np.float32(rng.uniform(size=(5, 28, 28, 1)))
    mean, log_variance = np.float32(rng.normal(0, 3, (2, 5, 2)))
    outputs = [torch.from_numpy(array) for array in (logits, mean, log_variance)]
    distortion = -networks.LIKELIHOOD.log_prob({}, jnp.asarray(logits), jnp.asarray(images))
    rate = distributions.kl_divergence(mean, log_variance).sum(-1)
    found = torch_networks.negative_elbo(outputs, torch.from_numpy(images))
    np.testing.assert_allclose(found.item(), (distortion + rate).mean(), rtol=1e-5)


def vaes(name):
    """Ours, with parameters whose posteriors are a nat or two from the prior, and PyTorch's with the same."""
    from benchmarks import torch_networks

    model, module = {
        "dense_vae": (dense_vae(2, (8,), jax.nn.tanh), torch_networks.dense_vae(2, (8,))),
        "conv_vae": (networks.CONV_VAE, torch_networks.conv_vae()),
    }[name]
    params = init(model, jnp.zeros((1, 28, 28, 1)))
    params["params"]["encoder"] = jax.tree.map(lambda leaf: 3 * leaf, params["params"]["encoder"])
    torch_networks.copy_parameters(params, module)
    return model, params, module.requires_grad_(False)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["dense_vae", "conv_vae"])
def test_copied_parameters_are_the_same_network(name):
    torch = pytest.importorskip("torch")
    model, params, module = vaes(name)
    images, codes = np.float32(report.random_images(5) / 255), np.float32(np.random.default_rng(0).normal(size=(5, 2)))
    apply = jax.jit(model.apply, static_argnames="method")
    theirs = *module.encode(torch.from_numpy(images.transpose(0, 3, 1, 2))), module.decoder(torch.from_numpy(codes))
    ours = *apply(params, images, method="encode"), apply(params, codes, method="logits").transpose(0, 3, 1, 2)
    for mine, peer in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, peer.numpy(), rtol=0, atol=1e-5 * peer.abs().max().item())


@pytest.mark.peers
@pytest.mark.parametrize("name, codes_at_once", [("dense_vae", 700), ("dense_vae", 2500), ("conv_vae", 2500)])
def test_pytorchs_likelihood_is_ours(name, codes_at_once):
    """Of each image, in 700 and 300 samples or two images at once; the images differ by several nats.

    The standard errors of the differences are a quarter of the tolerances.
    """
    torch = pytest.importorskip("torch")
    from benchmarks import torch_networks

    torch.manual_seed(0)
    model, params, module = vaes(name)
    images = np.float32(report.random_images(5) > 127)
    ours = posterior.importance_nll(alone(model, params, networks.LIKELIHOOD), jax.random.key(0), images, 1000)
    theirs = torch_networks.importance_nll(module, torch.from_numpy(images.transpose(0, 3, 1, 2)), 1000, codes_at_once)
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=0, atol=0.8)
    np.testing.assert_allclose(theirs.mean().item(), ours.mean(), rtol=0, atol=0.25)


@pytest.mark.peers
def test_both_contestants_of_the_likelihood_find_the_same(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from benchmarks import torch_networks

    monkeypatch.setitem(likelihood.MODELS, "dense_vae", dense_vae(2, (8,), jax.nn.tanh))
    monkeypatch.setitem(torch_networks.VAES, "dense_vae", lambda: torch_networks.dense_vae(2, (8,)))
    _, rows = measured(likelihood, tmp_path, torch="yes", images=20, samples=100)
    ours, theirs = (rows[name]["negative_log_likelihood"] for name in ("ours", "PyTorch eager"))
    assert 0 < abs(ours - theirs) < 0.5  # other draws; another seed's parameters are nats away


@pytest.mark.peers
def test_vmapped_adam_is_pytorchs():
    torch = pytest.importorskip("torch")
    from benchmarks import torch_peers

    parameter = torch.linspace(-1, 1, 7, requires_grad=True)
    optimizer = torch.optim.Adam([parameter], lr=0.01)
    ours, first, second = parameter.detach().clone(), torch.zeros(7), torch.zeros(7)
    for count in range(1, 6):
        parameter.grad = torch.cos(parameter.detach() * count)
        ours, first, second = torch_peers.adam(ours, first, second, torch.tensor(count), parameter.grad, 0.01)
        optimizer.step()
    torch.testing.assert_close(ours, parameter.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.peers
@pytest.mark.parametrize("name", NETWORKS)
def test_pytorchs_loops_learn(blobs, name):
    """Every loop brings the loss well below its start; the vmapped one trains several trials."""
    torch = pytest.importorskip("torch")
    from benchmarks import torch_peers

    torch.set_num_threads(1)
    torch.manual_seed(0)
    arguments = name, 0.1, blobs, 20
    programs = [
        torch_peers.memory_program(*arguments),
        torch_peers.loader_program(*arguments),
        torch_peers.vmap_program(*arguments, 2),
    ]
    for program in programs:
        first = program.run()
        assert min(program.run() for _ in range(3)) < 0.9 * first


@pytest.mark.peers
def test_torch_compile_is_left_out_without_a_compiler_or_past_its_limit(blobs, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_peers

    monkeypatch.setenv("CXX", sys.executable)  # any program that is there: nothing is compiled here
    monkeypatch.setattr(torch, "compile", lambda module, mode: lambda images: time.sleep(60))
    with pytest.raises(timing.Unavailable, match="took longer than 1 s"):
        torch_peers.compiled_program("dense", 0.0, blobs, 20, 1)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(timing.Unavailable, match="there is no no-such-compiler"):
        torch_peers.compiled_program("dense", 0.0, blobs, 20, 1)
