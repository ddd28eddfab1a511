# mmlab: everything that is run from the shell. `make help` lists the targets.
#
# make PYTHON=python3.12 ...   another interpreter for the virtual environment
# make VENV=/path ...          another place for it
# make TORCH_INDEX=URL ...     take torch from another index, for example the CPU-only one of pytorch.org

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
TORCH ?= torch
METHOD ?=
ARCHIVE ?=
CHAPTER ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
MMLAB := $(BIN)/python -m mmlab.cli

# One thread per process: small tensors lose far more to thread switching than they gain from a second core.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export PYTHONPATH := $(CURDIR)

# The last thing that setting up does. While it is missing, the environment is not trusted but built anew.
READY := $(VENV)/.complete

.DEFAULT_GOAL := help
.PHONY: help setup newest colab book test check alarms new serve release rebuild lock format clean
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Create the virtual environment from lock/cpu.txt (the others do it by themselves)

newest: ## Create it from the newest versions that pyproject.toml allows, to see what breaks with them
	@$(PYTHON) -m venv --clear $(VENV)
	@$(if $(TORCH_INDEX),$(PIP) install -qq --index-url $(TORCH_INDEX) torch)
	@$(PIP) install -qq --editable '.[book,dev]'
	@touch $(READY)

colab: ## Run a notebook as Colab would, in a fresh environment: make colab [CHAPTER=<stem>] [TORCH=torch==2.13.0]
	@$(PYTHON) benchmarks/colab_trial.py $(CHAPTER) --torch "$(TORCH)" $(if $(TORCH_INDEX),--torch-index "$(TORCH_INDEX)")

book: $(READY) ## Run every chapter that changed, build the website, print where it is
	@$(MMLAB) book all

test: check ## Run `make check`, then the tests
	@$(BIN)/python -m pytest

check: $(READY) ## Lint, formatting, types, import contract, notebooks in step with their sources
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check . || { echo "Some files are not formatted: run 'make format'." >&2; exit 1; }
	@$(BIN)/mypy
	@found=$$($(BIN)/lint-imports --no-cache --no-logo) || { echo "$$found" >&2; exit 1; }
	@$(MMLAB) book sync --check

alarms: $(READY) ## List modules and functions that have grown long
	@$(BIN)/python tests/contract/rules.py

new: $(READY) ## Scaffold a method: make new METHOD=<stem> [CHAPTER=<one that tells of it, too>]
	@$(MMLAB) new "$(METHOD)" $(if $(CHAPTER),--chapter "$(CHAPTER)")

serve: $(READY) ## Show the website that `make book` built
	@$(MMLAB) book serve

format: $(READY) ## Format the code and repair what the linter can
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format .
	@$(MMLAB) book sync

release: book ## Pack site, runs and sources into dist/, with a PDF if there is a browser
	@$(MMLAB) book release

rebuild: $(READY) ## Check a release and run a chapter of it: make rebuild ARCHIVE=<file> CHAPTER=<stem>
	@$(MMLAB) book rebuild "$(ARCHIVE)" $(CHAPTER)

# uv solves; `+cpu` is dropped from the pins, since only some indexes carry that label. Every file of a release gets its
# hash, for all platforms; those of the CPU builds of torch come from pytorch.org or from the wheels that pip is told of.
lock: $(READY) ## Solve the dependencies again into lock/cpu.txt with hashes, with lock/constraints.txt
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(PIP) install -qq uv
	@links=$$($(PIP) config get global.find-links 2>/dev/null || true); \
	uv=$$(command -v uv || echo $(BIN)/uv); \
	$$uv pip compile pyproject.toml --quiet --extra book --extra dev --constraint lock/constraints.txt \
	  --python-version 3.11 --no-annotate --no-header $${links:+--find-links "$$links"} </dev/null \
	  >lock/cpu.txt.new && sed -i 's/+cpu$$//' lock/cpu.txt.new && \
	$$uv pip compile lock/cpu.txt.new --quiet --no-deps --generate-hashes --python-version 3.11 --no-annotate \
	  --no-header >lock/cpu.txt.hashed && \
	$(BIN)/python lock/hashes.py lock/cpu.txt.hashed lock/cpu.txt $${links:-https://download.pytorch.org/whl/cpu} >lock/cpu.txt.new && \
	mv lock/cpu.txt.new lock/cpu.txt && rm lock/cpu.txt.hashed
	@echo "lock/cpu.txt pins $$(grep -c == lock/cpu.txt) packages; run 'make test' before you commit it."

clean: ## Delete what was built (the virtual environment and the data stay)
	rm -rf out dist _build build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(READY): lock/cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  found=$$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo missing); \
	  echo "mmlab needs Python 3.11 to 3.13, and '$(PYTHON)' is $$found:" \
	  "name a fitting one, as in 'make PYTHON=python3.12 $(or $(firstword $(MAKECMDGOALS)),test)'." >&2; exit 1; }
	@if test -e $@; then rm $@; else echo "Setting up $(VENV) (about a minute) ..."; $(PYTHON) -m venv --clear $(VENV); fi
	@# The lock is all of it on Linux; elsewhere, the last line adds the few packages that only that platform needs.
	@$(PIP) install -qq --require-hashes --no-deps $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	  --requirement lock/cpu.txt
	@$(PIP) install -qq --no-build-isolation --editable '.[book,dev]'
	@touch $@
