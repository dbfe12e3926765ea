# `make run` and `make test` each set up what they need: python3 (3.11 or newer) with venv, make, and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config.yaml
COMPILE := build/lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
BENCH := $(BIN)/pytest -q -m bench -o addopts="--strict-markers --benchmark-quiet"

.DEFAULT_GOAL := help
.PHONY: help setup run test check mutants compiled bench instructions page-delay peers side-by-side compare-models dashboards reference \
	image soak fmt lint types lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.project ## make .venv from requirements.lock, where it is missing or outdated

$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version 2>&1`. Try: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.project: $(VENV)/.locked pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	$(BIN)/python -m compileall -q mm_daemon connectors
	@touch $@

run: setup ## quote on paper, on the embedded market, until Ctrl-C (CONFIG=file for another configuration)
	@$(BIN)/mm-daemon run --config $(CONFIG)

lint: setup ## style, format and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## strict types
	$(BIN)/mypy

test: lint types ## everything the pipeline runs: lint, types, contracts, tests
	$(BIN)/pytest -q -m "not slow and not bench" -n auto --dist loadfile

check: lint types ## everything, the slow proofs too
	$(BIN)/pytest -q -m "not bench" -o faulthandler_timeout=1800

mutants: setup ## break the daemon's rules one by one and see that the simulation notices (part of check)
	$(BIN)/pytest -v tests/simulation/test_mutants.py

compiled: build/compiled/.made ## the same source with its hot path as extension modules, in build/compiled (C compiler, 2 minutes)

build/compiled/.made: $(VENV)/.project setup.py $(shell find mm_daemon connectors -name '*.py')
	@rm -rf build/compiled build/mypyc build/lib build/lib.* build/bdist.* build/temp.*
	MM_COMPILE=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index \
		--no-build-isolation --target build/compiled .
	@touch $@

bench: setup ## measure ours beside the peers, 3 minutes; prints a table (KEEP=1 keeps it under tests/bench/results)
	$(BENCH) tests/bench $(if $(KEEP),--keep)

instructions: setup ## of the bench only the instructions a frame, under valgrind: no neighbour disturbs them
	$(BENCH) tests/bench/bench_instructions.py

page-delay: setup ## of the bench only what decisions wait for the page and metrics of 20 markets under load, 80 seconds
	$(BENCH) tests/bench/bench_page_load.py

side-by-side: setup ## the same strategy in three engines on the recording, fill by fill; writes the picture of peers.md
	$(BIN)/python -m tests.bench.peers.side_by_side --plot deploy/pictures/peers.png

peers: setup ## other engines on the same recording; they are installed in build/peers (PEERS=options)
	$(BIN)/python -m tests.bench.peers.run $(PEERS)

compare-models: setup ## the pricing models on the same markets, 5 minutes; writes deploy/docs/models.md (needs matplotlib)
	$(BIN)/python -m mm_daemon.backtest.comparison

image: setup ## build the image with buildah on Debian packages and run it, 5 minutes, as root (needs buildah, mmdebstrap)
	$(BIN)/pytest -q -m slow tests/image

reference: setup ## write what docs have from the code: configuration.md, reasons.md, tables and pictures of models/
	$(BIN)/python -m mm_daemon.cli.reference deploy/docs

dashboards: setup ## write deploy/grafana/dashboards from deploy/grafana/build.py
	$(BIN)/python deploy/grafana/build.py

soak: setup ## a day of the whole daemon on virtual time, 8 minutes: what it holds each hour, as JSON
	@rm -rf build/soak && mkdir -p build/soak
	$(BIN)/python -m tests.soak.day build/soak 24

fmt: setup ## write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## pin again what pyproject.toml asks for
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet pip-tools
	build/lock/bin/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
		run = p["build-system"]["requires"] + p["project"]["dependencies"]; dev = run + p["dependency-groups"]["dev"]; \
		open("build/lock/run.in", "w").write("\n".join(run)); open("build/lock/dev.in", "w").write("\n".join(dev))'
	$(COMPILE) -o build/lock/dev.txt build/lock/dev.in
	$(COMPILE) -c build/lock/dev.txt -o build/lock/run.txt build/lock/run.in
	{ echo "# Exact pins of what pyproject.toml asks for, to run and to develop. Written by make lock."; \
		grep -v '^# The following' build/lock/dev.txt; } > requirements.lock
	{ echo "# Exact pins of what the daemon needs to run, a part of requirements.lock, for its image. Written by make lock."; \
		grep -v '^# The following' build/lock/run.txt; } > requirements-run.lock

clean: ## remove what was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find mm_daemon connectors tests -name __pycache__ -type d -prune -exec rm -rf {} +
