# make demo: set up and run the main job on embedded data.   make test: set up and run the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet
OUT ?= results/demo
# A worker for each core, which takes whole groups, those of tests/conftest.py; what compares with PyTorch shares nothing.
WORKERS := --numprocesses logical --maxprocesses 8 --no-loadscope-reorder --dist
# What compares with PyTorch is optimized, but by LLVM alone: XLA's fusion emitters take a quarter longer to compile. And
# PyTorch's threads would wait for each other on busy cores.
PEERS := AE_JAX_TEST_OPTIMIZED=1 XLA_FLAGS=--xla_cpu_use_fusion_emitters=false OMP_NUM_THREADS=1

.PHONY: demo reproduce test test-peers test-optimized test-browser fuzz faults lint bench clean

demo: $(VENV)/.installed
	$(BIN)/python -m experiments.compression --dataset digits --budget quick --out $(OUT) --resume
	$(BIN)/python -m experiments.page $(OUT)

reproduce: $(VENV)/.installed
	$(BIN)/python -m experiments.run_all --dataset mnist --budget full

test: $(VENV)/.installed-test lint
	$(BIN)/python -m pytest -m "not peers and not browser" $(WORKERS) loadgroup

test-optimized: $(VENV)/.installed-test
	AE_JAX_TEST_OPTIMIZED=1 $(BIN)/python -m pytest $(WORKERS) loadgroup tests/test_layers.py tests/test_oracles.py tests/test_trials.py

test-peers: $(VENV)/.installed-peers
	$(PEERS) $(BIN)/python -m pytest -m peers $(WORKERS) worksteal

test-browser: $(VENV)/.installed-browser
	$(BIN)/python -m pytest -m browser

# Damaged files against every reader, 5,000 mutations of each format: minutes.
fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz

# Runs on a disk that fills up, resumed: minutes.
faults: $(VENV)/.installed-test
	$(BIN)/python -m tests.faults

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ae-jax needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made: install python3-venv"; exit 1; }
	$(PIP) --upgrade pip

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[studies]"
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[test]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-browser: pyproject.toml | $(BIN)/python
	@command -v chromium >/dev/null || test -n "$(CHROMIUM)" || { echo "no Chromium: install it (apt-get install chromium), or name one with CHROMIUM=..."; exit 1; }
	$(PIP) --editable ".[browser]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-peers: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[test,peers]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[test,peers,bench]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-test $(VENV)/.installed-peers
