"""What a test or a service could do to the cluster: nothing."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import reason
from tests.e2e.conftest import Desk

SHOP = "docker.io/seatrial/shop:1"
PROBE = """
import json, os, pathlib, socket, sys

found = []
if pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists():
    found.append("a token")
if os.getuid() == 0:
    found.append("root")
status = pathlib.Path("/proc/self/status").read_text()
capabilities = int(status.partition("CapBnd:")[2].split()[0], 16)
if capabilities:
    found.append(f"capabilities {capabilities:x}")
if "NoNewPrivs:\\t1" not in status:
    found.append("new privileges")
try:
    pathlib.Path("/owned").write_text("")
    found.append("a writable root")
except OSError:
    pass
if [name for name in os.environ if name.endswith("_SERVICE_HOST") and "KUBERNETES" not in name]:
    found.append("service links")
sys.exit(", ".join(found) or None)
"""


def indented(text: str, by: int) -> str:
    return text.strip().replace("\n", "\n" + " " * by)


def test_a_test_pod_has_no_token_no_root_and_no_capability(desk: Desk) -> None:
    run = desk.run(
        "probe",
        f"""
tests:
- name: probe
  container:
    image: {SHOP}
    command: [python3, /probe/probe.py]
    files:
      /probe/probe.py: |
        {indented(PROBE, 8)}
""",
    )
    status = run.finished()
    assert status["verdict"] == "Passed", status["tests"]


def test_a_services_pod_has_no_token_and_is_restricted(desk: Desk) -> None:
    run = desk.run(
        "service",
        f"""
services:
- name: web
  image: {SHOP}
  command: [python3, -m, http.server, --directory, /app, "8080"]
  ports: [{{name: http, port: 8080}}]
tests:
- name: answers
  scenario:
  - http: {{get: "http://web:8080/"}}
    eventually: {{within: 10s}}
- name: long
  scenario:
  - http: {{get: "http://web:8080/no"}}
    eventually: {{within: 20s}}
    expect: ["response.status == 200"]
""",
    )
    run.in_phase("Running")
    cluster, environment = run.cluster, run.environment
    namespace = cluster.get(f"/api/v1/namespaces/{environment}")
    assert namespace is not None
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    base = f"/api/v1/namespaces/{environment}"
    for pod in cluster.items(f"{base}/pods", labelSelector="seatrial.dev/service"):
        assert pod["spec"]["automountServiceAccountToken"] is False
        volumes = [each for each in pod["spec"].get("volumes", []) if "projected" in each]
        assert volumes == []
    policies = cluster.items(f"/apis/networking.k8s.io/v1/namespaces/{environment}/networkpolicies")
    denying = [
        each
        for each in policies
        if each["spec"]["podSelector"] == {}
        and sorted(each["spec"]["policyTypes"]) == ["Egress", "Ingress"]
        and not each["spec"].get("ingress")
        and not each["spec"].get("egress")
    ]
    assert len(denying) == 1
    assert cluster.items(f"{base}/resourcequotas")
    run.change(abort=True)


HOSTILE = {
    "another-namespace": (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: kube-system}}",
        "metadata.namespace",
    ),
    "a-cluster-scoped-kind": (
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x}}",
        "ClusterRole",
    ),
    "a-host-path": (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: i}],"
        " volumes: [{name: v, hostPath: {path: /}}]}}",
        "hostPath",
    ),
    "a-privileged-pod": (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: i,"
        " securityContext: {privileged: true}}]}}",
        "privileged",
    ),
    "the-conductors-account": (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {serviceAccountName:"
        " seatrial-conductor, containers: [{name: c, image: i}]}}",
        "serviceAccountName",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused_before_anything_is_there(name: str, desk: Desk) -> None:
    manifest, says = HOSTILE[name]
    run = desk.run(
        "hostile",
        f"""
services:
- name: evil
  manifests: {{inline: "{manifest}"}}
tests: [{{name: t, scenario: [{{expect: ["true"]}}]}}]
""",
    )
    status = run.finished(timeout_s=20)
    assert status["verdict"] == "Error"
    assert reason(status, "Finished") == "InvalidSpec"
    assert says in status["message"]
    assert desk.cluster.environments(run.get()["metadata"]["uid"]) == []


def test_a_pod_that_would_be_root_never_starts(desk: Desk) -> None:
    run = desk.run(
        "root",
        f"""
services:
- name: evil
  manifests:
    inline: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: evil}}
      spec:
        selector: {{matchLabels: {{app: evil}}}}
        template:
          metadata: {{labels: {{app: evil}}}}
          spec:
            containers: [{{name: evil, image: "{SHOP}", securityContext: {{runAsUser: 0}}}}]
tests: [{{name: t, scenario: [{{expect: ["true"]}}]}}]
""",
    )
    status = run.finished(timeout_s=45)
    assert status["verdict"] == "Error", status["message"]
    assert "PodSecurity" in status["message"] or "runAsNonRoot" in status["message"]


def test_templates_in_a_scenario_are_data(desk: Desk) -> None:
    run = desk.run(
        "templates",
        """
tests:
- name: big
  scenario:
  - http: {get: "http://web.example:8080/{{ 'x' * 200000000 }}"}
- name: inner
  scenario:
  - http: {get: "http://web.example:8080/{{ ''.__class__.__mro__ }}"}
- name: fine
  scenario:
  - expect: ["1 + 1 == 2"]
""",
    )
    status = run.finished()
    outcomes = {test["name"]: test["outcome"] for test in status["tests"]}
    assert outcomes["fine"] == "Passed"
    assert {outcomes["big"], outcomes["inner"]} <= {"Failed", "Error"}
    assert len(str(status)) < 64 * 1024
