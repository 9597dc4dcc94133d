"""The operator undoes faults with the rights of the chart, on a real API server."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.journal import ChangedDoc, FaultState
from seatrial.api.undoing import RESTORED, cut_key, kept_key, mark_key, note_key
from seatrial.cluster.client import Client, Object
from seatrial.cluster.connection import configuration
from seatrial.cluster.errors import InvalidObjectError
from seatrial.cluster.undoing import undo
from seatrial.plan.result import Undo

from tests.support.builders import a_fault, a_run, a_service, a_test, an_open_fault
from tests.support.kube_api import KubeApi
from tests.support.operator_process import OperatorProcess, write_kubeconfig
from tests.support.played_conductors import Conductors
from tests.support.simulation import FakeConductor

LASTS_S = 15.0  # longer than a busy machine takes to begin all of them
LOOK = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: look}, data: {colour: green, size: "1"}}
---
{apiVersion: v1, kind: Secret, metadata: {name: login}, data: {password: b2xk, user: bWU=}}
---
{apiVersion: v1, kind: Secret, metadata: {name: gone}, stringData: {password: old}}
---
{apiVersion: v1, kind: Secret, metadata: {name: bare}, data: {a.b_c: b2xk}}
"""
STOCK = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: stock}
spec:
  replicas: 2
  selector: {matchLabels: {app: stock}}
  template:
    metadata: {labels: {app: stock}}
    spec: {containers: [{name: main, image: "registry.example/stock:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: stock}
spec: {selector: {app: stock}, ports: [{name: http, port: 8080}]}
---
"""
LASTING = {"for": f"{LASTS_S:g}s"}
SPEC = {
    "services": [a_service(), a_service("stock", manifests={"inline": STOCK + LOOK})],
    "faults": [
        a_fault("fewer", scale={"replicas": 0}, **LASTING),
        a_fault("stateful", target={"service": "stock"}, scale={"replicas": 1}, **LASTING),
        a_fault("cut", noEndpoints={}, **LASTING),
        a_fault(
            "red",
            target={"service": "stock"},
            configuration={"configMap": "look", "set": {"colour": "red", "new": "x"}},
            **LASTING,
        ),
        a_fault(
            "login",
            target={"service": "stock"},
            configuration={"secret": "login", "set": {"new": "x", "password": "other"}},
            **LASTING,
        ),
        a_fault(
            "bare",
            target={"service": "stock"},
            configuration={"secret": "bare", "remove": {"keys": ["a.b_c"]}},
            **LASTING,
        ),
        a_fault(
            "gone",
            target={"service": "stock"},
            configuration={"secret": "gone", "remove": {}},
            **LASTING,
        ),
    ],
    "tests": [a_test()],
}
# fault -> (path of what it changes, the document of its object, what it changes)
CHANGES = {
    "fewer": (
        "/apis/apps/v1/namespaces/{}/deployments/orders",
        {"kind": "Deployment", "name": "orders", "replicas": 1},
        {"spec": {"replicas": 0}},
    ),
    "stateful": (
        "/apis/apps/v1/namespaces/{}/statefulsets/stock",
        {"kind": "StatefulSet", "name": "stock", "replicas": 2},
        {"spec": {"replicas": 1}},
    ),
    "cut": (
        "/api/v1/namespaces/{}/services/orders",
        {"kind": "Service", "name": "orders"},
        {"spec": {"selector": {cut_key("cut"): "1"}}},
    ),
    "red": (
        "/api/v1/namespaces/{}/configmaps/look",
        {
            "kind": "ConfigMap",
            "name": "look",
            "kept": "seatrial-undo-red",
            "keys": ["colour", "new"],
        },
        {"data": {"colour": "red", "new": "x"}},
    ),
    "login": (
        "/api/v1/namespaces/{}/secrets/login",
        {"kind": "Secret", "name": "login", "keys": ["new", "password"], "added": ["new"]},
        {
            "metadata": {"annotations": {kept_key("login", 1): "b2xk"}},
            "data": {"new": "eA==", "password": "b3RoZXI="},
        },
    ),
    "bare": (
        "/api/v1/namespaces/{}/secrets/bare",
        {"kind": "Secret", "name": "bare", "keys": ["a.b_c"]},
        {"metadata": {"annotations": {kept_key("bare", 0): "b2xk"}}, "data": {"a.b_c": None}},
    ),
    "gone": (
        "/api/v1/namespaces/{}/secrets/gone",
        {"kind": "Secret", "name": "gone", "kept": "seatrial-undo-gone"},
        {},
    ),
}


KEPT_APART = ("red", "gone")  # the original is in an object of its own


def freeze(conductor: FakeConductor, api: KubeApi, namespace: str) -> None:
    """Have a conductor begin its faults as a real one does, and do nothing any more."""

    def begin(fault: dict[str, Any]) -> FaultState:
        path, doc, change = CHANGES[fault["name"]]
        path = path.format(namespace)
        found = api.get(path)
        assert found is not None
        name = fault["name"]
        if name in KEPT_APART:
            kept = {
                "apiVersion": "v1",
                "kind": doc["kind"],
                "metadata": {"name": doc["kept"], "annotations": {mark_key(name): "1"}},
                "data": found["data"],
            }
            api.send("POST", path.rpartition("/")[0], kept)
        else:
            kept_inside = change.get("metadata", {}).get("annotations", {})
            annotations = {mark_key(name): "1", **kept_inside}
            change = {**change, "metadata": {"annotations": annotations}}
        api.send("PATCH", path, change) if change else api.send("DELETE", path)
        until = conductor.moment(timedelta(seconds=LASTS_S))
        objects = [{"uid": found["metadata"]["uid"], **doc}]
        to_undo = {"until": until, "mark": "1", "objects": objects}
        return an_open_fault(fault["name"], until=until, toUndo=to_undo)

    conductor.begin = begin  # type: ignore[method-assign]
    conductor.freezes = True


def test_faults_of_a_frozen_conductor_are_undone_with_the_rights_of_the_chart(
    api: KubeApi, operator: OperatorProcess, conductors: Conductors
) -> None:
    conductors.hold.add("frozen")
    api.apply(a_run("frozen", **SPEC))
    status = api.wait_for("shop", "frozen", lambda status: "namespace" in status)
    namespace = status["namespace"]
    conductor = conductors.conductor(namespace)
    freeze(conductor, api, namespace)
    before = time.monotonic()
    conductors.hold.clear()
    paths = {name: path.format(namespace) for name, (path, _, _) in CHANGES.items()}
    api.wait_until(lambda: conductor.silent, "the faults are on")

    def read() -> dict[str, Any]:
        return {name: api.get(path) or {} for name, path in paths.items()}

    on = read()
    assert on["fewer"]["spec"]["replicas"] == 0
    assert on["cut"]["spec"]["selector"][cut_key("cut")] == "1"
    assert not on["bare"].get("data")
    assert not on["gone"]

    def is_undone() -> bool:
        found = read()
        return bool(
            found["fewer"]["spec"]["replicas"] == 1
            and found["stateful"]["spec"]["replicas"] == 2
            and cut_key("cut") not in found["cut"]["spec"]["selector"]
            and found["red"]["data"] == {"colour": "green", "size": "1"}
            and found["login"]["data"] == {"password": "b2xk", "user": "bWU="}
            and found["bare"].get("data") == {"a.b_c": "b2xk"}
            and found["gone"].get("data") == {"password": "b2xk"}
        )

    api.wait_until(is_undone, "all is undone")
    # How soon after the deadline is seen by the end-to-end tests.
    assert time.monotonic() - before > LASTS_S - 0.3
    for name, item in read().items():
        annotations = item["metadata"].get("annotations") or {}
        assert mark_key(name) not in annotations
        assert "b2xk" not in annotations.values()
        if name not in KEPT_APART:
            assert note_key(name) in annotations
    for name in KEPT_APART:
        plural = paths[name].split("/")[-2]
        path = f"/api/v1/namespaces/{namespace}/{plural}/seatrial-undo-{name}"

        def is_noted(path: str = path, name: str = name) -> bool:
            kept = api.get(path) or {"metadata": {}}
            return {RESTORED, note_key(name)} <= set(kept["metadata"].get("annotations") or {})

        api.wait_until(is_noted, f"what is kept of {name} is noted")

    def all_told(status: dict[str, Any]) -> bool:
        by = [each.get("revertedBy") for each in status.get("faults", [])]
        return by == ["operator"] * len(CHANGES)

    api.wait_for("shop", "frozen", all_told)
    api.edit_run("shop", "frozen", abort=True)
    status = api.wait_for("shop", "frozen", lambda status: "verdict" in status)
    assert status["verdict"] == "Aborted"
    assert [each["state"] for each in status["faults"]] == ["Reverted"] * len(CHANGES)


MOMENT = "2099-01-01T00:00:00Z"  # later than any pod has begun


def test_what_has_become_of_a_secret_is_found_out_without_reading_it(
    api: KubeApi, token: str, tmp_path: Path
) -> None:
    api.send(
        "POST",
        "/api/v1/namespaces",
        {"metadata": {"name": "itr-undone-1", "labels": {"seatrial.dev/run-uid": "1"}}},
    )
    path = "/api/v1/namespaces/itr-undone-1/secrets"
    annotations = {mark_key("f"): "1", kept_key("f", 0): "b2xk"}
    secret = {"metadata": {"name": "login", "annotations": annotations}, "data": {"a": "bmV3"}}
    api.send("POST", path, secret)
    pods = "/api/v1/namespaces/itr-undone-1/pods"
    spec = {
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": "registry.example/orders:1"}],
    }
    api.wait_until(
        lambda: api.get("/api/v1/namespaces/itr-undone-1/serviceaccounts/default") is not None,
        "pods can be made",
    )
    for name in ("orders", "stock"):
        labels = {"seatrial.dev/service": name}
        api.send("POST", pods, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", api.url, token, api.ca)
    answers: list[Object] = []

    async def bring_back(mark: str = "1") -> str:
        client = Client(await configuration(str(kubeconfig)))
        request = client._request

        async def listen(*args: Any, **more: Any) -> Object:
            answers.append(await request(*args, **more))
            return answers[-1]

        client._request = listen  # type: ignore[method-assign]
        changed: ChangedDoc = {"kind": "Secret", "name": "login", "uid": "", "keys": ["a"]}
        changed["restart"] = "orders"
        try:
            return await undo(client, Undo("itr-undone-1", "f", mark, changed, MOMENT))
        finally:
            await client.close()

    def annotate(**annotations: str | None) -> None:
        api.send("PATCH", f"{path}/login", {"metadata": {"annotations": annotations}})

    assert asyncio.run(bring_back("0")) == ""  # it has begun anew since
    annotate(**{kept_key("f", 0): None, kept_key("f", 1): "b2xk"})
    with pytest.raises(InvalidObjectError):  # it bears the mark, and nothing is kept
        asyncio.run(bring_back())
    annotate(**{kept_key("f", 0): "b2xk", kept_key("f", 1): None})
    assert asyncio.run(bring_back()) == MOMENT
    assert [each["metadata"]["name"] for each in api.items(pods)] == ["stock"]
    assert (api.get(f"{path}/login") or {})["data"] == {"a": "b2xk"}
    annotate(**{mark_key("f"): "2", kept_key("f", 0): "b2xk"})
    answers.clear()
    assert asyncio.run(bring_back()) == MOMENT  # from its note, beside what is kept by now
    assert answers
    assert not [word for word in ("b2xk", "bmV3") if word in str(answers)]
