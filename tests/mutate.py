"""Which faults the tests notice: ``python -m tests.mutate [MODULE ...] [--sample N]``, or ``make mutants``.

One thing of a module of ``ae_jax`` is broken at a time, and its tests run: an operator, comparison, constant, branch or
sign becomes another, two arguments change places, a keyword is dropped, a key is not folded. A mutant dies if a test
fails or the tests take ten times as long as they should. What stays alive is printed, each with its line.
"""

import argparse
import ast
import copy
import functools
import importlib
import importlib.abc
import importlib.util
import inspect
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
# The tests of a module, the quickest first.
TESTS = {
    "losses": ("losses", "objectives", "oracles"),
    "distributions": ("distributions", "variational"),
    "objectives": ("objectives", "oracles", "identity"),
    "variational": ("variational", "oracles"),
    "corruptions": ("corruptions",),
    "optimizers": ("oracles", "training"),
    "training": ("training", "trials"),
    "widening": ("widening", "properties", "runs"),
    "random_search": ("random_search", "random_search_priors", "properties", "bad_input"),
    "posterior": ("posterior", "variational"),
    "evaluation": ("evaluation", "objectives", "training"),
    "latent": ("latent",),
}
# Imported once, before the mutants are forked; nothing of the project is.
HEAVY = "jax", "flax.linen", "optax", "pytest", "scipy.stats", "sklearn.linear_model", "hypothesis", "matplotlib.pyplot"
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
ANNOTATIONS = "annotation", "returns"


class Mutant(NamedTuple):
    """What is broken: a change of the ``index``-th place of a module, in words."""

    module: str
    index: int
    line: int
    words: str


def places(tree: ast.AST) -> Iterator[ast.AST]:
    """What may be broken, in the order of the source: no annotations, docstrings, messages of errors."""
    for name, value in ast.iter_fields(tree):
        if name in ANNOTATIONS:
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.AST) and not isinstance(
                node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom
            ):
                if isinstance(node, ast.Assign | ast.AnnAssign) and _is_type(node):
                    continue
                if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: where all is well it does nothing
                    continue
                yield node
                if not _is_negative(node):
                    yield from places(node)


def _is_type(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a name is given to a type: ``Prior = Callable[...]``."""
    return (
        isinstance(node.value, ast.Subscript)
        and isinstance(node.value.value, ast.Name)
        and (node.value.value.id in ("Callable", "Mapping", "Sequence", "dict", "list", "tuple", "Literal"))
    )


def _is_negative(node: ast.AST) -> bool:
    """Whether it is a whole number below zero, which is broken as one.

    Of a matrix axis 1 is axis -1, and a shape takes -2 for -1: both would be no change.
    """
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int())):
            return True
    return False


def _is_symmetric(call: ast.Call) -> bool:
    """Whether it is of a function that gives the same with its first two arguments swapped."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in ("min", "max", "minimum", "maximum", "clip", "logaddexp", "mean_squared_error", "log_density")


def _says_the_default(call: ast.Call, keyword: ast.keyword) -> bool:
    """Whether a call of optax would do the same without the keyword."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="optax"), attr=name):
            parameters = inspect.signature(getattr(importlib.import_module("optax"), name)).parameters
            return isinstance(keyword.value, ast.Constant) and parameters[keyword.arg].default == keyword.value.value
    return False


def changes(node: ast.AST) -> list[tuple[str, dict]]:
    """Ways to break a place: words, and the fields that become others."""
    found: list[tuple[str, dict]] = []
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            found.append((f"{type(op).__name__} -> {SWAPS[type(op)].__name__}", {"op": SWAPS[type(op)]()}))
        case ast.Compare(ops=[op, *rest]) if type(op) in SWAPS:
            found.append((f"{type(op).__name__} -> {SWAPS[type(op)].__name__}", {"ops": [SWAPS[type(op)](), *rest]}))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
            found.append((f"-{value} -> {1 - value}", {"operand": ast.Constant(value - 1)}))
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert() as op):
            found.append((f"{type(op).__name__} dropped", {"op": ast.Not() if isinstance(op, ast.Not) else ast.UAdd()}))
        case ast.Constant(value=bool() as value):
            found.append((f"{value} -> {not value}", {"value": not value}))
        case ast.Constant(value=int() as value):
            found.append((f"{value} -> {value + 1}", {"value": value + 1}))
        case ast.Constant(value=float() as value):
            other = value * 1.5 or 1.0
            found.append((f"{value} -> {other}", {"value": other}))
        case ast.If(test=test) | ast.IfExp(test=test):
            found.append(("condition inverted", {"test": ast.UnaryOp(ast.Not(), test)}))
        case ast.Call(args=[first, second, *rest]) if not (
            _is_symmetric(node) or any(isinstance(argument, ast.Starred) for argument in (first, second))
        ):
            found.append(("arguments swapped", {"args": [second, first, *rest]}))
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "fold_in":
            found.append(
                ("key not folded", {"func": ast.Lambda(_arguments("key", "number"), ast.Name("key", ast.Load()))})
            )
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict") and not _says_the_default(node, keyword):
                found.append((f"{keyword.arg}= dropped", {"keywords": node.keywords[:i] + node.keywords[i + 1 :]}))
    return found


def _arguments(*names: str) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def path_of(module: str) -> Path:
    """The source of a module."""
    return ROOT / "ae_jax" / f"{module}.py"


def mutants(module: str) -> list[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(path_of(module).read_text())
    every = [(node, words) for node in places(tree) for words, _ in changes(node)]
    return [Mutant(module, index, node.lineno, words) for index, (node, words) in enumerate(every)]


def broken(mutant: Mutant) -> ast.Module:
    """The module's tree with one thing changed."""
    tree = ast.parse(path_of(mutant.module).read_text())
    every = [(node, fields) for node in places(tree) for _, fields in changes(node)]
    node, fields = every[mutant.index]
    if mutant.words == "Not dropped":  # ``not not x``: the operand alone, as a truth
        fields = {"operand": ast.UnaryOp(ast.Not(), node.operand)}
    for name, value in fields.items():
        setattr(node, name, copy.deepcopy(value))
    return ast.fix_missing_locations(tree)


class Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module of ``ae_jax`` from a changed tree."""

    def __init__(self, mutant: Mutant):
        self.name, self.tree = f"ae_jax.{mutant.module}", broken(mutant)

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, path_of(name.rpartition(".")[2]), loader=self)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(compile(self.tree, module.__file__, "exec"), module.__dict__)


def tested(module: str, mutant: Mutant | None, limit: float) -> tuple[int, float]:
    """The exit code of the tests of a module, or of a mutant of it, in a fork, and their seconds; -9 past ``limit``."""
    started = time.monotonic()
    if not (child := os.fork()):
        os.setpgid(0, 0)  # with what it starts
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        if mutant is not None:
            sys.meta_path.insert(0, Loader(mutant))
        import pytest

        code = 1
        try:
            files = [str(ROOT / "tests" / f"test_{name}.py") for name in TESTS[module]]
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *files])
        finally:
            os._exit(int(code))
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() - started > limit:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(done[1]), time.monotonic() - started


def survives(limit: float, mutant: Mutant) -> tuple[Mutant, bool]:
    """Whether no test notices."""
    return mutant, tested(mutant.module, mutant, limit)[0] == 0


def main() -> None:
    """A line for each survivor, and for each module how many died."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"by default all of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, help="of each module, so many mutants drawn at random; default all")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if unknown := set(options.modules) - TESTS.keys():
        parser.error(f"no tests are known of {', '.join(sorted(unknown))}: choose among {', '.join(TESTS)}")
    with tempfile.TemporaryDirectory() as programs:
        os.environ |= {"AE_JAX_TEST_PROGRAMS": programs, "PYTHONPATH": str(ROOT)}
        for name in HEAVY:
            importlib.import_module(name)
        alive = 0
        with multiprocessing.get_context("fork").Pool(options.processes) as pool:
            for module in options.modules or TESTS:
                code, seconds = pool.apply(tested, (module, None, 3600.0))
                if code:
                    sys.exit(f"{module}: its tests fail as it is (exit code {code})")
                every = mutants(module)
                if options.sample and options.sample < len(every):
                    every = sorted(random.Random(module).sample(every, options.sample), key=lambda of: of.index)
                survivors = []
                check = functools.partial(survives, 60 + 10 * seconds)
                for mutant, survived in pool.imap_unordered(check, every, chunksize=1):
                    if survived:
                        survivors.append(mutant)
                        source = path_of(module).read_text().splitlines()[mutant.line - 1].strip()
                        print(f"  {module}.py:{mutant.line}: {mutant.words}: {source}", flush=True)
                dead = len(every) - len(survivors)
                print(
                    f"{module}: {dead} of {len(every)} died, {dead / len(every):.0%}; tests {seconds:.0f} s", flush=True
                )
                alive += len(survivors)
    print(f"{alive} survived")


if __name__ == "__main__":
    main()
