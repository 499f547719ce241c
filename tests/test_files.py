"""Runs on the disk: every family comes back bit for bit, in another process too; what is no such file is refused."""

import dataclasses
import json
import random
import struct
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import linen as nn

from ae_jax import files, latent, objectives, recipes, results, runs
from ae_jax.lanes import DIVERGED, DONE, lane_grid
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import parameter_shapes
from ae_jax.runs import Cost, Curves, Run, of_params
from ae_jax.types import Plan, UsageError
from tests.test_damaged_files import assert_one_line
from tests.test_recipes import EVERYTHING


def trained(objective, shape=(), epochs=3) -> Run:
    """A run of ``shape`` as training leaves it, from random numbers: its last lane diverged, if there are several."""
    rng = np.random.default_rng(0)
    lanes = lane_grid(**dict(zip(("noise", "seed"), map(range, shape), strict=False)))
    status = np.full(shape, DONE, np.int32)
    loss, *losses = (np.float32(rng.normal(size=(*shape, *more))) for more in ((), (epochs,), (epochs,)))
    shapes = parameter_shapes(objective)
    params = jax.tree.map(lambda leaf: np.array(rng.normal(0, 0.1, (*shape, *leaf.shape)), np.float32), shapes)
    if shape:
        status.flat[-1] = DIVERGED
        for leaf in (*losses, *jax.tree.leaves(params)):
            leaf[tuple(n - 1 for n in shape)] = np.nan
    plan = Plan(32, "sgd", trainable=("encoder", "head"))
    curves, cost = Curves(*losses), Cost(1.5, 0.1, 700)
    return Run("noise, seed", objective, plan, lanes, status, status + 1, curves, loss, params, cost)


def assert_same(run: Run, back: Run):
    assert back.objective is run.objective
    for field in dataclasses.fields(Run):
        if field.name != "objective":
            jax.tree.map(np.testing.assert_array_equal, getattr(back, field.name), getattr(run, field.name))
    before, after = ((run.lanes, run.params, run.loss, run.curves) for run in (run, back))
    assert [np.asarray(leaf).dtype for leaf in jax.tree.leaves(after)] == [
        np.asarray(leaf).dtype for leaf in jax.tree.leaves(before)
    ]
    assert (back.name, back.plan, back.cost) == (run.name, run.plan, run.cost)


@pytest.fixture(scope="module")
def small():
    return trained(objectives.autoencoder(dense_autoencoder(2, (3,))))


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_family_comes_back_bit_for_bit(name, tmp_path):
    run = trained(EVERYTHING[name])
    assert_same(run, files.load(files.save(run, tmp_path / "model.safetensors")))


@pytest.mark.parametrize("shape", [(3,), (2, 2)])
def test_many_lanes_are_one_file_and_so_is_a_part_of_them(shape, tmp_path):
    run = trained(EVERYTHING["ELBO"], shape)
    back = files.load(files.save(run, tmp_path / "new" / "folder" / "all.safetensors"))
    assert_same(run, back)
    assert back.shape == shape and back.diverged.sum() == 1
    for part in (run.best, run[..., 1], run[-1:]):
        assert_same(part, files.load(files.save(part, tmp_path / "part.safetensors")))


def test_arrays_that_lie_in_another_order_keep_their_values(tmp_path):
    run = trained(EVERYTHING["dense"])
    turned = dataclasses.replace(run, params=jax.tree.map(np.asfortranarray, run.params))
    assert_same(run, files.load(files.save(turned, tmp_path / "model.safetensors")))


def test_a_new_process_computes_the_same_bits(tmp_path):
    run = trained(objectives.autoencoder(conv_autoencoder(3, (2,))), (2,))
    path = files.save(run, tmp_path / "model.safetensors")
    images = np.float32(np.random.default_rng(2).uniform(size=(5, 28, 28, 1)))
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from ae_jax import files, latent; run = files.load(sys.argv[1]);"
        "np.save(sys.argv[3], latent.encode(run, np.load(sys.argv[2])))"
    )
    arguments = [str(path), str(tmp_path / "images.npy"), str(tmp_path / "codes.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    codes = np.load(tmp_path / "codes.npy")
    np.testing.assert_array_equal(codes, latent.encode(run, images))
    assert np.isfinite(codes[0]).all() and np.isnan(codes[1]).all()


def test_other_arithmetic_gives_the_same_outputs_to_rounding(tmp_path):
    """As another backend has it: lanes side by side (vmap), and the other forms of the convolutions."""
    run = trained(objectives.autoencoder(conv_autoencoder(3, (2, 3, 4))), (2,))
    run = files.load(files.save(run[:1], tmp_path / "model.safetensors"))
    images = np.float32(np.random.default_rng(2).uniform(size=(5, 28, 28, 1)))
    codes = latent.encode(run, images)
    for implementation in ("banded", "lax"):
        model = conv_autoencoder(3, (2, 3, 4), implementation=implementation)
        for method, given, expected in (("encode", images, codes), ("decode", codes[0], latent.decode(run, codes))):
            apply = jax.jit(jax.vmap(lambda params, x, m=model, f=method: m.apply(params, x, method=f), (0, None)))
            np.testing.assert_allclose(apply(run.params, given), expected, rtol=1e-5, atol=1e-5)


def test_a_file_says_what_it_is_and_others_can_read_it(small, tmp_path):
    path = files.save(small, tmp_path / "model.safetensors", {"images": "sha256 of them"})
    described = files.info(path)
    assert described["recipe"]["build"] == "objectives.autoencoder"
    assert described["image"] == [28, 28, 1] and described["shape"] == [] and described["name"] == "noise, seed"
    assert described["provenance"]["images"] == "sha256 of them" and "jax" in described["provenance"]["versions"]
    tensors = safetensors.numpy.load_file(path)
    assert tensors["params.encoder.Dense_0.kernel"].shape == (784, 3) and tensors["lanes.seed"].shape == ()
    np.testing.assert_array_equal(tensors["curves.train_loss"], small.curves.train_loss)


def corrupt(key, images, level):
    return images


class Mine(nn.Module):
    @nn.compact
    def __call__(self, images, dropout=None, train=False):
        return images.reshape(len(images), -1)[:, :1]


@pytest.mark.parametrize(
    ("objective", "foreign"),
    [
        (objectives.denoising(dense_autoencoder(2, (3,)), corrupt), "test_files.corrupt"),
        (objectives.autoencoder(dense_autoencoder(2, (3,), activation=abs)), "builtins.abs"),
        (objectives.classifier(Mine()), "test_files.Mine"),
        (objectives.autoencoder(dense_autoencoder(2, (3,)))._replace(recipe=None), "objectives.Objective"),
    ],
)
def test_code_of_the_users_own_is_refused_before_anything_is_written(objective, foreign, tmp_path):
    with pytest.raises(UsageError, match=rf"hold the code of .*{foreign}: make it known by ae_jax\.recipes\.part"):
        files.save(of_params("mine", objective, {}), tmp_path / "new" / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_part_with_a_name_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(recipes, "PARTS", dict(recipes.PARTS))
    recipes.part(corrupt)
    run = trained(objectives.denoising(dense_autoencoder(2, (3,)), corrupt))
    path = files.save(run, tmp_path / "model.safetensors")
    assert_same(run, files.load(path))
    del recipes.PARTS[corrupt.__module__ + ".corrupt"]
    with pytest.raises(UsageError, match="unknown part .*corrupt' of a recipe: import its module"):
        files.load(path)


def test_what_could_not_be_loaded_is_not_written(small, tmp_path):
    for bad, message in (
        (dataclasses.replace(small, params={"params": {}}), "Dense_0.bias is missing, its model expects float32"),
        (dataclasses.replace(small, loss=np.float64(1)), "loss is float64"),
        (dataclasses.replace(small, curves=Curves(np.zeros(3, np.float32), np.zeros(2, np.float32))), "curves.valid"),
    ):
        with pytest.raises(UsageError, match=message):
            files.save(bad, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"ends in \.safetensors; give model\.npz\.safetensors"):
        files.save(small, tmp_path / "model.npz")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        files.save(small, tmp_path / "file" / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_save_that_fails_leaves_the_file_before_it(small, tmp_path, monkeypatch):
    path = files.save(small, tmp_path / "model.safetensors")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.results.os, "fsync", fail)
    with pytest.raises(UsageError, match="No space left"):
        files.save(dataclasses.replace(small, name="other"), path)
    assert_same(small, files.load(path))
    assert list(tmp_path.iterdir()) == [path]


def rewritten(path, change) -> None:
    """The file with ``change(metadata, tensors)`` made to it and a digest that fits."""
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    tensors = safetensors.numpy.load(path.read_bytes())
    del metadata["sha256"]
    change(metadata, tensors)
    metadata["sha256"] = results.digest(metadata, tensors)
    path.write_bytes(safetensors.numpy.save(tensors, metadata))


def assert_refused(path, message):
    for read in (files.load, files.info) if "not a model's file" in message else (files.load,):
        with pytest.raises(UsageError, match=message) as error:
            read(path)
        assert_one_line(error.value, path)
        assert len(str(error.value)) < 1000


def of_latent(latent):
    """The recipe of a plain autoencoder with another size of the code."""
    described = recipes.describe(objectives.autoencoder(dense_autoencoder(2, (3,))))
    described["model"]["encoder"]["latent"] = latent
    return described


RECIPES = {
    "of the system": {"build": "os.system", "command": "true"},
    "a model": recipes.describe(dense_autoencoder(2, (3,))),
    "a part": {"part": "relu"},
    "a call of a part": {"build": "relu", "x": 3},
    "foreign": {"foreign": "me.corrupt"},
    "a list": [1, 2],
    "huge": recipes.describe(objectives.autoencoder(dense_autoencoder(10**9, (10**9,)))),
    "beyond counting": of_latent(10**30),
    "negative": of_latent(-1),
    "words": of_latent("a"),
    "long": {"part": "relu " * 10_000},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_cannot_be_or_does_not_fit_is_refused(name, small, tmp_path):
    path = files.save(small, tmp_path / "model.safetensors")
    rewritten(path, lambda metadata, tensors: metadata.update(recipe=json.dumps(RECIPES[name])))
    assert_refused(path, "its model cannot be built")


KERNEL = "params.encoder.Dense_0.kernel"
CHANGES = {
    f"{KERNEL} is float32 \\(784, 2\\), its model expects float32 \\(784, 3\\)": lambda m, t: t.update(
        {KERNEL: t[KERNEL][:, :2].copy()}
    ),
    f"{KERNEL} is float64": lambda m, t: t.update({KERNEL: np.float64(t[KERNEL])}),
    f"{KERNEL} is missing": lambda m, t: t.pop(KERNEL),
    "params.more is float32 \\(1,\\), its model expects missing": lambda m, t: t.update(
        {"params.more": np.zeros(1, np.float32)}
    ),
    "status is missing": lambda m, t: t.pop("status"),
    "curves.train_loss is missing": lambda m, t: t.pop("curves.train_loss"),
    "curves.train_loss is": lambda m, t: m.update(shape="[7]"),
    "cannot be built": lambda m, t: m.update(shape=json.dumps([10**12, 10**12])),
    "unexpected keyword": lambda m, t: m.update(plan='{"speed": 3}'),
    "not a model's file .*newer ae_jax.*update it": lambda m, t: m.update(format_version="2"),
    "not a model's file .*another program": lambda m, t: m.pop("format"),
    "not a model's file .*recipe": lambda m, t: m.pop("recipe"),
    "not a model's file .*recursion": lambda m, t: m.update(recipe="[" * 100_000),
    "not a model's file .*Expecting": lambda m, t: m.update(plan="no JSON"),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_does_not_fit_is_refused_by_name(message, small, tmp_path):
    path = files.save(small, tmp_path / "model.safetensors")
    rewritten(path, CHANGES[message])
    assert_refused(path, message)


def test_a_hyper_parameter_younger_than_the_file_has_its_default(tmp_path):
    run = trained(EVERYTHING["dense"], (3,))
    path = files.save(run, tmp_path / "model.safetensors")
    rewritten(path, lambda metadata, tensors: tensors.pop("lanes.hparams.noise"))
    assert (run.lanes.hparams.noise == [0, 1, 2]).all() and (files.load(path).lanes.hparams.noise == [0, 0, 0]).all()


def test_other_files_are_refused(small, tmp_path):
    path = tmp_path / "x.safetensors"
    for make in (
        lambda: path.write_bytes(b""),
        lambda: path.write_text("# a text\n" * 9),
        lambda: path.write_bytes(struct.pack("<Q", 2**62) + b"{}"),
        lambda: path.write_bytes(safetensors.numpy.save({"weight": np.zeros(3)}, {"format": "pt"})),
        lambda: path.write_bytes(safetensors.numpy.save({"weight": np.zeros(3)})),
        lambda: np.savez(path.open("wb"), weight=np.zeros(3)),
    ):
        make()
        assert_refused(path, r"not a model's file \(.*\); give a \.safetensors that ae_jax saved")
    for nothing in (tmp_path, tmp_path / "nowhere.safetensors"):
        assert_refused(nothing, "no such file")


def test_a_damaged_file_is_refused_or_the_same(small, tmp_path):
    """A bit flipped, a piece cut off or copied elsewhere; in the header, where almost everything counts, and behind."""
    path = files.save(small, tmp_path / "model.safetensors")
    content, rng, loaded = path.read_bytes(), random.Random(0), 0
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for number in range(300):
        end = header if number % 2 else len(content)
        at, start, length = rng.randrange(end), rng.randrange(end), rng.randrange(1, 99)
        path.write_bytes(
            (
                content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
                content[:at],
                content[:at] + content[start : start + length] + content[at + length :],
            )[number % 3]
        )
        try:
            assert_same(small, files.load(path))
            loaded += 1
        except UsageError as error:
            assert_one_line(error, path)
    assert loaded < 30


def test_one_trained_model_is_a_lane_alone(small):
    assert runs.one_lane(small) is small
    with pytest.raises(UsageError, match=r"lanes \(1,\) are not one trained model; give run\.best"):
        runs.one_lane(small[np.newaxis])
