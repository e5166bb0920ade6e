# Each target works from a fresh clone: Python 3.11 or newer, make and apt are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test lint bench
help:
	@echo "make demo     a documentation site with an avatar, on this machine"
	@echo "make test     every test, in a real browser too"
	@echo "make lint     ruff, mypy, import-linter"
	@echo "make bench    what the plugin, the service and the avatar cost"
	@echo "make install  the virtual environment in $(VENV)"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@scripts/need python '$(PYTHON)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@exec $(BIN)/sentifyd-edge demo

test: $(INSTALLED)
	@scripts/need chromium
	@scripts/need redis
	$(BIN)/pytest $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	@scripts/need chromium
	@scripts/need wrk
	@scripts/need redis
	$(BIN)/python -m benchmarks $(ARGS)
