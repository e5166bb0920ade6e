# Each target works in a fresh clone with Python 3.11 or newer, make and apt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LOWEST := .venvs/lowest
WORKFLOWS := $(wildcard .github/workflows/*.yml)
DOCKERFILES := $(wildcard deploy/*/Dockerfile)
SCRIPTS := scripts/need $(wildcard deploy/*/*.sh)

.PHONY: help install demo docs test test-lowest lint bench dist audit
help:
	@echo "make demo         run a documentation site with an avatar on this machine"
	@echo "make test         run all tests, including those in a browser"
	@echo "make test-lowest  test plugin and service with the lowest supported versions"
	@echo "make lint         run ruff, mypy and import-linter; check workflows and Dockerfiles"
	@echo "make docs         build the documentation in example_docs/site, in strict mode"
	@echo "make bench        measure the cost of plugin, service and avatar"
	@echo "make dist         build sdist and wheel in dist"
	@echo "make audit        check the packages in constraints.txt for known vulnerabilities"
	@echo "make install      create the virtual environment in $(VENV)"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@scripts/need python '$(PYTHON)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@exec $(BIN)/sentifyd-edge demo

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file example_docs/mkdocs.yml

test: $(INSTALLED)
	@scripts/need chromium
	@scripts/need redis
	@scripts/need nginx
	$(BIN)/pytest $(ARGS)

test-lowest: $(LOWEST)/.installed
	@scripts/need chromium
	@scripts/need redis
	$(LOWEST)/bin/pytest $(or $(ARGS),tests/plugin tests/service)

# The tests' own packages may require newer versions, so the lowest versions are installed last.
$(LOWEST)/.installed: pyproject.toml $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST) --constraint constraints.txt --editable '.[dev]'
	$(BIN)/uv pip compile --quiet --python $(LOWEST) --resolution lowest-direct --output-file $(LOWEST)/pins.txt \
		--extra service --extra redis --extra otel --extra check pyproject.toml
	$(BIN)/uv pip install --quiet --python $(LOWEST) --requirement $(LOWEST)/pins.txt
	@touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 edge_service mkdocs_sentifyd
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/hadolint $(DOCKERFILES)
	for script in $(SCRIPTS); do sh -n $$script || exit 1; done

bench: $(INSTALLED)
	@scripts/need chromium
	@scripts/need wrk
	@scripts/need redis
	$(BIN)/python -m benchmarks $(ARGS)

dist: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --installer uv --outdir dist
	$(BIN)/twine check --strict dist/*

audit: $(INSTALLED)
	$(BIN)/uv tool run pip-audit --strict --no-deps --disable-pip --requirement constraints.txt
