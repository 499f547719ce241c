"""The environment of the tests: their compiled programs are their own, and shared."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from ae_jax import checkpoints, data, downloads
from experiments import command_line, common
from tests.commands import ROOT


def test_compiled_programs_are_kept_apart_from_the_users():
    """Those of this process too, however quickly they were compiled."""
    programs = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert programs.resolve() != (downloads.cache_dir() / "programs").resolve()
    assert jax.config.jax_compilation_cache_dir == str(programs)
    jax.clear_caches()
    before = set(programs.iterdir())
    number = os.getpid()  # of no other process, so that the program is new
    jax.jit(lambda x: x + number)(1).block_until_ready()
    assert len(set(programs.iterdir()) - before) >= 1


@pytest.mark.parametrize("given, seconds", [(None, 0.3), ("0", 0.0)])
def test_a_study_keeps_the_programs_that_took_a_while_unless_told_otherwise(monkeypatch, tmp_path, given, seconds):
    name = "jax_persistent_cache_min_compile_time_secs"
    monkeypatch.delenv(name.upper())
    if given is not None:
        monkeypatch.setenv(name.upper(), given)
    monkeypatch.setattr(sys, "argv", ["study", "--out", str(tmp_path)])
    kept = []
    before = jax.config.jax_persistent_cache_min_compile_time_secs
    try:
        command_line.main(common.Options, lambda options: kept.append(getattr(jax.config, name)))
    finally:
        jax.config.update(name, before)
    assert kept == [seconds]


def test_programs_are_kept_from_when_a_user_asks_for_it(tmp_path):
    """Even after a first compilation; another process then finds them and adds none."""
    code = """if True:
        import sys, jax, ae_jax
        jax.jit(lambda x: x + 1)(1).block_until_ready()
        assert jax.config.jax_compilation_cache_dir is None
        ae_jax.keep_programs(sys.argv[1])
        jax.jit(lambda x: x + 2)(1).block_until_ready()
    """
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    kept = []
    for _ in range(2):
        line = [sys.executable, "-c", code, str(tmp_path / "programs")]
        subprocess.run(line, cwd=ROOT, env=environment, check=True)
        kept.append({path.name for path in (tmp_path / "programs").glob("*-cache")})
    assert kept[0] and kept[0] == kept[1]


def reopened(folder, seeds, resume):
    """What a study does that finds checkpoints of its own, or of another seed."""
    for seed in seeds:
        checkpoints.open_folder(folder / "study.checkpoints", {"seed": seed}, resume)


@pytest.mark.parametrize(
    ("study", "option"),
    [
        (lambda options: reopened(options.out, (0, 0), resume=False), "give --resume to go on"),
        (lambda options: reopened(options.out, (0, 1), resume=True), "or another --out"),
        (lambda options: data.load("mnist", options.out), "with --data-dir FOLDER or the variable AE_JAX_DATA"),
    ],
    ids=["unfinished", "another", "data"],
)
def test_a_study_tells_what_the_library_refuses_in_its_own_options(monkeypatch, capsys, tmp_path, study, option):
    monkeypatch.setattr(sys, "argv", ["study", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        command_line.main(common.Options, study)
    told = capsys.readouterr().err
    assert end.value.code == 2 and option in told and "resume=" not in told and "data_dir=" not in told
