"""The microbenchmarks for those who track them with pytest-benchmark: ``pytest benchmarks --benchmark-only``.

Needs the extra ``bench``. The ordinary test run does not look in here.
"""

import pytest

from benchmarks import report
from benchmarks.networks import NETWORKS
from benchmarks.programs import Case, call_program, scan_program
from benchmarks.shares import STEP, pieces

pytest.importorskip("pytest_benchmark", reason="pip install '.[bench]' brings pytest-benchmark")

BATCH, STEPS = 128, 20
IMAGES = report.random_images(BATCH * STEPS)


def track(benchmark, program, **info):
    """Seven calls of a program that is compiled, after one to warm up."""
    benchmark.extra_info.update(info, steps_a_call=STEPS, compile_seconds=program.compile_seconds)
    benchmark.pedantic(program.run, rounds=7, warmup_rounds=1)


@pytest.mark.parametrize("program", [scan_program, call_program])
@pytest.mark.parametrize("network", NETWORKS)
def test_training_steps(benchmark, network, program):
    track(benchmark, program(NETWORKS[network].ours(), Case(network, BATCH), IMAGES), batch_size=BATCH)


@pytest.mark.parametrize("lanes", [1, 8])
def test_lanes(benchmark, lanes):
    track(benchmark, scan_program(NETWORKS["conv"].ours(), Case("conv", BATCH, trials=lanes), IMAGES), lanes=lanes)


@pytest.mark.parametrize("piece", [name for name in pieces("dense", 8, IMAGES[:8]) if name != STEP])
@pytest.mark.parametrize("network", NETWORKS)
def test_pieces(benchmark, network, piece):
    track(benchmark, pieces(network, BATCH, IMAGES)[piece](), batch_size=BATCH)
