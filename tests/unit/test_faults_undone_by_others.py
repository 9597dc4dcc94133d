"""A fault made through the API that the operator, or something else, has undone before we do."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

import pytest
from seatrial.api.journal import FaultState
from seatrial.api.undoing import RESTORED, kept_key, mark_key, note, note_key, noted
from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.faults import Director

from tests.support import controllers
from tests.support.conducted import (
    a_conductor,
    a_fault_doc,
    a_run_doc,
    a_service_doc,
    order,
)
from tests.support.mortal import PROCESS, mortal_connections
from tests.support.mortal_client import MortalClient
from tests.support.played_faults import played
from tests.support.run_namespace import Object, RunNamespace
from tests.support.virtual_time import GATE, in_virtual_time, loop

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "scale": ("deployments", {"scale": {"replicas": 1}}),
    "outage": ("deployments", {"outage": {}}),
    "noEndpoints": ("services", {"noEndpoints": {}}),
    "configuration": ("configmaps", {"configuration": {"configMap": "orders", "remove": {}}}),
}


def a_fault(kind: str, lasts: str = "10s", **more: Any) -> dict[str, Any]:
    return a_fault_doc("f", **KINDS[kind][1], **{"for": lasts}, **more)


def undone_by_the_operator(namespace: RunNamespace, kind: str, at: str) -> None:
    """Do what the operator does to an object of the fault."""
    plural = KINDS[kind][0]
    name = "seatrial-undo-f" if kind == "configuration" else "orders"

    def change(item: Object) -> None:
        annotations = item["metadata"]["annotations"]
        mark = annotations[mark_key("f")]
        annotations[note_key("f")] = note(mark, at)
        if kind == "configuration":
            annotations[RESTORED] = at
            return
        del annotations[mark_key("f")]
        if kind == "noEndpoints":
            selector = item["spec"]["selector"]
            del selector[next(each for each in selector if each.startswith("no-endpoints"))]
        else:
            item["spec"]["replicas"] = 2

    if kind == "configuration":
        namespace.add("configmaps", {"metadata": {"name": "orders"}, "data": {"a": "1"}})
    namespace.change(plural, name, change)
    if kind == "noEndpoints":
        namespace._slice("orders")
    if plural == "deployments":
        namespace._reconcile("orders")


def with_an_operator(kind: str, *, after_s: float, told_s: float, set_by_s: float = 0.0) -> Any:
    """A course in which the operator undoes the fault, and says that it was at another moment."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "orders"}, "data": {"a": "1"}})
        loop().set_by_s = set_by_s
        await director.gate_opened()
        await director.begin_with("paid")
        began = loop().now()
        director.met(began, "orders")
        await asyncio.sleep(after_s)
        # The operator knows nothing of a clock that was set.
        at = rfc3339(began + timedelta(seconds=told_s - set_by_s))
        undone_by_the_operator(namespace, kind, at)
        await director.settle()

    return course


def journal_of(namespace: RunNamespace, kind: str) -> list[Object]:
    return [each for each in namespace.entries() if each["kind"] == kind]


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_operator_was_first_and_the_proof_says_so(kind: str) -> None:
    course = with_an_operator(kind, after_s=9.99, told_s=10.5)
    states, namespace = played(a_fault(kind), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "operator")
    assert [each["by"] for each in journal_of(namespace, "fault.reverted")] == ["operator"]
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2
    assert namespace.objects["configmaps", "orders"]["data"] == {"a": "1"}
    assert ("configmaps", "seatrial-undo-f") not in namespace.objects


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_operator_whose_clock_is_wrong_has_ended_it_early(kind: str) -> None:
    course = with_an_operator(kind, after_s=9.99, told_s=4.0)
    states, _ = played(a_fault(kind), course=course)
    assert states["f"]["state"] == "EndedEarly"
    assert states["f"]["message"].startswith("the operator undid it 6s before")


@pytest.mark.parametrize("set_by_s", [300.0, -300.0], ids=["forward", "back"])
def test_a_clock_that_was_set_makes_no_operator_early(set_by_s: float) -> None:
    course = with_an_operator("scale", after_s=9.99, told_s=10.5, set_by_s=set_by_s)
    states, _ = played(a_fault("scale"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "operator")


def test_a_note_of_another_time_is_not_ours() -> None:
    def old(item: Object) -> None:
        item["metadata"].setdefault("annotations", {})[note_key("f")] = note("old", "long ago")

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.change("deployments", "orders", old)
        await director.gate_opened()
        await director.settle()
        assert note_key("f") not in namespace.objects["deployments", "orders"]["metadata"].get(
            "annotations", {}
        )

    states, _ = played(a_fault("scale"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")


@pytest.mark.parametrize(
    ("at", "read"),
    [
        ("2026-11-20T12:00:00.123Z", True),
        ("2026-11-20T12:00:00Z", True),
        ("2026-11-20T12:00:00.123456Z", True),
        ("", False),
        ("long ago", False),
        ("2026-11-20", False),
        ("2026-11-20T12:00:00", False),
        ("2026-13-20T12:00:00Z", False),
        ("0000-01-01T00:00:00Z", False),
        ("2026-11-20T12:00:00Z\n", False),
        ("２０２６-11-20T12:00:00Z", False),  # noqa: RUF001
        ("9999-12-31T23:59:59-23:59", False),
    ],
)
def test_a_note_tells_a_moment_or_nothing(at: str, read: bool) -> None:
    item = {"metadata": {"annotations": {note_key("f"): note("mark", at)}}}
    assert noted(item, "f", "mark") == (at if read else "")
    assert noted(item, "f", "other") == ""


def test_an_autoscaler_that_works_against_it_is_named() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        def scaled(item: Object) -> None:
            item["spec"]["replicas"] = 3

        await director.gate_opened()
        await asyncio.sleep(2.0)
        namespace.change("deployments", "orders", scaled)
        namespace._reconcile("orders")
        await director.settle()

    states, namespace = played(a_fault("outage"), course=course)
    assert states["f"]["state"] == "EndedEarly"
    assert "Deployment/orders was given 3 replicas, not by the conductor" in states["f"]["message"]
    assert states["f"]["revertedBy"] == "itself"
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2


def endpoints_are_back(namespace: RunNamespace) -> None:
    def led_back(item: Object) -> None:
        selector = item["spec"]["selector"]
        del selector[next(each for each in selector if each.startswith("no-endpoints"))]

    namespace.change("services", "orders", led_back)
    namespace._slice("orders")


def settings_are_back(namespace: RunNamespace) -> None:
    namespace.change("configmaps", "orders", lambda item: item["data"].update(a="1"))


def settings_are_made_anew(namespace: RunNamespace) -> None:
    namespace.add("configmaps", {"metadata": {"name": "orders"}, "data": {"a": "1"}})


def password_is_back(namespace: RunNamespace) -> None:
    namespace.change("secrets", "orders", lambda item: item["data"].update(a="MQ=="))


@pytest.mark.parametrize(
    ("kind", "undone", "words"),
    [
        ({"noEndpoints": {}}, endpoints_are_back, "Service orders was given endpoints again"),
        (
            {"configuration": {"configMap": "orders", "set": {"a": "2"}}},
            settings_are_back,
            "ConfigMap orders was changed again",
        ),
        (
            {"configuration": {"configMap": "orders", "remove": {"keys": ["a"]}}},
            settings_are_back,
            "ConfigMap orders was changed again",
        ),
        (
            {"configuration": {"configMap": "orders", "remove": {}}},
            settings_are_made_anew,
            "ConfigMap orders was changed again",
        ),
        (
            {"configuration": {"secret": "orders", "set": {"a": "2"}}},
            password_is_back,
            "Secret orders was changed again",
        ),
    ],
    ids=["no-endpoints", "set", "key-removed", "object-removed", "secret"],
)
def test_what_somebody_else_undoes_has_ended_early(kind: Any, undone: Any, words: str) -> None:
    began: list[float] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "orders"}, "data": {"a": "1"}})
        namespace.add("secrets", {"metadata": {"name": "orders"}, "data": {"a": "MQ=="}})
        await director.gate_opened()
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(2.0)
        undone(namespace)
        began.append(loop().time())
        await director.settle()
        assert loop().time() - began[0] < 30.0

    states, namespace = played(a_fault_doc("f", **kind, **{"for": "60s"}), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("EndedEarly", "itself")
    assert f"{words}, not by the conductor" in states["f"]["message"]
    assert namespace.objects["configmaps", "orders"]["data"] == {"a": "1"}
    assert namespace.objects["secrets", "orders"]["data"] == {"a": "MQ=="}


# What the operator is told -----------------------------------------------------------------------


def told_during(fault: dict[str, Any], **objects: Object) -> FaultState:
    """Give what the summary says of a fault while it is on; in the end it says nothing any more."""
    found: list[FaultState] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        for plural, item in objects.items():
            namespace.add(plural, item)
        await director.gate_opened()
        await asyncio.sleep(3.0)
        found.append(namespace.summary()["faults"][0])
        await director.settle()

    states, namespace = played(fault, course=course)
    assert states["f"]["state"] == "Recovered"
    assert "toUndo" not in namespace.summary()["faults"][0]
    return found[0]


def test_the_operator_knows_what_to_undo_and_when() -> None:
    state = told_during(a_fault("scale"))
    to_undo = state["toUndo"]
    assert state["applied"] is not None
    assert to_undo["until"] > state["applied"]
    [target] = state["targets"]
    assert to_undo["objects"] == [
        {"kind": "Deployment", "name": "orders", "uid": target["uid"], "replicas": 2}
    ]


@pytest.mark.parametrize("set_by_s", [300.0, -300.0], ids=["forward", "back"])
def test_the_operator_hears_nothing_of_a_clock_that_is_set(set_by_s: float) -> None:
    """It takes the difference of the clocks from when summaries come, and the deadline by that."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        loop().set_by_s = set_by_s
        await director._stage.journal.save()
        summary, fault = namespace.summary(), namespace.summary()["faults"][0]
        written_s = (parse(summary["updatedAt"]) - GATE).total_seconds()
        assert written_s == pytest.approx(loop().time(), abs=1.0)
        until_s = (parse(fault["toUndo"]["until"]) - GATE).total_seconds()
        assert until_s == pytest.approx(loop().time() + 10.0, abs=1.0)
        await director.settle()

    played(a_fault("scale"), course=course)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"set": {"b": "3", "new": "x"}}, {"keys": ["b", "new"], "added": ["new"]}),
        ({"remove": {"keys": ["a"]}}, {"keys": ["a"]}),
        ({"remove": {"keys": ["a", "b"]}}, {"keys": ["a", "b"]}),
        ({"remove": {"keys": ["a"]}, "restart": True}, {"keys": ["a"], "restart": "orders"}),
        ({"remove": {}}, {"kept": "seatrial-undo-f"}),
    ],
)
def test_the_operator_knows_the_keys_of_a_secret_and_no_value(
    change: dict[str, Any], told: dict[str, Any]
) -> None:
    secret = {"metadata": {"name": "settings"}, "data": {"a": "MQ==", "b": "Mg=="}}
    state = told_during(
        a_fault_doc("f", configuration={"secret": "settings", **change}, **{"for": "10s"}),
        secrets=secret,
    )
    [target] = state["targets"]
    expected = {"kind": "Secret", "name": "settings", "uid": target["uid"], **told}
    assert state["toUndo"]["objects"] == [expected]


def test_pods_that_have_to_begin_anew_are_told_with_the_configmap() -> None:
    settings = {"metadata": {"name": "settings"}, "data": {"a": "1"}}
    change = {"configuration": {"configMap": "settings", "remove": {}, "restart": True}}
    state = told_during(a_fault_doc("f", **change, **{"for": "10s"}), configmaps=settings)
    [told] = state["toUndo"]["objects"]
    assert (told["kept"], told["restart"]) == ("seatrial-undo-f", "orders")


@pytest.mark.parametrize(("restart", "most_s"), [(False, 30), (True, 120)])
def test_until_it_is_in_effect_the_operator_waits_no_longer_than_that_takes(
    restart: bool, most_s: float
) -> None:
    seen: list[FaultState] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
        namespace.before_write = lambda number, what: (
            seen.append(namespace.summary()["faults"][0]) if what.endswith("undo-f") else None
        )
        await director.gate_opened()
        await director.settle()

    change = {"configMap": "settings", "set": {"a": "2"}, "restart": restart}
    played(a_fault_doc("f", configuration=change, **{"for": "10s"}), course=course)
    requested, until = seen[0]["requested"], seen[0]["toUndo"]["until"]
    assert requested is not None
    most = timedelta(seconds=10 + most_s + 1)
    assert parse(until) - parse(requested) < most


def keys_brought_back(item: Object, at: str) -> None:
    """Do what the operator does to a Secret of which the fault has changed key a."""
    annotations = item["metadata"]["annotations"]
    annotations[note_key("f")] = note(annotations.pop(mark_key("f")), at)
    item["data"]["a"] = annotations.pop(kept_key("f", 0))


@pytest.mark.parametrize("restart", [False, True])
def test_a_secret_that_the_operator_has_brought_back(restart: bool) -> None:
    """Pods that began with the other one are there until the conductor has replaced them."""
    old: set[str] = set()

    async def course(director: Director, namespace: RunNamespace) -> None:
        secret = {"metadata": {"name": "settings"}, "data": {"a": "MQ==", "b": "Mg=="}}
        namespace.add("secrets", secret)
        await director.gate_opened()
        await director.begin_with("paid")
        began = loop().now()
        director.met(began, "orders")
        await asyncio.sleep(9.99)
        old.update(name for kind, name in namespace.objects if kind == "pods")
        at = rfc3339(began + timedelta(seconds=10.5))
        namespace.change("secrets", "settings", lambda item: keys_brought_back(item, at))
        await director.settle()

    change = {"secret": "settings", "set": {"a": "2"}, "restart": restart}
    fault = a_fault_doc("f", configuration=change, **{"for": "10s"})
    states, namespace = played(fault, course=course)
    by = "deadline" if restart else "operator"
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", by)
    secret = namespace.objects["secrets", "settings"]
    assert secret["data"] == {"a": "MQ==", "b": "Mg=="}
    assert set(secret["metadata"]["annotations"]) == {note_key("f")}
    pods = {name for kind, name in namespace.objects if kind == "pods" and "orders" in name}
    assert bool(pods & old) is not restart
    if restart:  # until the last pod of before is gone, which takes each of them a second
        reverted, applied = states["f"]["reverted"], states["f"]["applied"]
        assert reverted is not None
        assert applied is not None
        assert parse(reverted) - parse(applied) >= timedelta(seconds=11)


def test_an_abort_does_not_wait_for_pods_that_take_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took: list[float] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("secrets", {"metadata": {"name": "settings"}, "data": {"a": "MQ=="}})
        await director.gate_opened()
        await director.begin_with("paid")
        await asyncio.sleep(2)
        monkeypatch.setattr(controllers, "_STOPPING_S", 60.0)
        began = loop().time()
        await director.abandon("the run was aborted")
        took.append(loop().time() - began)

    change = {"secret": "settings", "set": {"a": "2"}, "restart": True}
    fault = a_fault_doc("f", configuration=change, **{"for": "10m"}, when={"test": "paid"})
    states, namespace = played(fault, course=course)
    assert namespace.objects["secrets", "settings"]["data"] == {"a": "MQ=="}
    assert took[0] < 11.0
    assert states["f"]["state"] == "NotReverted"
    assert "not seen 10 s after: the run was aborted" in states["f"]["message"]


def test_a_secret_too_large_to_be_kept_is_not_touched() -> None:
    secret = {"metadata": {"name": "settings"}, "data": {"a": "A" * 265_000, "b": "Mg=="}}

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("secrets", secret)
        await director.gate_opened()
        await director.settle()
        assert namespace.objects["secrets", "settings"]["data"] == secret["data"]

    change = {"secret": "settings", "set": {"a": "2"}}
    states, namespace = played(
        a_fault_doc("f", configuration=change, **{"for": "10s"}), course=course
    )
    assert states["f"]["state"] == "NotInjected"
    assert "take 259 KiB with the others, and Kubernetes allows 256" in states["f"]["message"]
    assert not [each for each in namespace.writes if "settings" in each]


# A conductor that comes back ---------------------------------------------------------------------


def test_a_conductor_that_comes_back_reads_who_has_undone_it() -> None:
    async def course() -> tuple[FaultState, list[str], list[Object]]:
        namespace = RunNamespace(start_s=0.3)
        fault = a_fault("outage", lasts="20s")
        order(namespace, a_run_doc(services=[a_service_doc()], faults=[fault]))
        namespace.deployment("orders", replicas=2)
        namespace.service("orders")
        await a_conductor_that_dies(namespace, after_s=10.0)
        applied = namespace.summary()["faults"][0]["applied"]
        assert applied is not None
        await asyncio.sleep(15.0)
        at = rfc3339(parse(applied) + timedelta(seconds=20.5))
        undone_by_the_operator(namespace, "outage", at)
        await asyncio.sleep(5.0)
        await a_conductor(namespace)
        summary = namespace.summary()
        assert summary["faults"][0]["reverted"] == at
        return (
            summary["faults"][0],
            summary["lostEvidence"],
            journal_of(namespace, "fault.reverted"),
        )

    with pytest.MonkeyPatch.context() as patched, mortal_connections(patched):
        state, lost, reverted = in_virtual_time(course())
    assert (state["state"], state["revertedBy"]) == ("Recovered", "operator")
    assert "Fault f was undone by the operator while the conductor was away." in lost
    assert [each["by"] for each in reverted] == ["operator"]


async def a_conductor_that_dies(namespace: RunNamespace, *, after_s: float) -> None:
    client = MortalClient(namespace, dies_at=sys.maxsize, after=False)
    token = PROCESS.set(client)
    process = asyncio.create_task(a_conductor(client))
    PROCESS.reset(token)
    await asyncio.sleep(after_s)
    client.died.set()
    process.cancel()
    await asyncio.gather(process, return_exceptions=True)
