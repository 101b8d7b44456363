# `make demo` shows a lab, `make test` passes every test; both set up what is missing first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
TEST_LAB := test
# The stories run on two labs at once, since they wait for real agents most of the time.
WORKERS := gw0 gw1
STORIES := $(BIN)/pytest -q -n $(words $(WORKERS)) --dist loadfile --no-loadscope-reorder
# Which of them: pytest's markers.
ONLY := not nightly

# Behind a proxy with its own certificate authority, pip needs this machine's certificates in the builds, too.
SYSTEM_CA := $(wildcard /etc/ssl/certs/ca-certificates.crt)
export FAKEVM_CA_BUNDLE ?= $(or $(SYSTEM_CA),/dev/null)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/stamp: pyproject.toml
	@compose/ensure-venv.sh $(PYTHON) $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

.PHONY: venv
venv: $(VENV)/stamp ## Make .venv with fakevm and the tools of its tests

.PHONY: docker
docker: ## Make sure of Docker Engine and Compose v2
	@compose/ensure-docker.sh

.PHONY: images
images: docker venv ## Build the lab's images, those that are missing or stale
	@$(BIN)/fakevm build

.PHONY: constraints
constraints: images ## Pin a release's packages: NEUTRON=28.0.2 UPPER=https://releases.openstack.org/constraints/upper/2026.1
	images/neutron/constraints.sh "$(NEUTRON)" "$(UPPER)"

.PHONY: demo
demo: ## Set everything up, start the lab and walk the demo; leaves the lab running
	@started=$$SECONDS
	phase() { from=$$SECONDS; "$${@:2}"; printf '%8d s  %s\n' $$((SECONDS - from)) "$$1" >>"$$times"; }
	times=$$(mktemp); trap 'rm -f "$$times"' EXIT
	phase 'Docker Engine and Compose' $(MAKE) --no-print-directory docker
	phase 'the virtual environment' $(MAKE) --no-print-directory venv
	phase 'the images' $(MAKE) --no-print-directory images
	phase 'the lab' $(BIN)/fakevm up
	phase 'the demo' $(BIN)/fakevm demo
	printf '%8d s  all\n' $$((SECONDS - started)) >>"$$times"
	echo; echo "Time of each phase:"; cat "$$times"; echo
	echo "The lab is running. To use it: source $(BIN)/activate, then try what is named above."
	echo "To stop it: fakevm down"

.PHONY: lint
lint: venv ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/shellcheck $$(git ls-files | xargs grep -lE '^#!(/bin/|/usr/bin/env )(ba)?sh' --)

.PHONY: docs
docs: venv ## The site, in build/site; a warning is an error
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python docs/pages.py build/docs
	$(BIN)/sphinx-build -q -W --keep-going -E -c docs build/docs build/site
	echo "build/site/index.html"

.PHONY: unit
unit: venv ## The unit tests: no root, no Docker
	$(BIN)/pytest -q -n $(words $(WORKERS)) tests/unit

.PHONY: functional
functional: images venv ## The agent's modules, on a private Open vSwitch in a container
	docker compose -f tests/functional/compose.yml build --quiet
	docker compose -f tests/functional/compose.yml run --rm --env "PYTEST_ADDOPTS=-m '$(ONLY)'" functional

# Of the release whose fault a scenario must find.
.PHONY: images-29.0.0
images-29.0.0: images
	@$(BIN)/fakevm build --neutron 29.0.0

.PHONY: integration
integration: images venv ## The stories, on labs of their own names; those that take longest are left to the night
	export FAKEVM_TEST_LAB=$(TEST_LAB) FAKEVM_TEST_KEEP=1
	trap 'for worker in $(WORKERS); do $(BIN)/fakevm down --name $(TEST_LAB)-$$worker; done' EXIT
	$(STORIES) --durations=15 -m '$(ONLY)' --fakevm-lab $(TEST_LAB) tests/integration tests/scenarios

.PHONY: test
test: images venv ## The tests of each change
	@# The functional tests, in a container of their own, wait more than they work: they run beside all others.
	log=$$(mktemp)
	$(MAKE) --no-print-directory functional >"$$log" 2>&1 &
	functional=$$!
	trap 'kill "$$functional" 2>/dev/null || true; wait "$$functional" || true; rm -f "$$log"' EXIT
	$(MAKE) --no-print-directory lint unit integration
	wait "$$functional" || { cat "$$log"; exit 1; }
	tail -n 2 "$$log"

.PHONY: nightly
nightly: images-29.0.0 ## Every test: those of `make test`, and the stories that take longest
	$(MAKE) --no-print-directory test ONLY=

# On which backends, and where pytest's JUnit files go.
BACKEND := ovs ovn
RESULTS := results
.PHONY: scenarios
scenarios: images venv ## What is taken up of Neutron's fullstack, on both backends; BACKEND=ovn: on one
	failed=
	for backend in $(BACKEND); do
		$(BIN)/pytest -q -n $(words $(WORKERS)) --dist loadfile --durations=10 --fakevm-lab scenarios \
			--fakevm-backend "$$backend" --junit-xml "$(RESULTS)/scenarios-$$backend.xml" -o junit_duration_report=call \
			tests/scenarios || failed="$$failed $$backend"
	done
	test -z "$$failed" || { echo "failed on$$failed"; exit 1; }

.PHONY: bench
bench: images venv ## Measure; writes bench.json
	$(BIN)/python -m tests.bench

.PHONY: clean
clean: ## Remove the virtual environment and what the tools left
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist logs results bench.json
