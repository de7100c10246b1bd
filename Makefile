# Community Gateway. `make` alone prints this help.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FOR ?=

.DEFAULT_GOAL := help
.PHONY: help setup screenshots schema screens run test test-fast lint fmt types imports bench chaos test-ble-real docs-check lock deb deb-test deb-arm sbom audit clean

help: ## print this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## build the virtual environment .venv from the lock files

$(STAMP): requirements.lock requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

run: $(STAMP) ## the simulated compound, the gateway and its live status (FOR=30 ends by itself)
	@exec $(BIN)/python -m simulators.demo $(if $(FOR),--for $(FOR))

test: $(STAMP) ## everything that CI tests; installs Mosquitto through apt where it may
	@sh tests/need.sh
	$(BIN)/python -m pytest -m "not alone" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone tests/integration

lint: $(STAMP) ## report style faults
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: $(STAMP) ## mend style faults
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## who may import whom
	$(BIN)/lint-imports

docs-check: $(STAMP) ## links, commands, configuration keys and profiles named in the documents are real
	$(BIN)/python -m tests.docs

schema: $(STAMP) ## schemas for editors, where the shipped files name them
	@mkdir -p configs/schema
	@for kind in gateway profile rules cases; do $(BIN)/gateway schema $$kind > configs/schema/$$kind.json; done

screenshots: $(STAMP) ## the pictures in docs/ anew (needs Chromium)
	$(BIN)/python -m tests.docs.screenshots

screens: $(STAMP) ## what `gateway status --watch` shows, in docs/screens/ anew (needs tmux)
	$(BIN)/python -m tests.docs.screens

bench: $(STAMP) ## ratios against a named baseline in the same run
	@sh tests/need.sh
	$(BIN)/python -m bench

chaos: $(STAMP) ## the long fault runs
	@sh tests/need.sh
	$(BIN)/python -m pytest -m chaos --timeout 1800

test-ble-real: $(STAMP) ## BLE on a real bluetoothd and kernel in QEMU; skipped with a reason where that cannot be
	@$(BIN)/python -m tests.qemu

lock: ## write the lock files anew (needs uv)
	uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes --extra ble --extra demo --extra influx -o requirements.lock pyproject.toml
	uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes --extra ble --extra dev --extra demo --extra influx -c requirements.lock -o requirements-dev.lock pyproject.toml requirements-build.in

deb: $(STAMP) ## Debian packages for amd64 and arm64 in dist/ (ARCH=arm64: one of them)
	$(BIN)/python -m release.deb $(if $(ARCH),--arch $(ARCH))

deb-test: $(STAMP) ## the package on a machine with systemd: sandbox, watchdog, upgrades, power cuts (root; half an hour)
	@sh tests/need.sh
	$(BIN)/python -m pytest tests/integration/test_deb.py tests/integration/test_machine.py -m "chaos or not chaos" --timeout 1800

deb-arm: $(STAMP) ## the package in an emulated arm64 Debian, with the simulated compound (root; half an hour)
	@sh tests/need.sh
	$(BIN)/python -m pytest tests/integration/test_arm64.py -m chaos -s

sbom: $(STAMP) ## what a gateway is made of, as CycloneDX in dist/
	$(BIN)/python -m release.sbom

audit: $(STAMP) ## asks OSV whether a flaw of a locked package is known; says so when it cannot be reached
	$(BIN)/python -m release.audit

clean: ## remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
