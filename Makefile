# What a contributor does here. `make` lists it.

PYTHON ?= python3
VENV := .venv/.made
CLUSTER_CLI := $(PYTHON) -m localcluster
RUN ?= examples/shop/run.yaml
# Tests on the cluster side by side; 0: one after another.
E2E_WORKERS ?= 0
PYTEST := .venv/bin/pytest
# Evaluated when used: the kubeconfig of the cluster that CLUSTER and CLUSTER_NAME name.
KUBECONFIG_PATH = $$($(CLUSTER_CLI) kubeconfig)

export CLUSTER ?= local
export CLUSTER_NAME ?= seatrial

.DEFAULT_GOAL := help
.PHONY: help venv lint format generate test unit gateway agent control-plane e2e killers cluster-tests bench bench-gateway crash-points demo up down images kubeconfig kubectl clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV) ## Make .venv with everything for development
$(VENV): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: set PYTHON to one"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "Python lacks its venv module: apt-get install python3-venv"; exit 1; }
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

test: unit gateway up agent control-plane e2e cluster-tests ## Run every test; brings the cluster up

unit: $(VENV) ## Tests without a cluster
	$(PYTEST) tests/unit tests/localcluster -m 'not slow'

gateway: $(VENV) ## Tests of the gateway on loopback, with the real Envoy and PostgreSQL
	@ls /usr/lib/postgresql/*/bin/pgbench >/dev/null 2>&1 || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql openssl; }
	$(PYTEST) tests/gateway

agent: $(VENV) ## Tests of faults inside a pod, in namespaces of this machine; as root
	$(PYTEST) tests/agent

control-plane: $(VENV) ## Tests against a real API server without nodes
	$(PYTEST) tests/control_plane

e2e: $(VENV) ## Tests on the cluster (make up)
	KUBECONFIG=$(KUBECONFIG_PATH) $(PYTEST) tests/e2e -m 'not exhaustive and not alone' \
	  -n $(E2E_WORKERS) --dist loadfile
	KUBECONFIG=$(KUBECONFIG_PATH) $(PYTEST) tests/e2e -m 'not exhaustive and alone'

killers: $(VENV) ## Kill every part at every moment of every kind of fault (make up; minutes)
	KUBECONFIG=$(KUBECONFIG_PATH) $(PYTEST) tests/e2e/test_faults_and_killers.py

cluster-tests: $(VENV) ## Tests of the local cluster itself: killed, removed, its policies
	$(PYTEST) tests/localcluster -m slow

bench-gateway: $(VENV) ## Measure the gateway against a direct connection and Toxiproxy
	.venv/bin/python -m tests.bench.gateway --page docs/performance-gateway.md
	.venv/bin/python -m tests.bench.gateway_faults

bench: $(VENV) ## Measure on the cluster (make up), and write docs/performance.md
	KUBECONFIG=$(KUBECONFIG_PATH) .venv/bin/python -m tests.bench

crash-points: $(VENV) ## Kill operator and conductor at each write, on the node (make up)
	KUBECONFIG=$(KUBECONFIG_PATH) .venv/bin/python -m tests.crash_points

demo: $(VENV) up ## Bring everything up and run the example
	KUBECONFIG=$(KUBECONFIG_PATH) .venv/bin/seatrial run --replace $(RUN)

up: ## A real cluster with the operator: CLUSTER=local|kind|current, CLUSTER_NAME=
	@$(CLUSTER_CLI) up

down: ## Remove it without a trace
	@$(CLUSTER_CLI) down

images: ## Build the images that have changed and give them to the cluster
	@$(CLUSTER_CLI) images

kubeconfig: ## Print the path of the cluster's kubeconfig
	@$(CLUSTER_CLI) kubeconfig

kubectl: ## Run kubectl on the cluster: make kubectl ARGS='get pods -A'
	@$(CLUSTER_CLI) kubectl $(ARGS)

clean: ## Remove what was made in the checkout; the cluster and its cache stay
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
