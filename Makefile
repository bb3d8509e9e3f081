# make demo    set everything up and label the example images
# make test    set everything up and run the tests
# make test-fast  only the unit and contract tests
# make check   format, lint, types and dependencies checked, then the tests
# make audit   the pinned dependencies checked for known vulnerabilities
# make format  put the code in its format
# make bench   the benchmarks of docs/performance.md
# make clean   remove the virtual environment and what tools left behind

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# For pip: `make demo PIP_FLAGS='--extra-index-url https://download.pytorch.org/whl/cpu'` spares a
# Linux machine the CUDA build of torch.
PIP_FLAGS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --constraint constraints.txt
# Test processes. Tests wait now and then, so that one more than there are cores fills them.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: demo test test-fast check lint types audit format bench clean

demo: $(VENV)/.demo
	$(BIN)/iraas submit examples/images --save demo-results.csv

test: $(VENV)/.dev
	$(PYTEST)

test-fast: $(VENV)/.dev
	$(PYTEST) tests/unit tests/contract

check: lint types audit test

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive iraas

types: $(VENV)/.dev
	$(BIN)/mypy

audit: $(VENV)/.dev
	.ci/audit

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/bare_loop.py
	$(BIN)/python benchmarks/overhead_by_stage.py
	$(BIN)/python benchmarks/local_backend.py
	$(BIN)/python benchmarks/local_backend.py --megapixels 12

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis demo-results.csv

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "iraas needs Python 3.11 or newer; name one: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[worker,export,web,loadgen]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[all]' --group dev
	touch $@ $(VENV)/.demo
