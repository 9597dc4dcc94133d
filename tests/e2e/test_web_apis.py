"""Steps of every protocol of the web on a real cluster, webhooks by their name that stays."""

from __future__ import annotations

from base64 import b64encode

import pytest
import yaml
from seatrial.api.names import LABEL_READABLE, LABEL_READABLE_VALUE

from tests.e2e.breaking import INSIDE, MANUAL, assert_passed, assert_proven, run_of, suite
from tests.e2e.cluster import OPERATOR_LABELS, Cluster, Json, Run
from tests.e2e.conftest import ROOT, Desk
from tests.support.authority import Authority

READABLE = {LABEL_READABLE: LABEL_READABLE_VALUE}
SHOP = (ROOT / "tests/support/grpc_shop.py").read_text()
# With a status that neither the server nor a lost connection gives. Reflection is not met.
EXHAUSTED: Json = {
    "name": "exhausted",
    "target": {"service": "rpc"},
    "http": {"match": {"pathPrefix": "/shop.Orders/"}, "abort": {"grpcStatus": 8}},
    "for": "50s",
    "when": MANUAL,
}


def while_exhausted() -> Json:
    """Give a test that calls with gRPC's own client, one message and a stream, in and after it."""
    call = {"target": "rpc:50051", "bearer": "good-token"}
    get = {"grpc": {**call, "method": "shop.Orders/Get", "message": {"id": "o-1"}}}
    chat = {"grpc": {**call, "method": "shop.Orders/Chat", "messages": [{"id": "a"}, {"id": "b"}]}}
    aborted, answered = ([f"response.code == '{code}'"] for code in ("RESOURCE_EXHAUSTED", "OK"))
    steps = [
        {"fault": {"start": "exhausted"}},
        {**get, "expect": aborted},
        {**chat, "expect": [*aborted, "response.messages == []"]},
        {"fault": {"stop": "exhausted"}},
        {**get, "expect": answered},
        {**chat, "expect": [*answered, "response.messages.map(m, m.id) == ['A', 'B']"]},
    ]
    return {"name": "grpc-exhausted", "timeout": "1m", "scenario": steps}


def runner_image(cluster: Cluster) -> str:
    """Give the image of our own, which has a server of every protocol in its libraries."""
    deployments = cluster.call("GET", f"/apis/apps/v1/deployments?labelSelector={OPERATOR_LABELS}")
    for deployment in deployments["items"]:
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env", ()):
                if variable["name"] == "SEATRIAL_RUNNER_IMAGE":
                    return str(variable["value"])
    raise AssertionError("no operator is there")


def service(name: str, image: str, role: str, port: int, **more: object) -> Json:
    return {
        "name": name,
        "image": image,
        "command": ["python3", "/web/web.py", role, str(port)],
        "files": {"/web/web.py": (INSIDE / "web.py").read_text(), "/web/grpc_shop.py": SHOP},
        "ports": [{"name": role, "port": port}],
        "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "192Mi"}},
        **more,
    }


def kept(kind: str, name: str, **texts: str) -> Json:
    data = (
        texts
        if kind == "ConfigMap"
        else {k: b64encode(v.encode()).decode() for k, v in texts.items()}
    )
    metadata = {"name": name, "labels": READABLE}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    image = runner_image(shared_desk.cluster)
    ours, clients = Authority(), Authority("clients")
    certificate, key = ours.sign("secure")
    client, client_key = clients.sign("a client")
    tls = kept("Secret", "server", TLS_CERT=certificate, TLS_KEY=key, TLS_CLIENTS=clients.ca)
    tests = yaml.safe_load((INSIDE / "web_apis.yaml").read_text())["tests"]
    # The name that stays: no step has told it to the service.
    called = {"name": "paid-by-name", "where": ["request.json.id == 'p-3'"], "within": "50s"}
    named = {
        "name": "by-name",
        "timeout": "1m",
        "scenario": [
            {"http": {"post": "http://web:8080/pay", "json": {"id": "p-3"}}},
            {"webhook": called},
        ],
    }
    pods = {"name": "suite", "timeout": "2m", "pytest": {"configMap": "called-back"}}
    notify = {"NOTIFY_URL": "http://seatrial-webhooks/paid-by-name"}
    spec = {
        "timeout": "6m",
        "envFrom": [{"configMap": "authorities"}, {"secret": "client"}],
        "services": [
            service("web", image, "http", 8080, env=notify),
            service("secure", image, "tls", 8443, envFrom=[{"secret": "server"}]),
            service("chat", image, "websocket", 8081),
            service("rpc", image, "grpc", 50051),
        ],
        "faults": [EXHAUSTED],
        "tests": [*tests, while_exhausted(), named, pods],
    }
    return run_of(
        shared_desk,
        "web-apis",
        spec,
        tls,
        kept("ConfigMap", "authorities", **{"ca.crt": ours.ca}),
        kept("Secret", "client", **{"client.crt": client, "client.key": client_key}),
        suite("called-back", "called_back"),
    )


def test_every_protocol_passes(run: Run, status: Json) -> None:
    assert_passed(run, status)
    assert status["summary"]["passed"] == 11


def test_an_abort_with_a_grpc_status_is_proven(status: Json) -> None:
    assert assert_proven(status, "exhausted")["hits"] == 2


def test_secrets_of_the_run_are_in_no_report(run: Run, status: Json) -> None:
    assert "PRIVATE KEY" not in str(status)


def test_a_call_that_does_not_come_fails_the_run_and_says_so(shared_desk: Desk) -> None:
    image = runner_image(shared_desk.cluster)
    elsewhere = {"NOTIFY_URL": "http://seatrial-webhooks/elsewhere"}
    steps = [
        {"http": {"post": "http://web:8080/pay", "json": {"id": "p-1"}}},
        {"webhook": {"name": "paid", "within": "2s"}},
    ]
    spec = {
        "timeout": "4m",
        "services": [service("web", image, "http", 8080, env=elsewhere)],
        "tests": [{"name": "is-called", "timeout": "1m", "scenario": steps}],
    }
    status = run_of(shared_desk, "web-apis-broken", spec).finished(timeout_s=200)
    assert status["verdict"] == "Failed"
    told = str(status)
    assert "a call of http://seatrial-webhooks/paid; nobody called it" in told
