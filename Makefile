# Each target works in a fresh clone with Python 3.11 or newer, make and apt.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The demo needs a part of that, and nothing more where all of it is.
DEMO := $(or $(wildcard $(INSTALLED)),$(VENV)/.demo)
LOWEST := .venvs/lowest
IMAGE := .venvs/image
LISTS := deploy/container/requirements
SBOM := dist/sentifyd-edge.cdx.json
CYCLONEDX := cyclonedx-bom==7.5.0
JAVASCRIPT := .venvs/javascript
COMPONENT := .venvs/component
WORKFLOWS := $(wildcard .github/workflows/*.yml)
DOCKERFILES := $(wildcard deploy/*/Dockerfile)
# More than there are cores, because most tests wait most of the time.
WORKERS := -n 4 --dist worksteal
ENGINES := chromium firefox webkit
SCRIPTS := scripts/need scripts/install $(wildcard deploy/*/*.sh)

.PHONY: help install demo docs test test-browser test-lowest real-sites lint lint-types lint-types-windows lint-javascript bench dist pins sbom audit
help:
	@echo "make demo         run a documentation site with an avatar on this machine"
	@echo "make test         run all tests, including those in a browser"
	@echo "make test-browser ENGINE=firefox, or webkit or chromium: test the runtime's promises in one engine"
	@echo "make test-lowest  test plugin and service with the lowest supported versions"
	@echo "make real-sites   build the documentation of other packages with and without the plugin, and compare"
	@echo "make lint         run ruff, mypy, import-linter, Biome and tsc; check workflows and Dockerfiles"
	@echo "make docs         build the documentation in example_docs/site, in strict mode"
	@echo "make bench        measure the cost of plugin, service and avatar"
	@echo "make dist         build sdist and wheel in dist"
	@echo "make pins         write the lists of packages in deploy from pyproject.toml and constraints.txt"
	@echo "make sbom         list the container's Python packages in dist, as CycloneDX"
	@echo "make audit        check the packages in constraints.txt for known vulnerabilities"
	@echo "make install      create the virtual environment in $(VENV)"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@scripts/install $(VENV) dev '$(PYTHON)'
	@touch $@

$(VENV)/.demo: pyproject.toml constraints.txt
	@scripts/install $(VENV) demo '$(PYTHON)'
	@touch $@

demo: $(DEMO)
	@exec $(BIN)/sentifyd-edge demo

docs: $(DEMO)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file example_docs/mkdocs.yml

test: $(INSTALLED) $(COMPONENT)/.installed
	@scripts/need chromium
	@scripts/need firefox
	@scripts/need webkit
	@scripts/need redis
	@scripts/need nginx
	@scripts/need prometheus
	@scripts/need caddy
	@scripts/need haproxy
	$(BIN)/pytest $(WORKERS) $(ARGS)

test-browser: $(INSTALLED)
	$(if $(and $(filter $(ENGINES),$(ENGINE)),$(filter 1,$(words $(ENGINE)))),,$(error set ENGINE to one of: $(ENGINES)))
	@scripts/need $(ENGINE)
	THOROUGH=true $(BIN)/pytest tests/runtime/test_promises.py -k $(ENGINE) $(ARGS)

test-lowest: $(LOWEST)/.installed
	@scripts/need chromium
	@scripts/need redis
	$(LOWEST)/bin/pytest $(WORKERS) $(or $(ARGS),tests/plugin tests/service)

real-sites: $(INSTALLED)
	$(BIN)/python -m tests.real_sites $(ARGS)

# The tests' own packages may require newer versions, so the lowest versions are installed last.
$(LOWEST)/.installed: pyproject.toml $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST) --constraint constraints.txt --editable '.[dev]'
	$(BIN)/uv pip compile --quiet --python $(LOWEST) --resolution lowest-direct --output-file $(LOWEST)/pins.txt \
		--extra service --extra redis --extra otel --extra check pyproject.toml
	$(BIN)/uv pip install --quiet --python $(LOWEST) --requirement $(LOWEST)/pins.txt
	@touch $@

lint: $(INSTALLED) $(JAVASCRIPT)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint-types lint-types-windows
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/hadolint $(DOCKERFILES)
	for script in $(SCRIPTS); do sh -n $$script || exit 1; done
	@[ ! -e $(JAVASCRIPT)/.installed ] || $(MAKE) --no-print-directory lint-javascript

lint-types:
	$(BIN)/mypy
lint-types-windows:
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 edge_service mkdocs_sentifyd

# Both programs look for node on PATH.
lint-javascript: export PATH := $(JAVASCRIPT)/node_modules/.bin:$(PATH)
lint-javascript: $(JAVASCRIPT)/.installed
	PATH=$$(scripts/need node $(BIN)):$$PATH && \
		biome lint --config-path scripts/javascript/lint.jsonc --error-on-warnings . && \
		for part in runtime sandbox peer; do tsc --project scripts/javascript/$$part.json || exit 1; done

# Without npm there is no stamp, and `need` has said what is missing.
$(JAVASCRIPT)/.installed: scripts/javascript/package.json $(INSTALLED)
	@rm -f $@
	@scripts/need javascript $(BIN) $(JAVASCRIPT)

# Without npm's registry there is no stamp, and `need` has said so.
$(COMPONENT)/.installed: $(wildcard scripts/component/*) $(INSTALLED)
	@rm -f $@
	@scripts/need component $(BIN) $(COMPONENT)

bench: $(INSTALLED)
	@scripts/need chromium
	@scripts/need wrk
	@scripts/need redis
	$(BIN)/python -m benchmarks $(ARGS)

dist: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --installer uv --outdir dist
	$(BIN)/twine check --strict dist/*

pins: $(INSTALLED)
	$(BIN)/python -m scripts.pins

# What the Dockerfile installs; cyclonedx-py validates its list against the schema before it writes it.
sbom: $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(IMAGE)
	$(BIN)/uv pip install --quiet --python $(IMAGE) --require-hashes \
		--requirement $(LISTS)/service.txt --requirement $(LISTS)/redis.txt
	$(BIN)/uv pip install --quiet --python $(IMAGE) --no-deps .
	mkdir -p $(dir $(SBOM))
	$(BIN)/uv tool run --quiet --from $(CYCLONEDX) cyclonedx-py environment --validate --output-reproducible \
		--pyproject pyproject.toml --output-file $(SBOM) $(IMAGE)/bin/python

audit: $(INSTALLED)
	$(BIN)/uv tool run pip-audit --strict --no-deps --disable-pip --requirement constraints.txt
