# `make help` tells what there is. Each command first gets what it needs and says so: scripts/prepare.py.

PYTHON ?= python3
WORKERS ?= 2
PYTEST_ARGS ?=

prepare := $(PYTHON) scripts/prepare.py
bin := $(CURDIR)/.venv/bin
pytest := $(bin)/pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

# The tests look for the Go tools, and for Go itself, on the PATH.
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install venv tools demo test test-unit test-integration lint format types protos \
	protos-check bench build check-wheel constraints clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12  which Python makes .venv     WORKERS=4  how many tests at once"
	@echo "  PYTEST_ARGS='-k x' more for pytest"

install: ## Set up .venv with all that is needed to work on the project
	@$(prepare) dev

venv: install

tools: ## Build buildkitd, buildctl, buildx and a registry into .tools/bin
	@$(prepare) tools

demo: ## Build examples/hello with a private buildkitd; the files come to out/
	@$(prepare) demo
	@$(bin)/python -m scripts.demo

test: ## Run all tests
	@$(prepare) test
	@$(pytest)

test-unit: ## Run the tests that need no daemon
	@$(prepare) dev
	@$(pytest) -m "not integration and not docker"

test-integration: ## Run the tests that need a daemon
	@$(prepare) test
	@$(pytest) -m "integration or docker"

lint: ## Check style and formatting
	@$(prepare) dev
	$(bin)/ruff check
	$(bin)/ruff format --check

format: ## Format the code, and mend what can be mended
	@$(prepare) dev
	$(bin)/ruff check --fix
	$(bin)/ruff format

types: ## Check types with mypy (strict) and pyright
	@$(prepare) dev
	$(bin)/mypy
	$(bin)/pyright

protos: ## Render protos/ from buildkitd and generate pybuildkit/_pb
	@$(prepare) protos
	@$(PYTHON) scripts/protos.py render
	@$(PYTHON) scripts/protos.py generate

protos-check: ## Fail on any difference between buildkitd, protos/ and pybuildkit/_pb
	@$(prepare) protos
	@$(PYTHON) scripts/protos.py check

bench: ## Measure against buildctl
	@$(prepare) test
	@$(bin)/python -m bench

build: ## Build the wheel and the source distribution into dist/
	@$(prepare) dev
	@$(bin)/hatchling build

check-wheel: ## Build the wheel, look into it, and use it from a fresh environment
	@$(prepare) dev
	@$(bin)/python -m scripts.check_wheel

constraints: ## Renew constraints.txt with the newest versions
	@$(prepare) constraints

clean: ## Remove what was built, but neither .venv nor .tools
	rm -rf out dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv and .tools too
	rm -rf .venv .tools
