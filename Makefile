# Chores of Dermaxis. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints-dev.txt
SETTINGS ?= configs/demo.yaml
PACKAGE ?= evaluation
UI ?=

.DEFAULT_GOAL := help
.PHONY: help demo ui test unit lint sbom docs mutate faults bench clean

help:  ## list the chores
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime  ## the whole job on the generated cohort; ends with the path of a report (at most 4 minutes on two cores)
	$(BIN)/dermaxis run $(SETTINGS)

ui: $(VENV)/.runtime  ## the labelling tool, on generated lesions unless UI="--store URL --images DIR" says otherwise
	$(BIN)/dermaxis ui $(UI)

test: lint unit docs $(VENV)/.dev  ## everything: lint, unit tests, documentation, then the slow, browser and real-data tests
	$(BIN)/python -m pytest -m "(slow or data) and not browser" --numprocesses=auto --dist=loadfile --durations=10
	$(BIN)/python -m pytest -m browser --durations=10  # one after the other: people, too, wait for the page

unit: $(VENV)/.dev  ## the unit tests only (two and a half minutes on two cores)
	$(BIN)/python -m pytest --numprocesses=auto

lint: $(VENV)/.dev  ## ruff, mypy, the floors of the house, bandit and the list of advisories
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml concepts pipeline clinician_ui
	$(BIN)/python tests/house/advisories.py

sbom: $(VENV)/.dev  ## what is installed, with versions and licences, as sbom.json (CycloneDX)
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --no-validate --of JSON -o sbom.json

docs: $(VENV)/.dev  ## the documentation as a site in site/; broken links are errors; needs no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html; to search, serve it: $(PYTHON) -m http.server -d site"

mutate: $(VENV)/.dev  ## how many planted faults the unit tests of PACKAGE find (tests/benchmarks/mutation_score.py)
	$(BIN)/python tests/benchmarks/mutation_score.py $(PACKAGE)

faults: $(VENV)/.dev  ## plant 25 faults at the joints; the unit tests must find each (some ten minutes)
	$(BIN)/python tests/benchmarks/planted_faults.py

bench: $(VENV)/.dev  ## what concept whitening costs (docs/explanation/speed.md); some ten minutes on an idle machine
	$(BIN)/python tests/benchmarks/whitening_speed.py

clean:  ## remove the virtual environment and caches (runs/ stays)
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Dermaxis needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --no-deps irrCAC  # it asks for scipy 1.12, and works with later ones
	touch $@ $(VENV)/.runtime
