# make setup      a virtual environment in .venv with the exact versions of constraints.txt
# make quickstart a real fine-tuning run in about a minute, no network, no GPU, no account
# make lesson     the five runs of the lesson's ladder, each with its state and what to try next, in some ten minutes
# make bench      training speed and memory beside a raw PyTorch loop, against what is recorded, in some seven minutes
# make test       the fast tests; make test-all adds the slow proofs; make check the linters and the type checker

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One process a core, up to four, with one thread each: files of tests share nothing.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: setup quickstart lesson bench check test test-all

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "ftlab needs Python 3.11 to 3.13; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

quickstart: setup
	$(BIN)/ftlab fit --config configs/quickstart.yaml

lesson: setup
	$(BIN)/python experiments/lesson/ladder.py

bench: setup
	$(BIN)/python experiments/benchmarks/bench.py --short

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup
	$(PYTEST)

test-all: setup
	$(PYTEST) -m 'slow or not slow'
