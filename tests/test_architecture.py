"""The house: imports go down only, and computing imports neither plotting nor heavy optional packages."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ae_jax"
FLOORS = (
    {"types"},
    {"downloads", "embedded", "idx", "pictures", "losses", "convolutions", "results", "host", "recipes"},
    {"process", "archives", "activations", "layers", "shapes", "corruptions", "checkpoints", "calls"},
    {"data", "models", "optimizers", "distributions"},
    {"images", "objectives", "vae"},
    {"batching", "variational", "widening"},
    {"training"},
    {"sharing", "lanes"},
    {"segments", "runs", "identity", "locks"},
    {"engine", "evaluation", "latent", "pca", "posterior", "files", "export"},
    {"trials", "generation", "doubts"},
    {"random_search", "inference", "progress"},
    {"api", "exchange"},
    {"commands"},
    {"cli"},
)
DRAWING = "plotting", "plane_plots", "sheets", "style", "interactive"  # of experiments
DOORS = {"runs": {"inference", "files"}, "recipes": {"variational"}}  # rooms above, imported when a method is called


def imported(source: str, house: str = "ae_jax") -> set[str]:
    """The rooms of a package that a module imports, however it says so."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(filter(None, (house if node.level else "", node.module)))
            names |= {f"{package}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith(f"{house}.")} - {"__version__"}


@pytest.mark.parametrize(
    "source",
    [
        "import ae_jax.engine", "import ae_jax.engine as e", "from ae_jax import engine", "from . import engine",
        "from ae_jax.engine import run", "from .engine import run", "def f():\n    from ae_jax import engine",
    ],
)  # fmt: skip
def test_every_way_to_import_is_seen(source):
    assert imported(source) == {"engine"}


@pytest.mark.parametrize("module", sorted(path.stem for path in PACKAGE.glob("*.py")))
def test_imports_go_down(module):
    if module in ("__init__", "__main__", "sklearn"):  # a list of what there is; on top of all
        return
    found = imported((PACKAGE / f"{module}.py").read_text()) - DOORS.get(module, set())
    (floor,) = (i for i, rooms in enumerate(FLOORS) if module in rooms)
    below = set().union(*FLOORS[:floor])
    assert found <= below, f"{module} reaches up or sideways: {found - below}"


@pytest.mark.parametrize("module", DRAWING)
def test_figures_are_drawn_from_arrays_alone(module):
    source = (PACKAGE.parent / "experiments" / f"{module}.py").read_text()
    assert imported(source) <= {"results"} and imported(source, "experiments") <= {"style"} - {
        module
    }  # it writes files


def test_only_figures_are_drawn_by_matplotlib_and_plotly():
    sources = {path.stem: path.read_text() for path in (PACKAGE.parent / "experiments").rglob("*.py")}
    importing = r"^\s*(import|from) (matplotlib|plotly)"
    assert {module for module, source in sources.items() if re.search(importing, source, re.M)} <= {*DRAWING}


def test_the_readme_lists_every_module_below_what_it_imports():
    readme = (PACKAGE.parent / "docs" / "reading.md").read_text()
    table = readme[readme.index("| module |") :].split("\n\n")[0].splitlines()[2:]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table]
    modules = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert sorted(sum(rows, [])) == sorted(modules)
    above = set()
    for row in rows:
        above |= {*row}
        for module in row:
            found = imported((PACKAGE / f"{module}.py").read_text()) - DOORS.get(module, set())
            assert found <= above, f"{module} is listed above {found - above}"


@pytest.mark.parametrize("module", [*DOORS, "__init__"])
def test_what_is_above_is_imported_when_it_is_used(module):
    statements = ast.parse((PACKAGE / f"{module}.py").read_text()).body
    first = [ast.unparse(node) for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not imported("\n".join(first)) & DOORS.get(module, {"api", "models", "runs"})


def test_computing_is_light():
    """Importing all that computes loads no plotting, no scikit-learn, no tensorflow-datasets, no torch."""
    modules = ", ".join(f"ae_jax.{module}" for floor in FLOORS for module in sorted(floor))
    code = (
        f"import sys, {modules};"
        "print([m for m in ('matplotlib', 'plotly', 'sklearn', 'tensorflow_datasets', 'torch') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_modules_stay_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")}
    assert max(lengths.values()) <= 300, lengths
