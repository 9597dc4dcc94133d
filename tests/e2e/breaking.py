"""Runs that break things: peers as the system under test, suites that look, faults by hand."""

from __future__ import annotations

import gzip
import json
import subprocess
from base64 import b64decode
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import yaml
from seatrial.api import families
from seatrial.api.names import (
    JOURNAL_CONFIGMAP,
    LABEL_READABLE,
    LABEL_READABLE_VALUE,
    SUMMARY_KEY,
    report_name,
)

from tests.e2e.cluster import Json, condition
from tests.e2e.conftest import ROOT, Desk, Run

IMAGE = "docker.io/seatrial/shop:1"  # a Python without anything of ours
INSIDE = ROOT / "tests/e2e/inside"
PEER = "/peer/peer.py"
MANUAL: Json = {"manual": {}}
# In the order in which they happen.
MOMENTS = ("requested", "applied", "effective", "firstHit", "reverted", "recovered")


def peer(name: str, *, wire: Json | None = None, http: Json | None = None, **more: Any) -> Json:
    """
    Give a service that does what its callers say.

    Args:
        name: Of the service.
        wire: Ports of its own protocol, number by name.
        http: Ports of HTTP.
        more: Other fields of the service.
    """
    wire, http = wire or {}, http or {}
    return {
        "name": name,
        "image": IMAGE,
        "command": ["python3", PEER],
        "files": {PEER: (INSIDE / "peer.py").read_text()},
        "env": _ports(wire, http),
        "ports": [{"name": each, "port": number} for each, number in {**http, **wire}.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        **more,
    }


def peer_manifests(
    name: str,
    *,
    wire: Json | None = None,
    http: Json | None = None,
    udp: Json | None = None,
    workload: Json | None = None,
    service: Json | None = None,
    env: Json | None = None,
    others: list[Json] | None = None,
    container: Json | None = None,
    volumes: list[Json] | None = None,
) -> Json:
    """
    Give such a service as the plain YAML that a team already has; its target ports have names.

    Args:
        name: Of service, workload and Service.
        wire: Container ports of its own protocol, number by name; the Service has them + 1000.
        http: Container ports of HTTP, likewise.
        udp: Container ports where datagrams are sent back, likewise.
        workload: Fields of the workload: ``kind``, and what is to be in its ``spec``.
        service: Fields of the Service's spec.
        env: Further environment variables.
        others: Further objects.
        container: Further fields of the container.
        volumes: Further volumes of the pod.
    """
    wire, http, udp = wire or {}, http or {}, udp or {}
    ports = {**http, **wire, **udp}
    code = f"{name}-code"
    labels = {"app": name}
    spec = dict(workload or {})
    kind = spec.pop("kind", "Deployment")
    variables = {**_ports(wire, http, udp), **(env or {})}
    main = {
        "name": "peer",
        "image": IMAGE,
        "command": ["python3", PEER],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "ports": [
            {"name": each, "containerPort": number, "protocol": "UDP" if each in udp else "TCP"}
            for each, number in ports.items()
        ],
        "readinessProbe": {"tcpSocket": {"port": next(iter(ports))}, "periodSeconds": 1},
        "volumeMounts": [{"name": "code", "mountPath": "/peer"}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    for key, value in (container or {}).items():
        main[key] = [*main.get(key, []), *value] if isinstance(value, list) else value
    pod = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 5,
        "containers": [main],
        "volumes": [{"name": "code", "configMap": {"name": code}}, *(volumes or [])],
    }
    objects = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": code},
            "data": {"peer.py": (INSIDE / "peer.py").read_text()},
        },
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
                **({"serviceName": name} if kind == "StatefulSet" else {}),
                **spec,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "selector": labels,
                "ports": [
                    {
                        "name": each,
                        "port": number + 1000,
                        "targetPort": each,
                        "protocol": "UDP" if each in udp else "TCP",
                    }
                    for each, number in ports.items()
                ],
                **(service or {}),
            },
        },
        *(others or []),
    ]
    return {"name": name, "manifests": {"inline": yaml.safe_dump_all(objects)}}


def _ports(wire: Json, http: Json, udp: Json | None = None) -> dict[str, str]:
    return {
        "UDP_PORTS": " ".join(map(str, (udp or {}).values())),
        "WIRE_PORTS": " ".join(map(str, wire.values())),
        "HTTP_PORTS": " ".join(map(str, http.values())),
    }


def suite(name: str, *files: str) -> Json:
    """Give the ConfigMap of a suite: files of ``inside``, and what they import."""
    data = {f"test_{each}.py": (INSIDE / f"{each}.py").read_text() for each in files}
    data["wire.py"] = (INSIDE / "wire.py").read_text()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {LABEL_READABLE: LABEL_READABLE_VALUE}},
        "data": data,
    }


def run_of(desk: Desk, name: str, spec: Json, *objects: Json) -> Run:
    """Apply a run, and before it the objects it needs."""
    run = {
        "apiVersion": "seatrial.dev/v1alpha1",
        "kind": "IntegrationTestRun",
        "metadata": {"name": name},
        "spec": spec,
    }
    return desk.apply(*objects, run)


def fault_of(status: Json, name: str) -> Json:
    """Give a fault of a run's status."""
    return next(each for each in status.get("faults", []) if each["name"] == name)


def assert_proven(status: Json, name: str) -> Json:
    """Check that nothing of a fault's proof is missing, and that it happened in order; give it."""
    fault = fault_of(status, name)
    assert fault["state"] == "Recovered", fault
    # What a closed port refuses is counted by the kernel, which does not say when.
    wanted = [each for each in MOMENTS if each != "firstHit" or fault["kind"] != "refuse"]
    missing = [each for each in wanted if not fault.get(each)]
    assert not missing, fault
    # A hit may come before our own look at the effect, and that of a fault that is over at once
    # until recovery.
    # Of one that is repeated, the first hit is of the first time.
    floats = fault["kind"] in families.MOMENTARY or fault["times"] > 1
    floating = {"effective"} | ({"firstHit"} if floats else set())
    moments = [moment(fault[each]) for each in wanted if each not in floating]
    assert moments == sorted(moments), fault
    if fault.get("firstHit") and fault["times"] == 1:
        assert moment(fault["applied"]) <= moment(fault["firstHit"]) <= moment(fault["recovered"])
    assert moment(fault["applied"]) <= moment(fault["effective"]) <= moment(fault["reverted"])
    assert fault["hits"] >= 1, fault
    assert fault["targets"], fault
    assert all(each["kind"] and each["name"] and each.get("uid") for each in fault["targets"]), (
        fault
    )
    return fault


def assert_passed(run: Run, status: Json) -> None:
    """Check that a run that has ended is Passed; a failure comes with what the cases said."""
    if status["verdict"] == "Passed":
        return
    states = [
        f"{each['name']}: {each['state']}: {each['message']}"
        for each in status.get("faults", [])
        if each["state"] != "Recovered"
    ]
    junit = ElementTree.fromstring(report_part(run, "junit.xml.gz"))
    failures = [
        f"{case.get('name')}: {failure.get('message')}\n{(failure.text or '')[-1500:]}"
        for case in junit.iter("testcase")
        for failure in [*case.findall("failure"), *case.findall("error")]
    ]
    raise AssertionError("\n".join([status["verdict"], status["message"], *states, *failures]))


def report_part(run: Run, key: str) -> str:
    """Give a part of a run's report, once it is there."""
    run.wait(lambda status: condition(status, "ReportAvailable") == "True", "a report", 60)
    path = f"/api/v1/namespaces/{run.namespace}/configmaps/{report_name(run.name)}"
    report = run.cluster.get(path)
    assert report is not None
    return gzip.decompress(b64decode(report["binaryData"][key])).decode()


def moment(text: str) -> datetime:
    """Read a moment of the status."""
    return datetime.fromisoformat(text)


def certificate(host: str) -> dict[str, str]:
    """Give the certificate of a host and its key, and its authority's with its key, in PEM."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    with TemporaryDirectory() as folder:
        for name, more in {
            "ca": ("-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign"),
            "tls": (
                *("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"),
                *("-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.crt"),
                *("-CAkey", "ca.key"),
            ),
        }.items():
            files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
            command = ("openssl", "req", "-x509", *curve, *files, *more)
            subprocess.run(command, check=True, capture_output=True, cwd=folder)
        return {each.name: each.read_text() for each in Path(folder).iterdir()}


def last_summary(run: Run) -> Json:
    """Give what the conductor has written last; empty if there is nothing."""
    path = f"/api/v1/namespaces/{run.environment}/configmaps/{JOURNAL_CONFIGMAP}"
    found = run.cluster.get(path)
    data = (found or {}).get("data") or {}
    summary: Json = json.loads(data.get(SUMMARY_KEY) or "{}")
    return summary
