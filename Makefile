# The kit's commands. `make` alone lists them. Each creates or refreshes the environment in .venv first;
# when pyproject.toml and constraints.txt have not changed since, that takes no time.

PYTHON      ?= python3
VENV        ?= .venv
EXTRAS      ?= course,dev,export,scale
CONSTRAINTS ?= constraints.txt
PROFILE     ?= quick
OUT         ?= out/notebooks
ARGS        ?=
REPOSITORY  ?=

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install notebooks test test-browser lint format lab bench publish launch site clean

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY    := $(BIN)/python
READY := $(VENV)/.ready

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: PYTHON=$(PYTHON) PROFILE=$(PROFILE) OUT=$(OUT) ARGS='more options for the command'"

install: $(READY)  ## create or refresh the environment in .venv

notebooks: $(READY)  ## run every notebook headless; figures and report.html under out/notebooks (PROFILE=smoke|quick|gpu|full)
	$(BIN)/maunet-lite notebooks run --profile $(PROFILE) --out $(OUT) $(ARGS)

test: $(READY)  ## run the tests, on two cores
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

test-browser: $(READY)  ## drive the notebooks' widgets in a real JupyterLab; screenshots in out/browser
	@$(PY) -c 'from tests.browser.lab import find_chromium as find; raise SystemExit(not find())' \
	  || $(PY) -m playwright install chromium >/dev/null 2>&1 || { \
	  echo "playwright could not fetch its Chromium; installing the system's package instead"; \
	  if [ "$$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi; \
	  $$as_root apt-get update -qq && $$as_root apt-get install -y -qq chromium >/dev/null; } || { \
	  echo "Install Chromium or Chrome by hand, or name one:  MAUNET_CHROMIUM=/path/to/chrome make test-browser"; exit 1; }
	$(PY) -m pytest -m browser tests/browser $(ARGS)

lint: $(READY)  ## check style and formatting, and that the published notebooks are fresh
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(BIN)/maunet-lite notebooks check

format: $(READY)  ## mend style and formatting where a tool can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

lab: $(READY)  ## open the course in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

bench: $(READY)  ## run the quick form of every benchmark
	$(PY) -m benchmarks $(ARGS)

publish: $(READY)  ## execute and publish the notebooks whose source has changed
	$(BIN)/maunet-lite notebooks publish $(ARGS)

launch: $(READY)  ## write REPOSITORY=owner/name, a public copy, into badges and first cells
	@[[ "$(REPOSITORY)" == ?*/?* ]] || { echo "Name the public copy:  make launch REPOSITORY=owner/name"; exit 1; }
	for file in $$(grep -rlF --exclude-dir=exercises OWNER/maunet-lite README.md notebooks pyproject.toml CITATION.cff); do \
	  sed -i.old 's#OWNER/maunet-lite#$(REPOSITORY)#g' "$$file" && rm "$$file.old"; done
	$(BIN)/maunet-lite notebooks exercises

site: $(READY)  ## write course, docs and API as one website that works offline: out/site
	$(PY) docs/site.py $(ARGS)

clean:  ## remove the environment, caches and reports (trained models in runs/ and data/ stay)
	rm -rf $(VENV) out build .cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find maunet_lite tests benchmarks notebooks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A venv that was copied from elsewhere or made by a Python that is gone is made anew.
$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "This kit needs Python 3.11 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 || true)"; \
	  echo "Install a newer Python and name it, for example:  make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PY) -c '' 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); } || { \
	  echo "'$(PYTHON) -m venv' failed: on Debian and Ubuntu install the package python3-venv first"; exit 1; }
	@echo "installing the kit into $(VENV) (minutes the first time) …"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[$(EXTRAS)]" || { \
	  echo "Installing failed; the reason stands above. If one exact version does not exist for this system,"; \
	  echo "let the ranges of pyproject.toml choose:  make CONSTRAINTS=/dev/null $(MAKECMDGOALS)"; exit 1; }
	@touch $(READY)
