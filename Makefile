# What a contributor does here. `make` lists it.

PYTHON ?= python3
VENV := .venv/.made
CLUSTER_CLI := $(PYTHON) -m localcluster
RUN ?= examples/shop/run.yaml
# Tests on the cluster side by side, as most of them wait; 0: one after another.
E2E_WORKERS ?= 2
PYTEST := .venv/bin/pytest
# The same, and what failed once more: docs/decisions/0022.
PYTEST_AGAIN := .venv/bin/python -m tests.support.again
# Evaluated when used: the kubeconfig of the cluster that CLUSTER and CLUSTER_NAME name.
KUBECONFIG_PATH = $$($(CLUSTER_CLI) kubeconfig)

export CLUSTER ?= local
export CLUSTER_NAME ?= seatrial

.DEFAULT_GOAL := help
.PHONY: help venv lint format generate test unit properties gateway components components-slow agent control-plane e2e killers cluster-tests bench bench-gateway bench-steps bench-messages crash-points demo up down images preset-images kubeconfig kubectl clean

help: ## List what can be made
	@awk -F ':.*## ' '/^##@ / {print "\n" substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "With CLUSTER=local|kind|current, CLUSTER_NAME=, RUN=examples/NAME/run.yaml, PYTHON="

##@ See it work

demo: $(VENV) up ## Bring everything up and run an example: RUN=, or the shop; exit status 0 if Passed
	KUBECONFIG=$(KUBECONFIG_PATH) .venv/bin/seatrial run --replace $(RUN)

up: ## Bring a real cluster up, with the operator; or up to date
	@$(CLUSTER_CLI) up

down: ## Remove it without a trace; the cache of built things stays
	@$(CLUSTER_CLI) down

images: ## Build the images that have changed and give them to the cluster
	@$(CLUSTER_CLI) images

preset-images: ## Build the images of databases and brokers and give them to the cluster
	@$(CLUSTER_CLI) images --group presets

kubeconfig: ## Print the path of the cluster's kubeconfig
	@$(CLUSTER_CLI) kubeconfig

kubectl: ## Run kubectl on the cluster: make kubectl ARGS='get pods -A'
	@$(CLUSTER_CLI) kubectl $(ARGS)

##@ Change it

venv: $(VENV) ## Make .venv with everything for development
$(VENV): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: set PYTHON to one"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  $(CLUSTER_CLI) packages '/usr/lib/python3*/ensurepip/__init__.py=python3-venv'
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "$(PYTHON) lacks its modules ensurepip and venv: install them, or set PYTHON"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -e '.[dev]'
	@touch $@

lint: $(VENV) ## Check style, types and layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy -p localcluster
	.venv/bin/lint-imports

format: $(VENV) ## Write the code as the linter wants it
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

generate: $(VENV) ## Write what is derived: CRD, reference, bundles of the examples
	.venv/bin/python -m seatrial.api.generate
	.venv/bin/python -m seatrial.cli.reference
	.venv/bin/python helm/reference.py
	.venv/bin/python examples/bundle.py
	.venv/bin/python -m tests.support.write_documented
	.venv/bin/python -m tests.support.told

clean: ## Remove what was made in the checkout; the cluster and its cache stay
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Test it

test: unit gateway components up agent control-plane e2e cluster-tests ## All but properties, components-slow, killers and crash-points; brings the cluster up (about an hour)

unit: $(VENV) ## Tests without a cluster
	$(PYTEST_AGAIN) tests/unit tests/localcluster -m 'not slow'

properties: $(VENV) ## Property tests with twenty times as many examples, other ones each time (minutes)
	HYPOTHESIS_PROFILE=wide $(PYTEST) tests/unit -m hypothesis

gateway: $(VENV) ## Tests of the gateway on loopback, with the real Envoy and PostgreSQL
	@$(CLUSTER_CLI) packages '/usr/lib/postgresql/*/bin/pgbench=postgresql' openssl
	$(PYTEST_AGAIN) tests/gateway

components: $(VENV) ## Tests of steps against real databases and brokers on loopback
	@$(CLUSTER_CLI) packages '/usr/lib/postgresql/*/bin/initdb=postgresql' \
	  mariadbd=mariadb-server redis-server prometheus rabbitmq-server nats-server \
	  /usr/sbin/mosquitto=mosquitto java=default-jre-headless mvn=maven
	$(PYTEST_AGAIN) tests/components -m 'not slow'

components-slow: $(VENV) ## The same with 1,000 subscriptions by broker and a million rows (after make components)
	$(PYTEST) tests/components -m slow

agent: $(VENV) ## Tests of faults inside a pod, in namespaces of this machine; as root
	$(PYTEST_AGAIN) tests/agent

control-plane: $(VENV) ## Tests against a real API server without nodes
	$(PYTEST_AGAIN) tests/control_plane

e2e: $(VENV) preset-images ## Tests on the cluster (make up)
	KUBECONFIG=$(KUBECONFIG_PATH) $(PYTEST_AGAIN) tests/e2e -m 'not exhaustive and not alone' \
	  -n $(E2E_WORKERS) --dist loadfile
	KUBECONFIG=$(KUBECONFIG_PATH) $(PYTEST_AGAIN) tests/e2e -m 'not exhaustive and alone'

killers: $(VENV) ## Kill every part at every moment of every kind of fault (make up; minutes)
	KILLERS_PAGE=docs/killers.md KUBECONFIG=$(KUBECONFIG_PATH) $(PYTEST) tests/e2e/test_faults_and_killers.py

cluster-tests: $(VENV) ## Tests of the local cluster itself: killed, removed, its policies
	$(PYTEST_AGAIN) tests/localcluster -m slow

crash-points: $(VENV) ## Kill operator and conductor at each write, on the node (make up)
	KUBECONFIG=$(KUBECONFIG_PATH) .venv/bin/python -m tests.crash_points

##@ Measure it

bench-gateway: $(VENV) ## Measure the gateway: beside Toxiproxy, and 40,000 short faults (40 min)
	@status=0; \
	.venv/bin/python -m tests.bench.gateway --page docs/performance-gateway.md || status=1; \
	.venv/bin/python -m tests.bench.gateway_faults --page docs/performance-gateway.md || status=1; \
	exit $$status

bench-steps: $(VENV) ## Measure steps against bare libraries, on loopback
	.venv/bin/python -m tests.bench.steps --page docs/performance-steps.md

bench-messages: $(VENV) ## Measure messages by broker, on loopback
	.venv/bin/python -m tests.bench.messages --page docs/performance-messages.md

bench: $(VENV) ## Measure on the cluster (make up), and write docs/performance.md
	KUBECONFIG=$(KUBECONFIG_PATH) .venv/bin/python -m tests.bench
