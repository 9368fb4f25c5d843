# On a fresh machine: Python 3.11 or later, Go (or pulumi 3.276 or later) and package registries; see README.md.

STACK  ?= dev
SPEED  ?= 60
PYTHON ?= python3

# The engine starts providers at every operation: from bytecode they start twice as fast, whatever the user's shell says.
export PYTHONDONTWRITEBYTECODE =

VENV := .venv
BIN  := $(VENV)/bin
RUN  := $(BIN)/python -m

# Wheels only. Intel Macs have none of two packages that moto needs: they are built, by pip, from sources with a hash.
WHEELS := --only-binary :all:
ifeq ($(shell uname -sm),Darwin x86_64)
WHEELS += --no-binary cryptography,lazy-object-proxy
endif

# uv is many times faster; pip knows where packages are on machines where only pip was told.
install = $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode $(WHEELS) --require-hashes -r $(1) || \
	$(RUN) pip install --quiet --disable-pip-version-check $(WHEELS) --require-hashes -r $(1)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ready ## deploy STACK (dev) to an AWS on this machine, SPEED (60) times faster, and send its endpoints a sample request
	@$(RUN) sandbox up --stack $(STACK) --speed $(SPEED)

.PHONY: preview
preview: ready ## show what `make up` would do
	@$(RUN) sandbox preview --stack $(STACK)

.PHONY: down
down: ready ## destroy every stack of the sandbox, stop its servers, delete it
	@$(RUN) sandbox down

.PHONY: status
status: ready ## what runs in the sandbox
	@$(RUN) sandbox status

.PHONY: check
check: $(VENV)/installed lint ## lint, types and the unit tests that start no server: a minute, to run before each commit
	@$(RUN) pytest -q -n 2 -m "not (soak or triton)" --ignore tests/infra/editor tests/infra

# Three workers on two cores: what asks the sandbox waits for a good part of its time.
.PHONY: test
test: ready lint editor ## every check and every test but the long ones of `make soak`
	@$(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: soak
soak: ready bridge ## the tests that take minutes: releases under load, deployments killed at many moments, the real bridge
	@$(RUN) pytest -n 2 --dist worksteal -m "soak or bridge"

# `make test` asks it too where it was built, which takes minutes, once.
.PHONY: bridge
bridge: $(VENV)/installed ## build the real pulumi-terraform-bridge, which judges the stand-in for pulumi-aws
	@$(RUN) tests.bridge.judge > /dev/null

.PHONY: bench
bench: ready ## the figures of docs/verification.md, against the named peers
	@$(RUN) benchmarks.release_detection
	@$(RUN) benchmarks.model_repository
	@$(RUN) benchmarks.image_mirror

.PHONY: picture
picture: ready ## run the README's commands and draw what they print: docs/terminal.svg
	@$(RUN) sandbox down
	@$(RUN) docs.terminal

.PHONY: dashboard
dashboard: ready ## send the endpoints of Pulumi.modes.yaml requests for 15 minutes and draw their dashboard: docs/dashboard.png
	@$(RUN) sandbox down
	@$(RUN) docs.dashboard

.PHONY: lint
lint: $(VENV)/installed
	@$(RUN) ruff check .
	@$(RUN) mypy

.PHONY: schema
schema: $(VENV)/installed ## write what is generated: schema/stack.schema.json, docs/configuration.md, docs/model-check.md
	@$(RUN) infra schema
	@$(RUN) infra explain --write

.PHONY: messages
messages: $(VENV)/installed ## write tests/messages.md: every rule and error with an example of what people see
	@$(RUN) tests.messages

# All are resolved together, so that a package has one version in all three files; versions stay unless UPGRADE is given.
.PHONY: lock
lock: $(VENV)/installed ## lock the Python packages of requirements*.in; UPGRADE=--upgrade takes the newest
	@cat requirements.txt requirements-dev.txt requirements-triton.txt > $(VENV)/lock.txt
	@$(compile) $(UPGRADE) --output-file $(VENV)/lock.txt requirements-dev.in requirements-triton.in
	@$(compile) --constraints $(VENV)/lock.txt --output-file requirements.txt --emit-build-options requirements.in
	@$(compile) --constraints $(VENV)/lock.txt --output-file requirements-dev.txt requirements-dev.in
	@$(compile) --constraints $(VENV)/lock.txt --output-file requirements-triton.txt requirements-triton.in

compile = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--only-binary :all: --custom-compile-command "make lock"

# A test asks it what an editor would show. Node trusts its own certificates only, unless told to trust the machine's too.
.PHONY: editor
editor: $(VENV)/editor/installed
$(VENV)/editor/installed: tests/infra/editor/package-lock.json $(VENV)/installed
	@mkdir -p $(@D)
	@cp tests/infra/editor/package.json tests/infra/editor/package-lock.json $(@D)
	@NODE_USE_SYSTEM_CA=1 $(BIN)/npm ci --prefix $(@D) --loglevel error --no-update-notifier --ignore-scripts --no-audit --no-fund > /dev/null
	@touch $@

# The engine may have to be built, which takes minutes, once: Python's packages are installed meanwhile.
.PHONY: ready
ready:
	@$(MAKE) --no-print-directory -j2 $(VENV)/installed engine

.PHONY: engine
engine: python
	@$(PYTHON) -m sandbox.engine > /dev/null

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, and $(PYTHON) is not: make PYTHON=/path/to/python3.12 …" >&2; exit 1; }

$(VENV)/installed: requirements-dev.txt requirements-triton.txt | python
	@$(PYTHON) -c 'import ensurepip' || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "python: installing into $(VENV), about a minute"
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt > $(VENV)/uv.txt
	@$(RUN) pip install --quiet --disable-pip-version-check $(WHEELS) --require-hashes -r $(VENV)/uv.txt
	@$(call install,requirements-dev.txt)
	@$(call install,requirements-triton.txt) || \
		echo "python: no Triton for this machine (see above); the sandbox's endpoints will exist, but not answer"
	@touch $@
	@echo "python: installed"
