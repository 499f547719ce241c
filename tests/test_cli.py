"""The command line: every command on pictures and on data sets, its refusals, what it leaves on the disk."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import ae_jax
from ae_jax import cli, commands, data, exchange, files, images, locks, optimizers
from ae_jax.types import NUMBERS
from tests.aimed import aimed, watched
from tests.commands import CONFIGURED, ROOT

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (40, 8, 9, 3), np.uint8)
SMALL = ["--network", "dense", "--widths", "4", "--latent", "2", "--epochs", "2", "--batch-size", "8"]
CHECKPOINT = "os.rename", "*.msgpack"


@pytest.fixture(autouse=True)
def same_process(monkeypatch, tmp_path):
    """In a folder of its own; what a command line changes of the process is set back."""
    configured = {name: getattr(jax.config, name) for name in CONFIGURED}
    monkeypatch.chdir(tmp_path)
    yield
    for name, value in configured.items():
        if getattr(jax.config, name) != value:
            jax.config.update(name, value)


@pytest.fixture
def call(capsys):
    """``call(words, ...)`` -> exit code, stdout, stderr."""

    def run(*words):
        code = 0
        try:
            cli.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with pictures in two classes, the same as npz, and a model of them fitted by the command line."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("kept")
    for number, image in enumerate(COLOUR):
        path = folder / "pictures" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    np.savez(folder / "images.npz", images=COLOUR)
    cli.main(["fit", str(folder / "pictures"), "--out", str(folder / "model.safetensors"), *SMALL])
    return folder


@pytest.fixture(scope="module")
def model(kept):
    return ae_jax.load(kept / "model.safetensors")


def refused(done, *words):
    """One line on stderr, which holds ``words``, exit code 2 and nothing else."""
    code, out, err = done
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("error: "), done
    assert all(word in err for word in words), err
    return True


def there(folder="."):
    return sorted(path.name for path in Path(folder).iterdir())


def drawn(path):
    from PIL import Image

    return np.asarray(Image.open(path))


def test_fit_is_the_fit_of_the_library(kept, model):
    read = images.read(kept / "pictures")
    order = np.random.default_rng(0).permutation(40)
    objective = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, (4,)))
    run = ae_jax.fit(objective, read.images[order], epochs=2, batch_size=8, progress=False)
    jax.tree.map(np.testing.assert_array_equal, model.params, run.params)
    assert model.loss == run.loss and model.objective.recipe.model.image == (8, 9, 3)
    provenance = files.info(kept / "model.safetensors")["provenance"]
    assert provenance["images"] == {"name": str(kept / "pictures"), "sha256": read.digest, "count": 40}
    assert not (kept / "model.checkpoints").exists()


def test_validation_images_are_of_every_class(kept):
    """A sorted folder is held out from all over: its last fifth would be of class b alone, were it not shuffled."""
    labels = np.sort(images.read(kept / "pictures").labels)[np.random.default_rng(0).permutation(40)]
    assert set(labels[-8:]) == {0, 1}


def test_codes_go_to_npz_and_to_csv_and_come_back_as_pictures(call, kept, model):
    read = images.read(kept / "pictures")
    codes = model.encode(read.images)
    for ending in ("npz", "csv"):
        code, out, _ = call("encode", kept / "model.safetensors", kept / "pictures", "--out", f"new/codes.{ending}")
        assert code == 0 and out == f"new/codes.{ending}: 40 codes of 2 numbers\n"
        found, names = exchange.codes(Path(f"new/codes.{ending}"), model)
        np.testing.assert_array_equal(found, codes)
        assert names == read.names and names[0] == "a/00.png"
    with np.load("new/codes.npz") as npz:
        assert npz["labels"].tolist() == read.labels.tolist()
        meta = json.loads(str(npz["meta"]))
    assert meta["images_sha256"] == read.digest and len(meta["model_sha256"]) == 64
    with Path("new/codes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "label", "z0", "z1"] and rows[1][:2] == ["a/00.png", "0"]

    by_spreadsheet = b"\xef\xbb\xbf" + Path("new/codes.csv").read_bytes() + b"\n"
    Path("marked.csv").write_bytes(by_spreadsheet.replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(exchange.codes(Path("marked.csv"), model)[0], codes)

    expected = (model.decode(codes) * 255).round().astype(np.uint8)
    assert call("decode", kept / "model.safetensors", "new/codes.csv", "--out", "decoded")[0] == 0
    np.testing.assert_array_equal(images.read("decoded").images, expected)
    assert images.read("decoded").names == read.names
    assert call("decode", kept / "model.safetensors", "new/codes.npz", "--out", "decoded.npz")[0] == 0
    np.testing.assert_array_equal(images.read("decoded.npz").images, model.decode(codes))
    np.save("codes.npy", codes[:3])
    assert call("decode", kept / "model.safetensors", "codes.npy", "--out", "plain")[0] == 0
    np.testing.assert_array_equal(images.read("plain").images, expected[:3])


def test_names_of_files_that_are_no_text_come_back(call, kept, model):
    name = os.fsdecode(b"caf\xe9.png")
    (Path("named")).mkdir()
    shutil.copy(kept / "pictures" / "a" / "00.png", Path("named") / name)
    assert call("encode", kept / "model.safetensors", "named", "--out", "codes.csv")[0] == 0
    assert exchange.codes(Path("codes.csv"), model)[1] == [name]


def test_after_a_run_that_diverged_the_same_line_runs_with_a_smaller_rate(call, kept):
    line = ["fit", kept / "images.npz", "--latent", 2, "--epochs", 1, "--batch-size", 8, "--out", "m.safetensors"]
    code, _, err = call(*line, "--learning-rate", 1e38)
    assert code == 2 and "every lane diverged; give smaller learning rates" in err and there() == []
    assert call(*line, "--learning-rate", 0.001)[0] == 0


def test_reconstructions_stand_beside_their_images(call, kept, model):
    reconstructed = model.reconstruct(COLOUR)
    errors = np.square(reconstructed.astype(np.float64) - COLOUR / 255).mean((1, 2, 3))
    words = "reconstruct", kept / "model.safetensors", kept / "images.npz"
    code, out, _ = call(*words, "--out", "all.npz")
    assert code == 0 and f"error {errors.mean():.4g}," in out and f"({errors.argmax()})" in out
    with np.load("all.npz") as npz:
        np.testing.assert_allclose(npz["errors"], errors, rtol=1e-5)
        np.testing.assert_array_equal(npz["images"], reconstructed)
    assert call(*words, "--out", "few.png", "--number", 2)[0] == 0
    sheet = drawn("few.png")  # 8x9 in pairs of 8x18, enlarged 8 times, one below the other
    assert sheet.shape == (2 + 2 * (8 * 8 + 2), 2 + 18 * 8 + 2, 3)
    tile = sheet[2 : 2 + 8 * 8 : 8, 2 : 2 + 18 * 8 : 8]
    np.testing.assert_array_equal(tile[:, :9], COLOUR[0])
    np.testing.assert_array_equal(tile[:, 9:], (reconstructed[0] * 255).round().astype(np.uint8))


def test_a_plain_autoencoder_draws_images_like_others(call, kept, model):
    words = "sample", kept / "model.safetensors", "--number", 3
    assert refused(call(*words, "--out", "samples.npz"), "--like IMAGES")
    like = "--like", kept / "pictures", "--components", 2
    assert call(*words, *like, "--seed", 4, "--out", "samples.npz")[0] == 0
    expected = model.sample(3, 4, like=images.read(kept / "pictures").images, components=2)
    np.testing.assert_array_equal(images.read("samples.npz").images, expected)
    assert call(*words, *like, "--out", "samples.png")[0] == 0 and drawn("samples.png").ndim == 3
    assert call(*words, *like, "--out", "samples")[0] == 0 and images.read("samples").names[-1] == "2.png"


def test_info_is_for_people_and_for_programs(call, kept, model):
    code, out, err = call("info", kept / "model.safetensors")
    assert (code, err) == (0, "")
    for words in ("autoencoder", "DenseEncoder(latent=2, widths=(4)", "8 x 9 x 3", f"{model.loss:.4g}", "40 of", "2"):
        assert words in out
    told = json.loads(call("info", kept / "model.safetensors", "--json")[1])
    assert told["image"] == [8, 9, 3] and told["loss"] == [float(model.loss)] and told["status"] == ["done"]
    assert told["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(model.params))


def test_info_tells_whatever_a_user_wrote_of_the_images(call, model):
    files.save(model, "mine.safetensors", {"images": "mine, of May"})
    code, out, _ = call("info", "mine.safetensors")
    assert code == 0 and re.search(r"images +mine, of May\n", out)


def test_codes_have_a_name_each_or_none(call, kept):
    np.savez("codes.npz", codes=np.zeros((3, 2)), names=["a", "b"])
    decode = "decode", kept / "model.safetensors", "codes.npz", "--out", "decoded"
    assert refused(call(*decode), "3 codes with 2 names") and there() == ["codes.npz"]


def test_a_model_is_exported(call, kept, model):
    assert refused(call("export", kept / "model.safetensors", "--to", "torch", "--out", "t.safetensors"), "colour")
    assert call("export", kept / "model.safetensors", "--to", "stablehlo", "--out", "programs")[0] == 0
    encoder = jax.export.deserialize(bytearray(Path("programs/encoder.stablehlo").read_bytes()))
    unit = COLOUR[:3] / np.float32(255)
    np.testing.assert_allclose(encoder.call(unit), model.encode(unit), atol=1e-5)


@pytest.mark.parametrize(
    ("objective", "extra", "channels"),
    [
        ("autoencoder", "--network conv --hidden 0 --grey --size 6x5 --skip-unreadable", 1),
        ("cross-entropy", "", 3), ("denoising", "--noise 0.3 --corruption masking", 3), ("sparse", "--seeds 2", 3),
        ("contractive", "--patience 1", 3), ("vae", "--likelihood bernoulli --penalty 2", 3), ("wae", "", 3),
        ("vqvae", "--network conv --channels 2 --hidden 3 --book 5 --code-size 2", 3),
    ],
)  # fmt: skip
def test_every_objective_is_fitted_and_used(call, kept, objective, extra, channels):
    code, out, err = call(
        "fit", kept / "images.npz", "--out", "m.safetensors", *SMALL, "--objective", objective, *extra.split()
    )
    assert code == 0 and "validation loss" in out, err
    run = ae_jax.load("m.safetensors")
    assert run.shape == () and run.model.image == ((6, 5, 1) if channels == 1 else (8, 9, 3))
    assert (
        run.objective.recipe.builder.split(".")[1]
        .replace("_", "-")
        .startswith(
            {"sparse": "sparse-l1", "vae": "elbo", "wae": "wae-mmd", "vqvae": "vector-quantised"}.get(
                objective, objective
            )
        )
    )
    if objective == "vae":
        assert run.lanes.hparams.penalty == 2
    if objective in ("vae", "vqvae"):
        assert call("sample", "m.safetensors", "--out", "samples.png", "--number", 5)[0] == 0
    if objective == "vqvae":
        assert call("encode", "m.safetensors", kept / "images.npz", "--out", "codes.csv")[0] == 0
        np.testing.assert_array_equal(exchange.codes(Path("codes.csv"), run)[0], run.encode(COLOUR))


@pytest.mark.parametrize("name", ["photos", "digits"])
def test_data_sets_are_fitted_and_encoded(call, monkeypatch, name):
    """Few images of them."""
    whole = data.load
    monkeypatch.setattr(data, "load", lambda name, data_dir: data.limit(whole(name), 30))
    quick = "--epochs", "1", "--batch-size", "8", "--network", "dense", "--widths", "4", "--validation", "0"
    code, out, _ = call("fit", name, "--out", "m.safetensors", *quick)
    assert code == 0 and "training loss" in out
    assert call("encode", "m.safetensors", f"{name}:test", "--out", "codes.csv")[0] == 0
    assert refused(call("encode", "m.safetensors", name, "--size", "8", "--out", "other.csv"), "add --size")


def test_the_best_of_several_is_kept_and_taken(call, kept):
    words = "fit", kept / "images.npz", *SMALL, "--seed", 3
    assert call(*words, "--seeds", 3, "--out", "best.safetensors")[0] == 0
    objective = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, (4,)))
    shuffled = COLOUR[np.random.default_rng(0).permutation(40)]
    runs = ae_jax.fit(objective, shuffled, epochs=2, batch_size=8, seeds=range(3, 6), progress=False)
    best = ae_jax.load("best.safetensors")
    assert best.loss == runs.loss.min() and best.lanes.seed == 3 + runs.loss.argmin()
    runs.save("all.safetensors")
    code, _, err = call("encode", "all.safetensors", kept / "images.npz", "--out", "codes.npz")
    assert code == 0 and "best of 3 models" in err
    with np.load("codes.npz") as npz:
        np.testing.assert_array_equal(npz["codes"], best.encode(COLOUR))


def test_ctrl_c_keeps_a_checkpoint_and_resume_ends_with_the_same_bits(call, kept):
    words = "fit", kept / "images.npz", *SMALL, "--epochs", 12
    assert call(*words, "--out", "whole.safetensors")[0] == 0
    with aimed(signal.SIGINT, *CHECKPOINT, 1):
        code, out, err = call(*words, "--out", "m.safetensors")
    assert code == 130 and out == "" and "m.checkpoints keeps what is trained" in err and "--resume" in err
    assert there() == ["m.checkpoints", "whole.safetensors"]
    assert refused(call(*words, "--out", "m.safetensors"), "--resume")
    assert refused(call(*words, "--out", "m.safetensors", "--resume", "--seed", 1), "seed was 0 and is now 1")
    slower = "--resume", "--learning-rate", 0.01
    assert refused(call(*words, "--out", "m.safetensors", *slower), "learning_rate was 0.001 and is now 0.01")
    with locks.alone(Path("m.checkpoints")):
        assert refused(call(*words, "--out", "m.safetensors", "--resume"), "another run is at work", "another --out")
    with watched(*CHECKPOINT) as written:
        assert call(*words, "--out", "m.safetensors", "--resume")[0] == 0
    assert len(written) == 2  # of epochs 6 to 12 in segments of 5; 5 were kept
    whole, resumed = (ae_jax.load(f"{name}.safetensors") for name in ("whole", "m"))
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)
    np.testing.assert_array_equal(resumed.curves, whole.curves)
    assert there() == ["m.safetensors", "whole.safetensors"]


def test_a_model_that_cannot_be_saved_is_still_in_its_checkpoints(call, kept, monkeypatch):
    words = "fit", kept / "images.npz", *SMALL

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "save", full)
        code, *_ = call(*words, "--out", "m.safetensors")
    assert code == 1 and there() == ["m.checkpoints"]
    assert call(*words, "--out", "m.safetensors", "--resume")[0] == 0 and there() == ["m.safetensors"]
    assert call(*words, "--out", "whole.safetensors")[0] == 0
    resumed, whole = (ae_jax.load(f"{name}.safetensors") for name in ("m", "whole"))
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)


def test_what_is_there_is_overwritten_only_by_force(call, kept):
    words = "encode", kept / "model.safetensors", kept / "images.npz", "--out"
    assert call(*words, "codes.npz")[0] == 0
    before = Path("codes.npz").read_bytes()
    assert refused(call(*words, "codes.npz"), "codes.npz: exists already", "--force")
    assert Path("codes.npz").read_bytes() == before
    assert call(*words, "codes.npz", "--force")[0] == 0
    Path("full").mkdir()
    Path("full/mine").touch()
    decode = "decode", kept / "model.safetensors", "codes.npz", "--out", "full"
    assert refused(call(*decode), "exists already") and there("full") == ["mine"]
    assert call(*decode, "--force")[0] == 0 and len(there("full")) == 41


REFUSED = [
    ("", "COMMAND"), ("fly", "invalid choice: 'fly'"), ("fit", "required"),
    ("fit I --out o.safetensors --epochs x", "--epochs"),
    ("fit I --out o.safetensors --latent 0", "--latent", "from 1 to"),
    ("fit I --out o.safetensors --seed -1", "--seed"),
    ("fit I --out o.safetensors --size 8x", "--size"), ("fit I --out o.safetensors --size 1x2x3", "--size"),
    ("fit I --out o.safetensors --grey --colour", "not allowed with"),
    ("fit I --out o.safetensors --optimiser adam", "--optimiser"),
    ("fit I --out o.safetensors --optimizer adma", "adma", "adadelta"),
    ("fit I --out o.safetensors --l2 -1", "l2 -1 is not allowed"),
    ("fit I --out o.safetensors --dropout nan", "dropout nan"), ("fit I --out o.safetensors --epochs 0", "epochs 0"),
    ("fit I --out o.safetensors --validation 1", "fraction 1"), ("fit I --out o.safetensors", "batch size 128"),
    ("fit I --out o.safetensors --batch-size 8 --channels 2 2 2 2", "1 to 3"),
    ("fit I --out o.safetensors --objective denoising", "--noise"),
    ("fit I --out o.safetensors --objective vqvae --network dense", "--network conv"),
    ("fit F --out o.safetensors --batch-size 8 --network conv", "--network dense"),
    ("fit F --out o.safetensors --grey", "leave --size, --grey and --colour out"),
    ("fit nothing --out o.safetensors", "nothing: no such file"), ("fit I --out o.npz", ".safetensors"),
    ("fit I --out /proc/nowhere/o.safetensors", "--out /proc/nowhere: cannot write there"),
    ("fit MIXED --grey --out o.safetensors", "--size HEIGHTxWIDTH"),
    ("fit BAD --out o.safetensors", "--skip-unreadable"),
    ("fit MIXED --size 8 --out o.safetensors", "--grey", "--colour"),
    ("encode I I --out o.npz", "not a model's file"), ("encode M I --out o.txt", ".npz, .csv"),
    ("encode M I --size 6x9 --out o.npz", "images are 6 x 9 x 3, but this model takes 8 x 9 x 3; add --size 8x9"),
    ("encode M I --grey --out o.npz", "add --colour"), ("encode M F --out o.npz", "give others"),
    ("decode M I --out o.npz", "no codes can be read"), ("decode M nothing.csv --out o", "no such file"),
    ("decode M LONG --out o", "codes of shape [2, 3] are not allowed", "[n, 2]"),
    ("decode M OUTSIDE --out o", "leads out of o"), ("decode M TWICE --out o", "the same"),
    ("decode M RAGGED --out o", "no codes can be read"), ("sample M --out o.png", "--like IMAGES"),
    ("sample M --number 0 --out o.png", "--number"), ("export M --to onnx --out o", "--to"),
    ("info nothing", "no such file"),
]  # fmt: skip


@pytest.fixture(scope="module")
def bad(kept):
    """What the letters of ``REFUSED`` stand for."""
    from PIL import Image

    places = {name: kept / f"{name.lower()}.csv" for name in ("OUTSIDE", "TWICE", "RAGGED")}
    for name, rows in (("OUTSIDE", "../x,1,2"), ("TWICE", "x,1,2\nx,3,4"), ("RAGGED", "x,1,2\ny,3")):
        places[name].write_text(f"name,z0,z1\n{rows}\n")
    np.save(kept / "long.npy", np.zeros((2, 3)))
    np.save(kept / "flat.npy", np.zeros((30, 5), np.uint8))
    for name in ("mixed", "bad"):
        (kept / name).mkdir()
        Image.fromarray(COLOUR[0]).save(kept / name / "a.png")
    Image.fromarray(COLOUR[0, :4, :4, 0]).save(kept / "mixed" / "b.png")
    Image.fromarray(COLOUR[0, :4, :4]).save(kept / "mixed" / "c.png")
    (kept / "bad" / "b.png").write_text("no picture")
    model = {"I": "images.npz", "M": "model.safetensors", "LONG": "long.npy", "F": "flat.npy"}
    return places | {name: kept / file for name, file in model.items()} | {"MIXED": kept / "mixed", "BAD": kept / "bad"}


@pytest.mark.parametrize(
    ("line", "words"), [(line, words) for line, *words in REFUSED], ids=[line for line, *_ in REFUSED]
)
def test_bad_input_ends_in_one_line_and_leaves_nothing(call, bad, line, words):
    assert refused(call(*(bad.get(word, word) for word in line.split())), *words)
    assert there() == []


def test_unreadable_pictures_are_left_out_with_a_warning(call, bad):
    code, _, err = call("encode", bad["M"], bad["BAD"], "--skip-unreadable", "--out", "codes.csv")
    assert code == 0 and err.startswith("warning: 1 of 2 pictures cannot be read") and err.count("\n") == 1
    assert Path("codes.csv").read_text().count("\n") == 2


def test_a_missing_package_is_named(call, kept, monkeypatch):
    for module, name in (("PIL", "pillow"), ("sklearn", "scikit-learn")):
        with monkeypatch.context() as without:
            for loaded in [key for key in sys.modules if key.split(".")[0] == module]:
                without.delitem(sys.modules, loaded)
            without.setitem(sys.modules, module, None)
            source = {"PIL": kept / "pictures", "sklearn": "photos"}[module]
            assert refused(call("fit", source, *SMALL, "--out", "m.safetensors"), f"pip install {name}")


def test_options_are_those_of_the_library():
    """What parsing repeats, so as not to import what it comes from."""
    parser = cli._parser()
    (made,) = (action.choices for action in parser._actions if action.choices)
    fit = made["fit"].format_help()
    assert all(name in " ".join(fit.split()) for name in data.TITLES) and tuple(optimizers.OPTIMIZERS) == cli.OPTIMIZERS
    assert all(
        f"--{name.replace('_', '-')} " in fit and entry.meaning.split()[0] in fit for name, entry in NUMBERS.items()
    )
    assert all(callable(getattr(ae_jax.corruptions, name)) for name in commands.CORRUPTIONS)


def test_the_lines_of_the_readme_run_as_written(call, monkeypatch):
    """On few patches, for an epoch, by a small network."""
    whole = data.load
    monkeypatch.setattr(data, "load", lambda name, data_dir: data.limit(whole(name), 30))
    monkeypatch.setattr(commands, "CHANNELS", (2,))
    lines = re.findall(r"^ae-jax (.*)$", (ROOT / "docs" / "command-line.md").read_text(), re.MULTILINE)
    (made,) = (action.choices for action in cli._parser()._actions if action.choices)
    assert [line.split()[0] for line in lines] == list(made)
    for line in lines:
        words = line.replace("--epochs 20", "--epochs 1 --batch-size 8").split()
        assert call(*words)[0] == 0, line
    assert there() == ["codes.csv", "decoded", "photos.safetensors", "programs", "reconstructions.png", "samples.png"]


def process_of(*words, **settings):
    line = [sys.executable, "-m", "ae_jax", *map(str, words)]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | settings
    return subprocess.Popen(line, env=os.environ | {"PYTHONPATH": str(ROOT)}, **settings)


def test_help_and_bad_input_import_no_jax():
    code = "import sys; from ae_jax import cli\ntry: cli.main({})\nexcept SystemExit: print('jax' in sys.modules)"
    for words in (["--help"], ["fit", "--help"], ["fit", "I", "--epochs", "x"], []):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words)], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert done.stdout.endswith("False\n")


def test_a_new_process_gives_the_same_codes(kept, model):
    done = process_of("encode", kept / "model.safetensors", kept / "images.npz", "--out", "codes.npz")
    out, err = done.communicate(timeout=300)
    assert done.returncode == 0 and out.startswith("codes.npz: 40 codes"), err
    with np.load("codes.npz") as npz:
        np.testing.assert_allclose(npz["codes"], model.encode(COLOUR), atol=1e-5)


def test_a_reader_that_leaves_is_no_error(kept):
    reader, writer = os.pipe()
    os.close(reader)
    done = process_of("info", kept / "model.safetensors", stdout=writer)
    os.close(writer)
    assert done.communicate(timeout=300)[1] == "" and done.returncode == 1
