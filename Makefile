# make demo: set up and run the main job on embedded data.   make test: set up and run the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Bytecode is compiled of what is imported, when it is: a third of the packages, and half of the time.
PIP := $(BIN)/python -m pip install --quiet --no-compile
OUT ?= results/demo
# A worker for each core, which takes whole groups, those of tests/conftest.py; what compares with PyTorch shares nothing.
WORKERS := --numprocesses logical --maxprocesses 8 --no-loadscope-reorder --dist

.PHONY: demo reproduce test test-oldest test-peers test-optimized test-browser fuzz faults hostile promises properties mutants lint bench clean

demo: $(VENV)/.installed
	$(BIN)/python -m experiments.compression --dataset digits --budget quick --out $(OUT) --resume
	$(BIN)/python -m experiments.page $(OUT)

reproduce: $(VENV)/.installed
	$(BIN)/python -m experiments.run_all --dataset mnist --budget full

test: $(VENV)/.installed-test lint
	$(BIN)/python -m pytest -m "not peers and not browser" $(WORKERS) loadgroup

# With every direct dependency at the lowest version that pyproject.toml allows; the newest: make test PYTHON=python3.13.
test-oldest:
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet uv
	VIRTUAL_ENV=$(VENV)-oldest $(VENV)-oldest/bin/uv pip install --quiet --resolution lowest-direct --editable ".[test]"
	$(VENV)-oldest/bin/python -m pytest -m "not peers and not browser" $(WORKERS) loadgroup

test-optimized: $(VENV)/.installed-test
	AE_JAX_TEST_OPTIMIZED=1 $(BIN)/python -m pytest $(WORKERS) loadgroup tests/test_layers.py tests/test_oracles.py tests/test_trials.py

# Compiled nearly in earnest, or as the other tests are: make test-peers OPTIMIZED=
test-peers: OPTIMIZED := llvm
test-peers: $(VENV)/.installed-peers
	AE_JAX_TEST_OPTIMIZED=$(OPTIMIZED) $(BIN)/python -m pytest -m peers $(WORKERS) worksteal

test-browser: $(VENV)/.installed-browser
	$(BIN)/python -m pytest -m browser

# Damaged files against every reader, 5,000 mutations of each format: minutes.
fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz

# Runs on a disk that fills up, resumed: minutes.
faults: $(VENV)/.installed-test
	$(BIN)/python -m tests.faults

# Every study again, killed and resumed, with other test images, under the check of keys: half an hour.
promises: $(VENV)/.installed-test
	$(BIN)/python -m tests.promises

# Every option of every study with hostile values: twenty minutes.
hostile: $(VENV)/.installed-test
	$(BIN)/python -m tests.hostile

# The properties of make test with many and other examples: minutes.
properties: $(VENV)/.installed-test
	AE_JAX_TEST_EXAMPLES=300 $(BIN)/python -m pytest tests/test_properties.py

# Which broken lines the tests notice, 900 of them: hours. Fewer: python -m tests.mutate --sample 20.
mutants: $(VENV)/.installed-test
	$(BIN)/python -m tests.mutate

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(VENV)-oldest build *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ae-jax needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made: install python3-venv"; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[studies]"
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[test]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-browser: pyproject.toml | $(BIN)/python
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || test -n "$(CHROMIUM)" || { echo "no Chromium: install it (apt-get install chromium), or name one with CHROMIUM=..."; exit 1; }
	$(PIP) --editable ".[browser]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-peers: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[test,peers]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	$(PIP) --editable ".[test,peers,bench]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-test $(VENV)/.installed-peers
