# From a fresh clone: `make demo` does the main job, `make test` checks everything.
.DEFAULT_GOAL := help
.PHONY: help demo test test-full test-cov lint oracles posteriors effects accuracies faults soak serve bench clean

# The first of these that runs and is 3.11 to 3.13; set PYTHON to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
MODELS ?= models

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 was found: set PYTHON"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(VENV)/.run  ## train, sweep, compare, export, serve and query, on real data
	$(BIN)/python examples/demo.py

lint: $(VENV)/.dev  ## style, types and walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

test: lint  ## lint, then every test but the slow ones
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow"

test-full: lint  ## lint, then every test
	$(BIN)/python -m pytest -n auto --dist loadgroup

test-cov: $(VENV)/.dev  ## every test but the slow ones, with coverage
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow" --cov --cov-report=term-missing:skip-covered

oracles: $(VENV)/.dev  ## hold every function against its oracle, write docs/ORACLES.md
	$(BIN)/python -m tests.oracles

posteriors: $(VENV)/.dev  ## draw twelve published posteriors (MASTERY_DATA), write docs/POSTERIORS.md
	$(BIN)/python -m tests.posteriors

effects: $(VENV)/.dev  ## estimate published effects (MASTERY_DATA), write docs/EFFECTS.md
	$(BIN)/python -m tests.effects

accuracies: $(VENV)/.dev  ## fit every classifier on published splits (MASTERY_DATA), write docs/ACCURACY.md
	$(BIN)/python -m tests.accuracies

faults: $(VENV)/.dev  ## try every fault of serving, slow ones too, write docs/FAULTS.md
	$(BIN)/python -m tests.faults

SECONDS_OF_SOAK ?= 600
soak: $(VENV)/.dev  ## mixed traffic against one server for ten minutes (SECONDS_OF_SOAK): nothing fails, nothing grows
	$(BIN)/python -m tests.soak --seconds $(SECONDS_OF_SOAK)

serve: $(VENV)/.run  ## serve the models in $(MODELS)
	$(BIN)/mastery serve --models $(MODELS)

bench: $(VENV)/.dev  ## time ours and the peers in turn, write docs/BENCHMARKS.md
	$(BIN)/python -m benchmarks.report --run

clean:  ## remove what the commands above made
	rm -rf $(VENV) .bench .demo dist htmlcov .coverage .pytest_cache .ruff_cache
