# transfer: two commands set up everything: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test test-slow check verify bench lists format
.DEFAULT_GOAL := help

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-10s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)  ## sets up, then runs handwritten digits end to end, offline
	$(BIN)/transfer run experiment=hello --format table

test: $(READY)  ## sets up, then runs the fast tests
	$(BIN)/python -m pytest -n 2 -m 'not slow'

test-slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

check: $(READY)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

verify: $(READY)  ## experiments against the numbers they should reach, those of minutes
	for name in hello digits_dann shakespeare_char; do $(BIN)/transfer verify experiment=$$name --format table || exit 1; done

bench: $(READY)  ## the measured ratios of the README, into benchmarks/results
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

lists: $(READY)  ## the lists of the README that follow from the code
	$(BIN)/python docs/lists.py

format: $(READY)  ## puts the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
