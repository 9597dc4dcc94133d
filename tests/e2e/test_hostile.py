"""What a test or a service could do to the cluster: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.breaking import run_of
from tests.e2e.cluster import Json, Run, reason
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


@pytest.fixture(scope="module")
def neighbour(shared_desk: Desk) -> Iterator[Run]:
    """Give a run in the middle of its tests."""
    run = shared_desk.run(
        "neighbour",
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
    eventually: {{within: 60s}}
- name: long
  timeout: 16m
  scenario:
  - http: {{get: "http://web:8080/no"}}
    eventually: {{within: 15m}}
    expect: ["response.status == 200"]
""",
    )
    run.in_phase("Running")
    yield run
    run.change(abort=True)


def test_a_services_pod_has_no_token_and_is_restricted(neighbour: Run) -> None:
    cluster, environment = neighbour.cluster, neighbour.environment
    namespace = cluster.get(f"/api/v1/namespaces/{environment}")
    assert namespace is not None
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

    base = f"/api/v1/namespaces/{environment}"
    [limits] = cluster.items(f"{base}/limitranges")
    [given] = limits["spec"]["limits"]
    assert {"default", "defaultRequest"} <= given.keys()
    [pod] = cluster.items(f"{base}/pods", labelSelector="seatrial.dev/service=web")
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert not [each for each in pod["spec"].get("volumes", []) if "projected" in each]
    resources = pod["spec"]["containers"][0]["resources"]  # it says nothing of them
    assert resources == {"limits": given["default"], "requests": given["defaultRequest"]}
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


DIALER = """
import http.server, socket

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host, _, port = self.path.strip("/").rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            answer = "reached"
        except OSError as error:
            answer = f"not reached: {error}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def test_a_services_pod_reaches_neither_the_api_server_nor_another_run(
    neighbour: Run, desk: Desk
) -> None:
    cluster, other = neighbour.cluster, f"/api/v1/namespaces/{neighbour.environment}"
    kubernetes = "/api/v1/namespaces/default"
    service = cluster.call("GET", f"{kubernetes}/services/kubernetes")["spec"]["clusterIP"]
    [own] = cluster.call("GET", f"{kubernetes}/endpoints/kubernetes")["subsets"]
    web = cluster.call("GET", f"{other}/services/web")["spec"]["clusterIP"]
    [pod] = cluster.items(f"{other}/pods", labelSelector="seatrial.dev/service=web")
    kept_from = {
        "the-api-server": f"{service}:443",
        "the-api-servers-own-address": f"{own['addresses'][0]['ip']}:{own['ports'][0]['port']}",
        "a-neighbours-service": f"{web}:8080",
        "a-neighbours-pod": f"{pod['status']['podIP']}:8080",
        "its-own-conductor": "seatrial-conductor:7777",  # only tests have to do with it
    }
    looks = [a_look("its-own-service", "web:8080", "reached")]
    looks += [a_look(name, address, "not reached") for name, address in kept_from.items()]
    # With a container, so that the conductor listens.
    tool = {"image": SHOP, "command": ["python3", "-c", "pass"]}
    spec: Json = {
        "parallelism": len(looks),
        "services": [
            {
                "name": name,
                "image": SHOP,
                "command": ["python3", "/dialer/dialer.py"],
                "files": {"/dialer/dialer.py": DIALER},
                "ports": [{"name": "http", "port": 8080}],
            }
            for name in ("web", "dialer")
        ],
        "tests": [*looks, {"name": "tool", "container": tool}],
    }
    status = run_of(desk, "dials", spec).finished()
    assert [each["message"] for each in status["tests"] if each["outcome"] != "Passed"] == []
    assert status["verdict"] == "Passed", status["message"]
    assert neighbour.status.get("verdict") is None  # it was there all the time


def a_look(name: str, address: str, answer: str) -> Json:
    look: Json = {
        "http": {"get": f"http://dialer:8080/{address}", "timeout": "30s"},
        "expect": [f"response.text.startsWith('{answer}')"],
        "always": {"for": "3s"},
    }
    # A node may learn of a policy, as of a Service, after its pods have begun.
    return {"name": name, "scenario": [{"eventually": {"within": "60s"}, "steps": [look]}]}


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
    status = run.finished(timeout_s=180)
    assert status["verdict"] == "Error"
    assert reason(status, "Finished") == "InvalidSpec"
    assert says in status["message"]
    assert desk.cluster.environments(run.get()["metadata"]["uid"]) == []


def test_a_pod_that_does_not_say_that_it_is_no_root_never_starts(desk: Desk) -> None:
    run = desk.run(
        "says-nothing",
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
            containers: [{{name: evil, image: "{SHOP}"}}]
tests: [{{name: t, scenario: [{{expect: ["true"]}}]}}]
""",
    )
    status = run.finished(timeout_s=180)
    assert status["verdict"] == "Error", status["message"]
    assert "violates PodSecurity" in status["message"]
    assert "spec.podSecurity: baseline" in status["message"]


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
    assert outcomes == {"big": "Failed", "inner": "Failed", "fine": "Passed"}
    # Words of the sandbox, and not of a request to a host that is not there.
    messages = {test["name"]: test["message"] for test in status["tests"]}
    assert "a value is longer than 1 MiB" in messages["big"]
    assert "no field '__class__' in a string" in messages["inner"]
    assert len(str(status)) < 64 * 1024
