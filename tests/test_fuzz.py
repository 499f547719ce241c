"""A hundred mutations of each format, always the same; ``make fuzz`` tries thousands. Pickles, which nothing opens."""

import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ae_jax import exchange, images, results
from ae_jax.types import UsageError
from experiments import spaces, tables
from tests import fuzz
from tests.commands import ROOT


@pytest.mark.parametrize("of", fuzz.FORMATS, ids=lambda of: of.name)
def test_a_damaged_file_is_refused_or_read_as_it_was(of, tmp_path):
    """Where no checksum covers all, as in a plain IDX, npy or CSV, other numbers may be read; nothing else happens."""
    counts, escaped = fuzz.attack(of, tmp_path, 100)
    ends = Counter()
    for (_, end), count in counts.items():
        ends[end] += count
    assert not escaped, escaped[0]
    assert ends["refused"] > 10 and sum(ends.values()) == 100, ends


def test_what_escapes_is_counted(tmp_path):
    """A reader that believes everything, and one that fails in words of its own."""
    of = fuzz.FORMATS[0]
    believing = of._replace(read=Path.read_bytes, checked=True)
    assert len(fuzz.attack(believing, tmp_path, 60)[1]) > 50
    failing = of._replace(read=lambda path: 1 // (path.read_bytes() == fuzz.IDX))
    assert all("ZeroDivisionError" in words for words in fuzz.attack(failing, tmp_path, 60)[1])


class Payload:
    """What pickle would call a function for: here one that leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("ending", ["npz", "npy"])
@pytest.mark.parametrize(
    "read",
    [
        images.read,
        lambda path: results.load(path),
        lambda path: exchange.codes(path, fuzz.MODEL),
        lambda path: tables.read_trials(path.rename(path.with_suffix(".npz")), spaces.build, {}, ()),
    ],
    ids=["images", "results", "codes", "trials"],
)
def test_a_pickle_in_an_array_is_refused_and_does_nothing(tmp_path, read, ending):
    path, effect = tmp_path / f"x.{ending}", tmp_path / "effect"
    array = np.array([Payload(effect)], object)
    if ending == "npy":
        np.save(path, array)
    else:
        np.savez(path, images=array, codes=array, trial_latent=array, meta=array)
    with pytest.raises(UsageError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read(path)
    assert not effect.exists()
    (left,) = tmp_path.glob("x.*")
    loaded = np.load(left, allow_pickle=True)
    assert loaded["codes" if ending == "npz" else ...].shape and effect.exists()  # it would have worked


def test_nothing_of_ours_opens_a_pickle():
    """Users may pickle models, as scikit-learn's do; no file is read that way."""
    for source in (*(ROOT / "ae_jax").glob("*.py"), *(ROOT / "experiments").rglob("*.py")):
        text = source.read_text()
        assert not re.search(
            r"allow_pickle=(?!False)|\b(cloudpickle|dill|import pickle|from pickle)|\bpickle\.", text
        ), source
        assert text.count("np.load(") == text.count("allow_pickle=False"), source
