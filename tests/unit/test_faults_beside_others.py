"""Faults on what others change too: other faults, pods that stay, an end that did not come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from seatrial.api.errors import ConflictError
from seatrial_runner.conductor.faults import Director

from tests.support.conducted import a_fault_doc
from tests.support.played_faults import one_test, played, taking_pods_away
from tests.support.run_namespace import RunNamespace

MANUAL: dict[str, Any] = {"manual": {}}


# A pod that has failed and stays -----------------------------------------------------------------


def with_a_failed_pod(namespace: RunNamespace) -> str:
    """Add a pod that a node has evicted: its controller has made another."""
    owner = {"kind": "ReplicaSet", "name": "orders-6d56dc878d", "controller": True}
    metadata = {
        "name": "orders-6d56dc878d-evict",
        "labels": {"seatrial.dev/service": "orders"},
        "ownerReferences": [owner],
    }
    status = {"phase": "Failed", "reason": "Evicted"}
    made = namespace.add(
        "pods", {"metadata": metadata, "spec": {"containers": []}, "status": status}
    )
    return str(made["metadata"]["uid"])


@taking_pods_away
def test_a_pod_that_has_failed_long_ago_is_none_of_the_faults_doing(kind: Any) -> None:
    failed: list[str] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        failed.append(with_a_failed_pod(namespace))
        await asyncio.sleep(0.1)
        await one_test(director, namespace)

    states, _ = played(a_fault_doc("f", **kind, when={"test": "paid"}), course=course)
    assert (states["f"]["state"], states["f"]["message"]) == ("Recovered", "")
    replaced = [each["replacedBy"] for each in states["f"]["targets"]]
    assert failed[0] not in [each["uid"] for each in states["f"]["targets"]]
    assert failed[0] not in replaced


# Two roll-outs -----------------------------------------------------------------------------------


def test_a_pod_that_fails_instead_of_going_does_not_hold_a_restart_up() -> None:
    """Its node may evict it just then; nobody deletes it, and it has a successor all the same."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        def fails(number: int, what: str) -> None:
            if what == "patch deployments/orders":
                [pod] = namespace._pods_of("orders")
                failed = {"phase": "Failed", "reason": "Evicted"}
                namespace.change(
                    "pods", pod["metadata"]["name"], lambda item: item.update(status=failed)
                )

        namespace.before_write = fails
        async with asyncio.timeout(600):
            await one_test(director, namespace)

    states, _ = played(
        a_fault_doc("f", restart={}, when={"test": "paid"}), course=course, replicas=1
    )
    assert states["f"]["state"] == "Recovered"


def test_a_restart_that_another_one_overtakes_has_replaced_its_pods_too() -> None:
    faults = [a_fault_doc("f", restart={}), a_fault_doc("g", restart={}, when={"after": "200ms"})]
    states, _ = played(*faults, course=one_test)
    assert [states[name]["state"] for name in "fg"] == ["Recovered", "Recovered"]


# An end that did not come, and another time ------------------------------------------------------


@pytest.mark.parametrize("change", [{"set": {"a": "2"}}, {"remove": {}}])
def test_what_is_kept_after_an_end_that_was_not_seen_is_no_original(change: Any) -> None:
    """The pods of the first time do not go, so what was kept stays, marked as brought back."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        content = {"data": {"a": "1"}}
        namespace.add("configmaps", {"metadata": {"name": "settings"}, **content})
        await director.gate_opened()
        await director.start("f", test="paid")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(namespace, "_be_gone", lambda name: None)
            await director.stop("f")
            state = await director.recovered("f")
            assert state["state"] == "NotReverted"
        for pod in namespace.all("pods"):
            if "deletionTimestamp" in pod["metadata"]:
                namespace._be_gone(pod["metadata"]["name"])
        assert namespace.objects["configmaps", "settings"]["data"] == {"a": "1"}
        await director.start("f", test="paid")
        await director.stop("f")
        await director.recovered("f")
        assert namespace.objects["configmaps", "settings"]["data"] == {"a": "1"}
        assert ("configmaps", "seatrial-undo-f") not in namespace.objects

    configuration = {"configMap": "settings", **change, "restart": True}
    fault = a_fault_doc("f", configuration=configuration, **{"for": "10m"}, when=MANUAL)
    played(fault, course=course)


def test_what_was_not_brought_back_bears_the_mark_of_this_time() -> None:
    """So that the operator, which tests the mark, can undo the second time as well."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
        left = {"fault.seatrial.dev/f": "2026-01-01T000000.000Z"}
        metadata = {"name": "seatrial-undo-f", "annotations": left}
        kept = {"kind": "ConfigMap", "metadata": metadata, "data": {"a": "0"}}
        namespace.add("configmaps", kept)
        await director.gate_opened()
        await director.start("f", test="paid")
        marks = namespace.objects["configmaps", "seatrial-undo-f"]["metadata"]["annotations"]
        [state] = namespace.summary()["faults"]
        assert marks["fault.seatrial.dev/f"] == state["toUndo"]["mark"]
        await director.stop("f")
        assert namespace.objects["configmaps", "settings"]["data"] == {"a": "0"}

    configuration = {"configMap": "settings", "set": {"a": "2"}}
    fault = a_fault_doc("f", configuration=configuration, **{"for": "10m"}, when=MANUAL)
    played(fault, course=course)


# Pods that nobody brings back --------------------------------------------------------------------


def test_a_configuration_that_would_end_a_bare_pod_for_good_is_refused() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
        metadata = {"name": "alone", "labels": {"seatrial.dev/service": "orders"}}
        status = {"phase": "Running"}
        namespace.add("pods", {"metadata": metadata, "spec": {"containers": []}, "status": status})
        await asyncio.sleep(0.1)
        await one_test(director, namespace)
        assert "deletionTimestamp" not in namespace.objects["pods", "alone"]["metadata"]
        assert namespace.objects["configmaps", "settings"]["data"] == {"a": "1"}

    configuration = {"configMap": "settings", "set": {"a": "2"}, "restart": True}
    fault = a_fault_doc("f", configuration=configuration, **{"for": "1s"}, when={"test": "paid"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "nothing would replace pod alone of service orders" in states["f"]["message"]


def test_a_pod_that_is_done_does_not_begin_anew() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
        metadata = {"name": "migrated", "labels": {"seatrial.dev/service": "orders"}}
        status = {"phase": "Succeeded"}
        namespace.add("pods", {"metadata": metadata, "spec": {"containers": []}, "status": status})
        await asyncio.sleep(0.1)
        await one_test(director, namespace)
        assert ("pods", "migrated") in namespace.objects

    configuration = {"configMap": "settings", "set": {"a": "2"}, "restart": True}
    fault = a_fault_doc("f", configuration=configuration, **{"for": "1s"}, when={"test": "paid"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "Recovered"


# Two that would take the same pod ----------------------------------------------------------------


@pytest.mark.parametrize("kind", [{"kill": {}}, {"evict": {}}])
def test_a_pod_is_taken_away_by_one_fault_only(kind: Any) -> None:
    faults = [a_fault_doc("f", **kind), a_fault_doc("g", kill={})]
    states, _ = played(*faults, course=one_test, replicas=2)
    hit = [each["name"] for name in "fg" for each in states[name]["targets"]]
    assert len(set(hit)) == 2
    states, _ = played(*faults, course=one_test, replicas=1)
    assert (states["f"]["state"], states["g"]["state"]) == ("Recovered", "NotInjected")
    assert "service orders has no running pod" in states["g"]["message"]


def test_a_pod_that_could_not_be_taken_away_is_there_for_another_fault() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.no_disruption = "Cannot evict pod as it would violate the pod's disruption budget"
        await one_test(director, namespace)

    faults = [a_fault_doc("f", evict={}), a_fault_doc("g", when={"after": "1s"})]
    states, _ = played(*faults, course=course, replicas=1)
    assert (states["f"]["state"], states["g"]["state"]) == ("NotInjected", "Recovered")


# A workload that is another one by now -----------------------------------------------------------


def test_a_workload_that_has_taken_the_place_of_the_scaled_one_is_left_alone() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        namespace._remove("deployments", "orders")
        namespace.deployment("orders", replicas=3)
        await asyncio.sleep(2.0)
        await director.end_with("paid")
        assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 3

    fault = a_fault_doc("f", scale={"replicas": 1}, **{"for": "10m"}, when={"test": "paid"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "EndedEarly"


def test_a_conflict_about_the_same_workload_is_no_end() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")

        def refuse(number: int, what: str) -> None:
            if what == "patch deployments/orders":
                raise ConflictError("the object has been modified", status=409)

        namespace.before_write = refuse
        await director.end_with("paid")
        [state] = director._stage.journal.summary["faults"]
        assert state["toUndo"]["objects"][0]["replicas"] == 2  # it is left to the operator

    fault = a_fault_doc("f", scale={"replicas": 1}, **{"for": "10m"}, when={"test": "paid"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "NotReverted"


# Recovery of one while another is there ----------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "within", "states"),
    [
        ("orders", "60s", ("Recovered", "Recovered")),
        ("orders", "4s", ("NotRecovered", "NotRecovered")),
        ("web", "60s", ("NotRecovered", "Recovered")),
    ],
)
def test_the_time_to_recover_stands_still_while_a_later_fault_has_its_own(
    service: str, within: str, states: tuple[str, str]
) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        await director.start("before", test="paid")
        await asyncio.sleep(2.0)
        namespace.start_s = 20.0
        if service == "web":  # the service of the first is down by itself
            namespace._be_gone(namespace._pods_of("orders")[0]["metadata"]["name"])
        await director.start("other", test="paid")
        await director.stop("before")
        await director.recovered("before")
        await director.recovered("other")

    before = a_fault_doc(
        "before", noEndpoints={}, when=MANUAL, recovery={"within": "5s"}, **{"for": "10m"}
    )
    other = a_fault_doc(
        "other", service, kill={"pods": "all"}, when=MANUAL, recovery={"within": within}
    )
    found, _ = played(before, other, course=course)
    assert tuple(found[name]["state"] for name in ("before", "other")) == states
