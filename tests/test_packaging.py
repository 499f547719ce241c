"""What is installed: the package works without what only studies need, and says what it needs."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from tests.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
OURS = {"ae_jax", "experiments", "benchmarks", "tests"}
CALLED = {"sklearn": "scikit-learn", "PIL": "pillow", "tensorflow_datasets": "tensorflow-datasets"}  # what pip says
BLOCKED = "tensorflow_datasets", "matplotlib", "plotly", "sklearn", "tyro", "PIL", "requests", "torch", "pandas"

USE = f"""
import sys


class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)


sys.meta_path.insert(0, Block())
import ae_jax, numpy as np

images = np.random.default_rng(0).integers(0, 256, (40, 6, 5), np.uint8)
objective = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, (4,)))
run = ae_jax.fit(objective, images, epochs=1, batch_size=8)
codes = run.encode(images)
assert np.array_equal(run.decode(codes), run.reconstruct(images)) and run.score(images)["loss"] > 0
searched = ae_jax.search(lambda latent: objective, {{"latent": 2}}, images, trials=1, folds=2, epochs=1, batch_size=8)
assert searched.best.shape == ()
"""
KEEP = """
run.save("model.safetensors")
assert np.array_equal(ae_jax.load("model.safetensors").encode(images), codes)
"""


def run(code, folder):
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){code}"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_a_user_needs_nothing_that_is_for_studies(tmp_path):
    done = run(USE + KEEP, tmp_path)
    assert done.returncode == 0, done.stderr


def third_party(folder, top_level=False):
    """Modules of other projects that the modules in ``folder`` import, those at their top level or all."""
    found = set()
    for path in (ROOT / folder).glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in tree.body if top_level else ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    return found - OURS - set(sys.stdlib_module_names)


def names(requirements):
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


CORE = names(PROJECT["project"]["dependencies"])
STUDIES = CORE | names(EXTRAS["studies"]) | names(EXTRAS["sklearn"])
WITH_EXTRA = {"sklearn"}  # a module that only those import who have the extra


def test_what_the_package_imports_is_declared():
    assert {CALLED.get(module, module) for module in third_party("ae_jax", top_level=True) - WITH_EXTRA} <= CORE
    assert {CALLED.get(module, module) for module in third_party("ae_jax")} <= STUDIES


@pytest.mark.parametrize("folder", ["experiments", "benchmarks"])
def test_what_the_studies_import_is_declared(folder):
    declared = STUDIES | names(EXTRAS["bench"]) | names(EXTRAS["peers"])
    assert {CALLED.get(module, module) for module in third_party(folder)} <= declared


def test_one_package_is_installed_and_says_that_it_is_typed():
    tool = PROJECT["tool"]["setuptools"]
    assert tool["packages"] == ["ae_jax"] and tool["package-data"] == {"ae_jax": ["py.typed"]}
    assert (ROOT / "ae_jax" / "py.typed").exists()
    assert not [path for path in (ROOT / "ae_jax").iterdir() if path.is_dir() and path.name != "__pycache__"]
