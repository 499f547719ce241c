"""The page of the public names: all of them are there, its table is the code's, its examples are as they say."""

import doctest
import re

import numpy as np

import ae_jax
from ae_jax.types import NUMBERS
from tests.commands import ROOT

PAGE = ROOT / "docs" / "api.md"


def test_every_public_name_is_on_the_page():
    prose = re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.DOTALL)
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert not set(ae_jax.__all__) - words


def test_the_table_of_hyper_parameters_is_that_of_the_code():
    head = "| hyper-parameter | default | allowed | meaning |\n|---|---|---|---|\n"
    rows = PAGE.read_text().partition(head)[2].partition("\n\n")[0].splitlines()
    assert rows == [
        f"| `{name}` | {number.default:g} | {'whole, ' * (number.dtype is np.int32)}{number.allowed.words} "
        f"| {number.meaning} |"
        for name, number in NUMBERS.items()
    ]


def test_the_examples_are_as_they_say():
    test = doctest.DocTestParser().get_doctest(PAGE.read_text(), {}, "docs/api.md", str(PAGE), 0)
    assert len(test.examples) > 20 and doctest.DocTestRunner().run(test).failed == 0


def test_every_guarantee_names_tests_that_are_there():
    text = (ROOT / "docs" / "guarantees.md").read_text()
    rows = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| ") and "guarded by" not in line]
    assert len(rows) > 20
    for guards in rows:
        assert (named := re.findall(r"`(\w+)::(\w+)`", guards)), guards
        for module, test in named:
            assert re.search(rf"^def {test}\(", (ROOT / "tests" / f"{module}.py").read_text(), re.M), (module, test)
