"""Microbenchmarks of the jitted steps, each with its peers in the same run: ``python -m benchmarks``."""
