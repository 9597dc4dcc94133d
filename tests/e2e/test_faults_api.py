"""Every kind of fault made through the API on a real cluster: its effect, its end, its proof."""

from __future__ import annotations

import pytest
from seatrial.api import families

from tests.e2e.breaking import (
    MANUAL,
    assert_passed,
    assert_proven,
    certificate,
    peer,
    peer_manifests,
    run_of,
    suite,
)
from tests.e2e.cluster import Json, Run
from tests.e2e.conftest import Desk

HTTP = {"http": 8080}
# name of the fault -> the service, and the fault's kind. Every fault is started by the suite, which
# looks at its effect; see ``inside/api_kinds.py``.
FAULTS: dict[str, tuple[str, Json]] = {
    "kill": ("kill", {"kill": {}}),
    "restart": ("restart", {"restart": {}}),
    "evict": ("evict", {"evict": {}}),
    "scale-up": ("scale", {"scale": {"replicas": 3}}),
    "scale-down": ("none", {"scale": {"replicas": 0}}),
    "outage": ("store", {"outage": {}}),
    "no-endpoints": ("alone", {"noEndpoints": {}}),
    "colour": (
        "configured",
        {"configuration": {"configMap": "look", "set": {"COLOUR": "red"}, "restart": True}},
    ),
    "shape-lost": (
        "configured",
        {"configuration": {"configMap": "look", "remove": {"keys": ["SHAPE"]}, "restart": True}},
    ),
    "secret-lost": (
        "configured",
        {"configuration": {"secret": "words", "remove": {}, "restart": True}},
    ),
    "expired": (
        "secure",
        {"configuration": {"secret": "tls", "expireCertificate": {}, "restart": True}},
    ),
}


def configured() -> Json:
    """Give a service that has its environment from a ConfigMap and a Secret of its manifests."""
    return peer_manifests(
        "configured",
        http=HTTP,
        others=[
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "look"},
                "data": {"COLOUR": "green", "SHAPE": "round"},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "words"},
                "stringData": {"WORD": "sesame"},
            },
        ],
        container={
            "envFrom": [
                {"configMapRef": {"name": "look"}},
                {"secretRef": {"name": "words", "optional": True}},
            ]
        },
    )


def secure() -> Json:
    """Give a service with a certificate, whose authority can sign another."""
    return peer_manifests(
        "secure",
        http=HTTP,
        env={"TLS_PORT": "8443", "TLS_FOLDER": "/etc/tls"},
        service={
            "ports": [
                {"name": "http", "port": 8080, "targetPort": "http"},
                {"name": "https", "port": 443, "targetPort": 8443},
            ]
        },
        others=[
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "tls"},
                "type": "kubernetes.io/tls",
                "stringData": certificate("secure"),
            }
        ],
        container={"volumeMounts": [{"name": "tls", "mountPath": "/etc/tls"}]},
        volumes=[{"name": "tls", "secret": {"secretName": "tls"}}],
    )


def spec() -> Json:
    return {
        "timeout": "5m",
        "services": [
            *(peer(each, http=HTTP) for each in ("kill", "restart", "evict", "scale", "none")),
            peer("store", http=HTTP, wire={"wire": 9000}, volumes=[{"path": "/data"}]),
            peer("alone", http=HTTP),
            configured(),
            secure(),
        ],
        "faults": [
            {
                "name": name,
                "target": {"service": service},
                **kind,
                **({} if next(iter(kind)) in families.MOMENTARY else {"for": "60s"}),
                "when": MANUAL,
                "recovery": {"until": {"http": {"get": f"http://{service}:{port(service)}/"}}},
            }
            for name, (service, kind) in FAULTS.items()
        ],
        "tests": [
            {
                "name": "kinds",
                "pytest": {"configMap": "api-kinds", "args": ["-n", "4"]},
                "timeout": "4m",
            }
        ],
    }


def port(service: str) -> int:
    """Give the port of HTTP: that of manifests is another than the container's."""
    return 9080 if service == "configured" else 8080


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    return run_of(shared_desk, "api", spec(), suite("api-kinds", "api_kinds"))


def test_every_kind_is_seen_from_outside(run: Run, status: Json) -> None:
    assert_passed(run, status)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_through_the_api_is_proven(name: str, status: Json) -> None:
    fault = assert_proven(status, name)
    [target] = fault["targets"]
    momentary = fault["kind"] in families.MOMENTARY
    assert fault["revertedBy"] == ("controller" if momentary else "test")
    if fault["kind"] in ("kill", "evict"):
        assert target["replacedBy"] not in {None, target["uid"]}


def test_all_kinds_are_here() -> None:
    kinds = {key for _, kind in FAULTS.values() for key in kind}
    assert kinds == set(families.API)
    ways = {key for _, kind in FAULTS.values() for key in kind.get("configuration", {})}
    assert ways == {"configMap", "secret", "set", "remove", "expireCertificate", "restart"}
