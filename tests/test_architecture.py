"""The house: imports go down only, and computing imports neither plotting nor heavy optional packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ae_jax"
FLOORS = (
    {"types"},
    {"data", "losses", "convolutions", "results", "host", "recipes"},
    {"layers", "corruptions", "checkpoints", "calls"},
    {"models", "optimizers", "distributions"},
    {"objectives", "vae"},
    {"training", "variational", "widening"},
    {"sharing", "lanes"},
    {"segments", "runs"},
    {"engine", "evaluation", "latent", "pca", "posterior", "storage"},
    {"trials", "generation"},
    {"search"},
)
SIDE = {"plotting": {"types"}, "interactive": {"types"}, "__init__": set()}


def imported(module: str) -> set[str]:
    """The rooms of the package that a module imports."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "ae_jax":
                names |= {alias.name for alias in node.names}
            elif node.module.startswith("ae_jax."):
                names.add(node.module.split(".")[1])
    return names - {"__version__"}


@pytest.mark.parametrize("module", sorted(path.stem for path in PACKAGE.glob("*.py")))
def test_imports_go_down(module):
    if module in SIDE:
        assert imported(module) <= SIDE[module]
        return
    (floor,) = (i for i, rooms in enumerate(FLOORS) if module in rooms)
    below = set().union(*FLOORS[:floor])
    assert imported(module) <= below, f"{module} reaches up or sideways: {imported(module) - below}"


def test_computing_is_light():
    """Importing the engine loads no plotting, no scikit-learn, no tensorflow-datasets, no torch."""
    code = (
        "import sys, ae_jax.data, ae_jax.search, ae_jax.latent, ae_jax.generation, ae_jax.results;"
        "print([m for m in ('matplotlib', 'plotly', 'sklearn', 'tensorflow_datasets', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_modules_stay_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")}
    assert max(lengths.values()) <= 300, lengths
