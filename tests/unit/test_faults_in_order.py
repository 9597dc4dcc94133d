"""Faults after one another, repeated, overlapping, and by chance that can be had again."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from seatrial.api.errors import ClusterError
from seatrial_runner.clock import parse
from seatrial_runner.conductor.faults import Director

from tests.support.conducted import a_fault_doc
from tests.support.played_faults import one_test, played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop


def a_scale(name: str = "f", lasts: str = "1s", **more: Any) -> dict[str, Any]:
    return a_fault_doc(name, scale={"replicas": 0}, **{"for": lasts}, **more)


async def a_minute(director: Director, namespace: RunNamespace) -> None:
    """Test paid runs for a minute, with a request each half second."""
    await director.gate_opened()
    await director.begin_with("paid")
    for _ in range(120):
        director.met(loop().now(), "orders")
        await asyncio.sleep(0.5)
    await director.end_with("paid")
    await director.settle()


def seconds(state: Any, field: str) -> float:
    return parse(state[field]).timestamp()


def moments(namespace: RunNamespace, kind: str, fault: str) -> list[float]:
    return [
        parse(entry["at"]).timestamp()
        for entry in namespace.entries()
        if entry["kind"] == kind and entry["fault"] == fault
    ]


# After another fault -----------------------------------------------------------------------------


def test_a_fault_begins_when_another_has_been_undone() -> None:
    first = a_scale("first", lasts="3s")
    second = a_scale("second", when={"fault": "first", "after": "2s"}, target={"service": "web"})
    third = a_scale("third", when={"fault": "second"}, target={"service": "orders"})
    states, _ = played(first, second, third, course=a_minute)
    assert [each["state"] for each in states.values()] == ["Recovered"] * 3
    gap = seconds(states["second"], "requested") - seconds(states["first"], "reverted")
    assert gap == pytest.approx(2.0, abs=0.01)
    gap = seconds(states["third"], "requested") - seconds(states["second"], "reverted")
    assert gap == pytest.approx(0.0, abs=0.01)


def test_what_follows_a_fault_that_did_not_happen_does_not_happen_either() -> None:
    faults = [
        a_fault_doc("first", target={"service": "orders", "pods": 5}),
        a_scale("second", when={"fault": "first"}),
        a_scale("third", when={"fault": "second"}),
    ]
    states, namespace = played(*faults, course=a_minute)
    assert [each["state"] for each in states.values()] == ["NotInjected", "Skipped", "Skipped"]
    assert states["third"]["message"] == "it follows fault second, which did not happen"
    assert not [each for each in namespace.writes if each.startswith("patch deployments")]


def test_a_fault_that_would_follow_after_the_tests_is_told() -> None:
    first = a_scale("first", lasts="1s")
    second = a_scale("second", when={"fault": "first", "after": "5m"})
    states, _ = played(first, second, course=a_minute)
    assert states["second"]["state"] == "NotInjected"
    assert "5m after fault first was undone" in states["second"]["message"]


def test_a_fault_follows_one_that_a_test_has_started() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        await director.start("first", test="paid")
        await director.stop("first")
        await director.recovered("first")
        assert (director.fault("second") or {})["state"] == "Active"
        await director.end_with("paid")
        await director.settle()

    first = a_scale("first", lasts="5m", when={"manual": {}})
    states, _ = played(first, a_scale("second", when={"fault": "first"}), course=course)
    assert states["second"]["revertedBy"] == "deadline"


@pytest.mark.parametrize("aborted", [False, True], ids=["to-the-end", "aborted"])
def test_what_follows_a_fault_that_tests_start_twice_happens_once(aborted: bool) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        for test in ("paid", "sent"):
            await director.begin_with(test)
            await director.start("first", test=test)
            await director.stop("first")
            await director.recovered("first")
            await director.end_with(test)
        if aborted:
            await director.undo_open("aborted")
        await asyncio.sleep(30.0)
        await director.settle()

    first = a_scale("first", lasts="5m", when={"manual": {}})
    second = a_scale("second", when={"fault": "first", "after": "10s"}, target={"service": "web"})
    states, namespace = played(first, second, course=course)
    assert states["first"]["times"] == 2
    begun = moments(namespace, "fault.requested", "second")
    assert len(begun) == (0 if aborted else 1)
    if not aborted:
        [_, undone] = moments(namespace, "fault.reverted", "first")
        assert begun == [pytest.approx(undone + 10.0, abs=0.01)]
        assert states["second"]["state"] == "Recovered"


# Repeated ----------------------------------------------------------------------------------------


def test_a_repeated_fault_happens_as_often_and_as_far_apart_as_asked_for() -> None:
    fault = a_scale(when={"every": "10s", "times": 4})
    states, namespace = played(fault, course=a_minute)
    assert (states["f"]["state"], states["f"]["times"]) == ("Recovered", 4)
    began = moments(namespace, "fault.requested", "f")
    assert [b - a for a, b in itertools.pairwise(began)] == pytest.approx([10.0] * 3, abs=0.01)
    each = states["f"]["hits"] / 4
    assert each >= 4  # a second or two with two requests in each, every time


def test_a_round_never_begins_before_the_last_is_over() -> None:
    fault = a_scale(lasts="5s", when={"every": "1s", "times": 3})
    states, namespace = played(fault, course=a_minute, start_s=2.0)
    assert (states["f"]["state"], states["f"]["times"]) == ("Recovered", 3)
    began = moments(namespace, "fault.requested", "f")
    over = moments(namespace, "fault.recovered", "f")
    assert len(began) == len(over) == 3
    assert all(end <= begin for end, begin in zip(over, began[1:], strict=False))


def test_a_fault_that_did_not_happen_as_often_as_asked_for_is_not_proven() -> None:
    fault = a_scale(when={"test": "paid", "every": "25s", "times": 4})
    states, _ = played(fault, course=a_minute)
    assert (states["f"]["state"], states["f"]["times"]) == ("NotInjected", 3)
    assert "it happened 3 of 4 times" in states["f"]["message"]
    assert "before test paid ended" in states["f"]["message"]
    assert states["f"]["hits"] > 0


def test_the_worst_of_all_rounds_stays() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        async def refuse_once(path: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
            if path.endswith("/deployments/orders") and not refused:
                refused.append(path)
                raise ClusterError("403 forbidden", status=403)
            return await real(path, body, **more)

        refused: list[str] = []
        real = namespace.patch
        namespace.patch = refuse_once  # type: ignore[method-assign]
        await a_minute(director, namespace)

    states, _ = played(a_scale(when={"every": "10s", "times": 3}), course=course)
    assert (states["f"]["state"], states["f"]["times"]) == ("NotInjected", 2)
    assert "403 forbidden" in states["f"]["message"]
    assert states["f"]["recovered"] is not None  # of the last round


def test_a_time_that_recovers_ends_the_window_of_one_that_did_not() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        during = director._stage.windows.during
        await director.gate_opened()
        namespace.start_s = 8.0
        await asyncio.sleep(5.0)
        assert (director.fault("f") or {})["state"] == "NotRecovered"
        namespace.start_s = 0.5
        assert during(director._stage.at(), director._stage.at()) == ["f"]
        await asyncio.sleep(40.0)
        assert (director.fault("f") or {})["times"] == 2
        assert during(director._stage.at(), director._stage.at()) == []
        await director.settle()

    fault = a_scale(when={"every": "20s", "times": 2}, recovery={"within": "2s"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "NotRecovered"


def test_a_manual_fault_that_is_stopped_does_not_happen_again() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.start("f", test="")
        director.met(loop().now(), "orders")
        await director.stop("f")
        await director.recovered("f")
        await asyncio.sleep(60)

    states, _ = played(a_scale(when={"manual": {}, "every": "5s", "times": 9}), course=course)
    assert (states["f"]["state"], states["f"]["times"]) == ("Recovered", 1)


def test_a_manual_fault_that_its_test_outran_has_not_happened_often_enough() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        await director.start("f", test="paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(8.0)
        await director.end_with("paid")
        await director.settle()

    states, _ = played(a_scale(when={"manual": {}, "every": "5s", "times": 9}), course=course)
    assert (states["f"]["state"], states["f"]["times"]) == ("NotInjected", 2)
    assert "it happened 2 of 9 times, each 5s, before test paid ended" in states["f"]["message"]


# By chance ---------------------------------------------------------------------------------------


def killed(seed: int | None) -> tuple[int | None, list[int]]:
    """Give the seed and which of ten pods, in their order, were killed in three rounds."""
    order: list[int] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        def look(number: int, what: str) -> None:
            if what.startswith("delete pods/"):
                names = sorted(
                    pod["metadata"]["name"]
                    for pod in namespace.all("pods")
                    if pod["metadata"]["name"].startswith("orders-")
                )
                order.append(names.index(what.removeprefix("delete pods/")))

        namespace.before_write = look
        await a_minute(director, namespace)

    given = {} if seed is None else {"seed": seed}
    fault = a_fault_doc("f", when={"every": "10s", "times": 3}, **given)
    states, _ = played(fault, course=course, replicas=10)
    return states["f"]["seed"], order


def test_the_seed_is_recorded_and_chooses_alike_again() -> None:
    seed, chosen = killed(None)
    assert seed is not None
    assert killed(seed) == (seed, chosen)
    assert len(set(chosen)) > 1  # each round chooses anew


def test_another_seed_chooses_otherwise() -> None:
    assert len({tuple(killed(seed)[1]) for seed in range(4)}) > 1


# Overlapping -------------------------------------------------------------------------------------


def test_overlapping_faults_each_have_their_own_window_and_hits() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await director.begin_with("paid")
        for second in range(6):
            director.met(loop().now(), "orders" if second % 2 else "web")
            await asyncio.sleep(1.0)
        await director.end_with("paid")
        await director.settle()

    faults = [
        a_scale("one", lasts="4s"),
        a_scale("two", lasts="4s", target={"service": "web"}, when={"after": "2s"}),
    ]
    states, _ = played(*faults, course=course)
    assert [each["state"] for each in states.values()] == ["Recovered", "Recovered"]
    assert seconds(states["two"], "applied") < seconds(states["one"], "reverted")
    assert all(each["hits"] for each in states.values())


@pytest.mark.parametrize(
    "kind",
    [{"scale": {"replicas": 1}}, {"configuration": {"configMap": "settings", "set": {"a": "2"}}}],
    ids=["scale", "configuration"],
)
def test_two_faults_do_not_change_the_same_at_a_time(kind: dict[str, Any]) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
        await a_minute(director, namespace)
        assert namespace.objects["configmaps", "settings"]["data"] == {"a": "1"}
        assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2

    faults = [
        a_fault_doc("one", **kind, **{"for": "5s"}),
        a_fault_doc("two", **kind, **{"for": "5s"}, when={"after": "2s"}),
        a_fault_doc("three", **kind, **{"for": "5s"}, when={"fault": "one", "after": "2s"}),
    ]
    states, _ = played(*faults, course=course)
    assert [each["state"] for each in states.values()] == ["Recovered", "NotInjected", "Recovered"]
    assert "is changed by fault one at that moment" in states["two"]["message"]


def test_podlabels_choose_the_leader() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        leader = next(
            pod["metadata"]["name"]
            for pod in namespace.all("pods")
            if pod["metadata"]["name"].startswith("orders-")
        )
        namespace.change("pods", leader, lambda pod: pod["metadata"]["labels"].update(role="lead"))
        leaders.append(leader)
        await asyncio.sleep(0.1)
        await one_test(director, namespace)

    leaders: list[str] = []
    target = {"service": "orders", "podLabels": {"role": "lead"}}
    states, _ = played(
        a_fault_doc("f", target=target, when={"test": "paid"}), course=course, replicas=3
    )
    assert [each["name"] for each in states["f"]["targets"]] == leaders


def test_without_a_pod_of_these_labels_nothing_is_hit() -> None:
    target = {"service": "orders", "podLabels": {"role": "lead"}}
    states, _ = played(a_fault_doc("f", target=target, when={"test": "paid"}), course=one_test)
    assert states["f"]["state"] == "NotInjected"
    assert "none of the 2 running pods" in states["f"]["message"]
    assert "role=lead" in states["f"]["message"]
