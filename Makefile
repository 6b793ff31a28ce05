# Two commands do everything on a machine that has Python 3.11+ and nothing else:
#   make serve    set up what running needs, then start the service
#   make test     set up what testing needs, then run the tests
# Set-up is repeated only when a lock file changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := models/all-MiniLM-L6-v2/model.safetensors
TESTS ?= tests

.PHONY: serve test check lint lint-deploy types format model lock bench-deps clean help

help:
	@echo "make serve       start the service (sets everything up first)"
	@echo "make test        run the tests (sets everything up first); TESTS=path for a part"
	@echo "make check       what CI runs: format, lint, types, tests"
	@echo "make lint-deploy check the files for containers and clusters"
	@echo "make model       fetch and verify the embedding model"
	@echo "make format      rewrite the code in house style"
	@echo "make lock        resolve the dependencies anew"
	@echo "make bench-deps  install the peers that benchmarks compare with, into .venv-bench"
	@echo "make clean       remove what the other commands made"

serve: $(VENV)/runtime.done $(MODEL) $(BIN)/carrel
	$(BIN)/python -m carrel serve

test: $(VENV)/dev.done $(MODEL) $(BIN)/carrel
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTS)

check: lint types test

lint: $(VENV)/dev.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# Manifests whose kind is no part of Kubernetes itself (KEDA's, kustomize's) are left to the suite.
lint-deploy: .venv-lint/done
	.venv-lint/bin/hadolint Dockerfile
	for file in namespace settings api workers beat; do \
	  .venv-lint/bin/kubernetes-validate --quiet deploy/kubernetes/$$file.yaml || exit 1; done
	@if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi; \
	  command -v $${compose%% *} >/dev/null || { echo "docker compose is missing: apt install docker-compose" >&2; exit 1; }; \
	  CARREL_API_KEY=x CARREL_ACCESS_PEPPER=x POSTGRES_PASSWORD=x MINIO_PASSWORD=xxxxxxxx $$compose --profile monitoring config --quiet

.venv-lint/done: requirements/lint.txt
	$(PYTHON) -m venv .venv-lint
	.venv-lint/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/lint.txt
	@touch $@

types: $(VENV)/dev.done
	$(BIN)/mypy

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

model: $(MODEL)

$(MODEL): | $(VENV)/environment.done
	@test -e $(VENV)/dev.done || test -e $(VENV)/runtime.done || $(MAKE) $(VENV)/runtime.done
	$(BIN)/python -m ingest.embedding.fetch --into models

$(VENV)/environment.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Carrel needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/runtime.done: requirements/runtime.lock | $(VENV)/environment.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/runtime.lock
	@touch $@

$(VENV)/dev.done: requirements/dev.lock | $(VENV)/environment.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.lock
	@touch $@ $(VENV)/runtime.done

# The command, for this checkout: found from any folder once .venv/bin is in the PATH.
$(BIN)/carrel: | $(VENV)/environment.done
	@$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "carrel-checkout.pth").write_text("$(CURDIR)\n")'
	@printf '#!/bin/sh\nexec "%s/python" -m carrel "$$@"\n' "$(CURDIR)/$(BIN)" > $@
	@chmod +x $@

lock:
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-annotate --extra cluster pyproject.toml -o requirements/runtime.lock
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-annotate --extra cluster --group dev pyproject.toml -c requirements/runtime.lock -o requirements/dev.lock

# Peers live apart: some of them pin old versions of what we use, and nobody needs them to run Carrel.
bench-deps: requirements/bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/bench.txt
	@echo "run benchmarks with: .venv-bench/bin/python -m benchmarks NAME"

clean:
	rm -rf $(VENV) .venv-bench .venv-lint build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
