"""Faults whose target's pods have successors of the same name, which come when they are gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from seatrial_runner.conductor.faults import Director

from tests.support import controllers
from tests.support.conducted import a_fault_doc
from tests.support.played_faults import one_test, played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop


def uids(namespace: RunNamespace) -> dict[str, str]:
    found = [pod["metadata"] for pod in namespace.all("pods")]
    return {each["name"]: each["uid"] for each in found if each["name"].startswith("orders-")}


@pytest.mark.parametrize("kind", ["kill", "evict", "restart"])
def test_a_successor_of_the_same_name_is_another_pod(kind: str) -> None:
    before: dict[str, str] = {}

    async def course(director: Director, namespace: RunNamespace) -> None:
        before.update(uids(namespace))
        await one_test(director, namespace)

    fault_doc = a_fault_doc("f", **{kind: {}}, when={"test": "paid"})
    states, namespace = played(fault_doc, course=course, stateful=True, replicas=1)
    fault = states["f"]
    assert (fault["state"], fault["revertedBy"]) == ("Recovered", "controller")
    assert fault["effective"] is not None
    [hit] = fault["targets"]
    after = uids(namespace)
    assert after.keys() == before.keys() == {"orders-0"}
    assert (hit["name"], hit["uid"]) == ("orders-0", before["orders-0"])
    assert hit["replacedBy"] == after["orders-0"] != before["orders-0"]


def test_a_killed_pod_is_not_replaced_while_it_is_ending() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        began = loop().time()
        await director.end_with("paid")
        await director.settle()
        # A second for its end, and half of one for its successor's start.
        assert loop().time() - began == pytest.approx(1.5, abs=0.1)

    fault_doc = a_fault_doc("f", when={"test": "paid"})
    states, _ = played(fault_doc, course=course, stateful=True, replicas=1)
    assert states["f"]["state"] == "Recovered"


def test_a_pod_whose_successor_does_not_come_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace._create_member = lambda name, ordinal: None  # type: ignore[method-assign]
        await one_test(director, namespace)

    fault_doc = a_fault_doc("f", when={"test": "paid"}, recovery={"within": "5s"})
    states, _ = played(fault_doc, course=course, stateful=True, replicas=1)
    assert states["f"]["state"] == "NotReverted"
    assert "has not replaced orders-0" in states["f"]["message"]


@pytest.mark.parametrize("fault", [{"outage": {}}, {"scale": {"replicas": 0}}])
def test_no_pod_is_there_while_it_is_away_and_one_comes_back(fault: dict[str, Any]) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        assert uids(namespace) == {}
        assert namespace.objects["statefulsets", "orders"]["spec"]["replicas"] == 0
        await director.end_with("paid")
        await director.settle()
        assert uids(namespace).keys() == {"orders-0"}

    fault_doc = a_fault_doc("f", **fault, **{"for": "10m"}, when={"test": "paid"})
    states, namespace = played(fault_doc, course=course, stateful=True, replicas=1)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")
    assert namespace.objects["statefulsets", "orders"]["spec"]["replicas"] == 1


@pytest.mark.parametrize("fault", [{"outage": {}}, {"scale": {"replicas": 0}}])
def test_pods_of_a_stateful_set_whose_name_begins_as_the_deployments_are_none_of_its_own(
    fault: dict[str, Any],
) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.stateful_set("orders-db")
        await one_test(director, namespace)

    fault_doc = a_fault_doc("f", **fault, **{"for": "10m"}, when={"test": "paid"})
    states, _ = played(fault_doc, course=course)
    assert states["f"]["state"] == "Recovered"


@pytest.mark.parametrize(
    ("policy", "state"),
    [(None, "Recovered"), ("OrderedReady", "Recovered"), ("Parallel", "NotInjected")],
)
def test_pods_that_go_one_after_the_other_have_the_grace_of_all_of_them(
    policy: str | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controllers, "_STOPPING_S", 85.0)  # each of three has 30 s

    async def course(director: Director, namespace: RunNamespace) -> None:
        if policy is not None:
            policies = {"podManagementPolicy": policy}
            namespace.change("statefulsets", "orders", lambda item: item["spec"].update(policies))
            await asyncio.sleep(0.1)
        await one_test(director, namespace)

    fault = a_fault_doc("f", scale={"replicas": 0}, **{"for": "10m"}, when={"test": "paid"})
    fault["recovery"] = {"within": "5m"}
    states, _ = played(fault, course=course, stateful=True, replicas=3)
    assert states["f"]["state"] == state
