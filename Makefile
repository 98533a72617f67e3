# Every target sets up what it needs: Python 3.11 or newer and make are all that must be there.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# Another interpreter: make PYTHON=python3.12 run
PYTHON ?= python3

BIN := .venv/bin
INSTALLED := .venv/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

.PHONY: help
help: ## What there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(INSTALLED) ## Run everything on this machine; Ctrl-C ends it
	@$(BIN)/python -m local run

.PHONY: demo
demo: $(INSTALLED) ## Walk a Task's life cycle, both ways, and show each step
	@$(BIN)/python -m local demo

.PHONY: test
test: $(INSTALLED) ## The tests, but for the slow ones
	$(BIN)/pytest -m "not slow and not chaos"

.PHONY: e2e
e2e: $(INSTALLED) ## The slow tests: whole stacks, crashes, broken connections
	$(BIN)/pytest -m slow

# The stories and inputs of the proofs; another number tells others: make chaos SEED=2
SEED ?= 1
# How much the chaos runner goes through, and from which seed: make chaos CHAOS="--seed 5"
CHAOS ?= --reservations 1000 --faults 200

.PHONY: chaos
chaos: $(INSTALLED) ## Break everything, at random but repeatably; see that nothing is lost
	CHAOS_EXAMPLES=1000 $(BIN)/pytest -m chaos --randomly-seed=$(SEED) --hypothesis-seed=$(SEED)
	$(BIN)/python -m tests.chaos run $(CHAOS)

.PHONY: bench
bench: $(INSTALLED) ## Measure what our promises about speed say
	$(BIN)/python -m benchmarks

.PHONY: deploy
deploy: $(INSTALLED) ## Bring a stage on AWS to what the files say: make deploy STAGE=dev
	@test -n "$(STAGE)" || { echo "Which stage? make deploy STAGE=dev" >&2; exit 2; }
	@$(BIN)/python -m infra deploy --stage $(STAGE)

.PHONY: destroy
destroy: $(INSTALLED) ## Take a stage away, but for its data: make destroy STAGE=dev
	@test -n "$(STAGE)" || { echo "Which stage? make destroy STAGE=dev" >&2; exit 2; }
	@$(BIN)/python -m infra destroy --stage $(STAGE)

.PHONY: check
check: $(INSTALLED) ## Style, types, the direction of imports, the template
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint infra/*.yaml

.PHONY: format
format: $(INSTALLED) ## Put the code into the shape that check wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(INSTALLED) ## Pin what requirements*.in ask for
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt

.PHONY: hooks
hooks: $(INSTALLED) ## Check before every commit (git, this checkout only)
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove what the other targets have made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not. Name one: make PYTHON=python3.12 ..." >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv || { \
		echo "'$(PYTHON) -m venv .venv' failed. Debian and Ubuntu have it in a package: apt install python3-venv" >&2; \
		exit 1; }
	@echo "Installing what requirements-dev.txt names into .venv (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
