"""What README and docs promise: examples and command lines as they are written, the npz, the compiled programs."""

import json
import re
import shlex

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from ae_jax import data, evaluation, lanes, models, objectives, random_search, trials, types
from ae_jax.batching import Data
from experiments import registry
from tests.commands import MODULES, ROOT, STUDIES, every_study, run

README = (ROOT / "README.md").read_text()
DOCS = {path.stem: path.read_text() for path in (ROOT / "docs").glob("*.md")}
READERS = "page", "record", "summary"  # of what studies wrote


def programs(text):
    """The examples in Python, as they are written."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def command_lines():
    """Each ``python -m experiments.STUDY ...`` of README, docs, Makefile and studies, a line continued or not."""
    texts = [README, *DOCS.values()]
    texts += [(ROOT / "experiments" / f"{module}.py").read_text().split('"""')[1] for module in MODULES]
    texts.append((ROOT / "Makefile").read_text().replace("$(OUT)", "results/demo"))
    found = re.findall(r"python -m experiments\.(\w+)((?:\\\n|[^\n#`])*)", "\n".join(texts).replace("$(BIN)/", ""))
    return sorted({(module, rest.replace("\\\n", " ").strip()) for module, rest in found if module != "X"})


@pytest.mark.parametrize(("module", "line"), command_lines())
def test_command_lines_are_understood_as_written(run_study, environment, tmp_path, module, line):
    """They pass the parser and all checks up to the folder, in which there is nothing or nobody can write."""
    arguments = shlex.split(line)
    if module in READERS:
        done = run(module, arguments, environment)
        assert done.returncode == 2 and f"{arguments[0]}: no study's npz in it" in done.stderr, done.stderr
        return
    if "--out" in arguments:
        del arguments[(at := arguments.index("--out")) : at + 2]
    done = run_study(module, "/proc/nowhere", *arguments, tiny=[])
    assert done.returncode == 2 and "--out /proc/nowhere: cannot write there" in done.stderr, done.stderr


def test_command_lines_are_found():
    lines = command_lines()
    assert {module for module, _ in lines} == {*MODULES, *READERS}
    assert ("random_search", "--study A1 --dataset mnist --budget full --export csv") in lines
    assert any("--num-processes 2 --process-id 0" in line and "--coordinator" in line for _, line in lines)


def test_the_table_of_studies_lists_every_one_of_run_all():
    assert set(STUDIES) == set(registry.STUDIES)
    text = DOCS["studies"]
    table = text[text.index("| study | report |") : text.index("A study shows its progress")]
    listed = set()
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", cell)
        module, *option = first.split(" --study ")
        names = [module, *others] if not option else [f"{module}_{study}" for study in (*option, *others)]
        listed |= set(names)
    assert listed == set(STUDIES)


def test_the_example_runs_as_written():
    """Its names from the package; the full search is planned, and three of its trials are run for an epoch."""
    (code,) = programs(DOCS["reading"])
    (quoted,) = re.findall(r'# "(.*?)"', code)
    planned = []

    def few(key, space, count):
        drawn = random_search.sample(key, space, count)
        planned.append(str(random_search.plan_search(drawn, names["build"])))
        return {name: values[:3] for name, values in drawn.items()} | {"epochs": np.ones(3, np.int32)}

    def holdout(count):
        assert count == 60_000
        return data.holdout(700)

    images = np.random.default_rng(0).integers(0, 256, (700, 28, 28, 1), np.uint8)
    names = {
        name: getattr(random_search, name) for name in ("choice", "collect", "log_uniform", "plan_search", "uniform")
    }
    names |= {"jax": jax, "sample": few, "holdout": holdout, "Plan": types.Plan}
    names |= {"autoencoder": objectives.autoencoder, "conv_autoencoder": models.conv_autoencoder}
    names |= {"run_groups": trials.run_groups, "stack_splits": lanes.stack_splits, "trial_run": random_search.trial_run}
    names |= {"reconstruction_error": evaluation.reconstruction_error, "images": images[:20] / np.float32(255)}
    names["data"] = Data(jax.numpy.asarray(images), jax.numpy.zeros(700, jax.numpy.int32))
    exec(code, names)
    assert planned == [quoted]
    outcome = names["outcome"]
    assert names["errors"].shape == (1,) and names["errors"] > 0
    assert outcome.validation_loss.shape == (3, 1, 1) and np.isfinite(outcome.loss).all()
    assert (np.diff(outcome.loss[outcome.ranking]) >= 0).all()


def test_your_own_images_run_as_written(monkeypatch, tmp_path):
    """Few of them, for few epochs; then an objective of one's own."""
    own, huber = programs(README)
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.random.default_rng(0).integers(0, 256, (200, 9, 8, 3), np.uint8))
    names = {"__name__": "__main__"}
    exec(own.replace("epochs=20", "epochs=2"), names)
    assert names["codes"].shape == (200, 8) and names["copies"].shape == (200, 9, 8, 3)
    exec(huber.replace("epochs=20", "epochs=1"), names)
    assert names["run"].shape == (2,) and not names["run"].diverged.any()


META = {
    "schema": int, "study": str, "dataset": dict, "config": dict, "versions": dict, "device": str, "git_commit": str,
    "created": str, "caption": str, "comparable": bool, "rows": list, "findings": list, "status_names": list,
    "compile_seconds": float, "train_seconds": float, "wall_seconds": float, "cpu_seconds": float, "resumed": bool,
    "peak_host_bytes": int, "sha256": str,
}  # fmt: skip
ROW = {"what": str, "reported": float | None, "ours": list, "higher_is_better": bool | None, "source": str}


@every_study
def test_the_npz_opens_without_pickle_and_says_where_it_comes_from(ran, name):
    module, arguments = STUDIES[name]
    with np.load(ran(name).npz, allow_pickle=False) as npz:
        arrays = {key: npz[key] for key in npz.files}
    meta = json.loads(str(arrays.pop("meta")))
    assert arrays and all(values.dtype.kind in "biufU" for values in arrays.values())
    assert meta.keys() == META.keys()
    trained = name not in ("gradients", "architectures", "smoothness")
    for key, kind in META.items():
        assert isinstance(meta[key], kind if trained or "seconds" not in key else (int, float)), key
    assert meta["schema"] == 1 and meta["study"] == module and not meta["comparable"]
    assert meta["dataset"].keys() == {"name", "sha256", "train", "test"}
    assert (meta["dataset"]["name"], meta["dataset"]["train"], meta["dataset"]["test"]) == ("digits", 100, 100)
    assert len(meta["dataset"]["sha256"]) == 64
    assert {"jax", "jaxlib", "flax", "optax", "numpy", "python", "ae-jax"} <= meta["versions"].keys()
    assert meta["status_names"] == ["running", "done", "early-stopped", "diverged", "halved"]
    assert meta["rows"]
    for row in meta["rows"]:
        assert row.keys() == ROW.keys() and all(isinstance(row[key], kind) for key, kind in ROW.items())
        assert all(value is None or np.isfinite(value) for value in row["ours"])
        assert row["what"] in ran(name).done.stdout
    options, budget = meta["config"]["options"], meta["config"]["budget"]
    assert options["limit"] == 100 and options["dataset"] == "digits" and budget["batch_size"] == 16
    if "--epochs" in arguments:
        assert options["epochs"] == budget["epochs"] == int(arguments.split("--epochs ")[1].split()[0])
    assert (meta["train_seconds"] > 0) == trained


@pytest.fixture
def own_programs(monkeypatch):
    """JAX's cache of compiled programs, opened anew for each run of the test and after it."""

    def fresh():
        jax.clear_caches()
        compilation_cache.reset_cache()

    yield fresh
    fresh()


def test_compiled_programs_are_kept_where_the_variables_say(
    own_programs, short_gradients, run_study, environment, monkeypatch, tmp_path
):
    """In the user's cache folder, where another variable moves them, or with an empty one nowhere; and used again."""
    for name in ("JAX_COMPILATION_CACHE_DIR", "AE_JAX_CACHE"):
        monkeypatch.delitem(environment, name, raising=False)
        monkeypatch.delenv(name, raising=False)

    def kept(user, **variables):
        """The programs under the test's folder after a study with these variables."""
        own_programs()
        done = run_study("gradients", tmp_path / "out", AE_JAX_CACHE=str(tmp_path / user), **variables)
        assert done.returncode == 0, done.stderr
        files = (path.relative_to(tmp_path) for path in tmp_path.rglob("*-cache"))
        return {str(path.parent) for path in files}, sorted(path.name for path in tmp_path.rglob("*-cache"))

    folders, programs = kept("user")
    assert folders == {"user/programs"} and len(programs) > 1
    assert kept("user") == (folders, programs)  # found again: none is added
    assert kept("other", JAX_COMPILATION_CACHE_DIR="") == (folders, programs)
    moved, _ = kept("other", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "moved"))
    assert moved == {"user/programs", "moved"}
