"""Faults that are repeated, or followed by others, when a conductor takes over from another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from seatrial.api.proof import prove
from seatrial.api.reasons import Reason
from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.faults import Director, hands_of
from seatrial_runner.conductor.windows import Windows

from tests.support.conducted import a_fault_doc
from tests.support.played_faults import played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop


def a_scale(name: str = "f", lasts: str = "1s", **more: Any) -> dict[str, Any]:
    return a_fault_doc(name, scale={"replicas": 0}, **{"for": lasts}, **more)


async def no_logs(pod: str) -> None:
    """Keep none."""


async def taken_over(director: Director, *, after_s: float = 0.0) -> Director:
    """Have a conductor die, and another one take over some time later."""
    director._settling = True  # as one that was killed: it does nothing any more
    tasks = [*director._tasks.values(), *director._timers.values()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(after_s)
    director._stage.windows = Windows()
    successor = Director(director._stage, hands_of(director._stage, no_logs))
    await successor.resume()
    return successor


def over(director: Director, *tests: str) -> None:
    for test in tests:
        state = director._stage.test(test)
        assert state is not None
        state["outcome"] = "Passed"


def reason_of(namespace: RunNamespace, name: str = "f") -> Reason:
    (proof,) = [each for each in prove(namespace.summary(), []) if each.name == name]
    return proof.reason


@pytest.mark.parametrize("killed", ["in-the-recovery", "between-two-rounds"])
@pytest.mark.parametrize("bound", [{"test": "paid"}, {}], ids=["to-a-test", "to-the-gate"])
def test_a_fault_that_did_not_happen_often_enough_is_not_proven_after_a_restart(
    killed: str, bound: dict[str, str]
) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(1.2 if killed == "in-the-recovery" else 5.0)
        over(director, "paid", "sent")
        successor = await taken_over(director)
        await successor.gate_opened()
        await successor.settle()

    fault = a_scale(when={**bound, "every": "10s", "times": 3})
    states, namespace = played(fault, course=course)
    assert states["f"]["times"] == 1
    assert "happened 1 of 3 times" in states["f"]["message"]
    assert reason_of(namespace) is Reason.FAULT_NOT_INJECTED


def test_what_follows_a_repeated_fault_waits_for_its_last_time_after_a_restart() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await director.begin_with("paid")
        await asyncio.sleep(5.0)  # the first time is over
        director = await taken_over(director)
        await director.gate_opened(ago_s=5.0)
        assert (director.fault("second") or {})["state"] == "Pending"
        await director.begin_with("paid")
        await asyncio.sleep(10.0)
        await director.end_with("paid")
        await director.settle()

    first = a_scale("first", when={"test": "paid", "every": "10s", "times": 2})
    second = a_scale("second", when={"fault": "first"}, target={"service": "web"})
    states, _ = played(first, second, course=course)
    assert [each["state"] for each in states.values()] == ["Recovered", "Recovered"]
    assert (states["second"]["requested"] or "") >= (states["first"]["reverted"] or "") > ""


@pytest.mark.parametrize("kind", [{"kill": {}}, {"scale": {"replicas": 0}, "for": "1m"}])
def test_what_follows_a_fault_whose_end_another_conductor_sees_begins(kind: dict[str, Any]) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        namespace.start_s = 20.0
        await director.start("first", test="paid")
        director = await taken_over(director)
        await director.gate_opened()
        await asyncio.sleep(40.0)
        await director.settle()

    first = a_fault_doc("first", when={"manual": {}}, **kind)
    second = a_scale("second", when={"fault": "first", "after": "1s"}, target={"service": "web"})
    states, _ = played(first, second, course=course)
    assert states["first"]["state"] == "Recovered"
    assert states["second"]["state"] == "Recovered"


def test_what_failed_in_an_earlier_time_still_names_the_fault_after_a_restart() -> None:
    during: list[list[str]] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await director.begin_with("paid")
        await asyncio.sleep(0.5)
        first = rfc3339(loop().now())
        await asyncio.sleep(4.0)  # its end, and the system's recovery
        between = rfc3339(loop().now())
        await asyncio.sleep(10.0)
        director = await taken_over(director)
        windows = director._stage.windows
        during.extend([windows.during(first, first), windows.during(between, between)])
        await director.undo_open("the test ends")

    played(a_scale(when={"every": "10s", "times": 3}), course=course)
    assert during == [["f"], []]


@pytest.mark.parametrize("which", [1, 2])
def test_a_time_that_had_no_target_is_not_made_good_by_a_restart(which: int) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        def scaled(replicas: int) -> None:
            wanted = {"replicas": replicas}
            namespace.change("deployments", "orders", lambda item: item["spec"].update(wanted))
            namespace._reconcile("orders")

        if which == 1:
            scaled(0)
            await asyncio.sleep(5.0)
        await director.gate_opened()
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(5.0)
        scaled(2 if which == 1 else 0)
        await asyncio.sleep(7.0 if which == 2 else 1.0)
        assert (director.fault("f") or {})["state"] == "NotInjected"
        if which == 2:
            scaled(2)
            await asyncio.sleep(2.0)
        director = await taken_over(director)
        await director.gate_opened(ago_s=12.0)
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(20.0)
        await director.end_with("paid")
        await director.settle()

    fault = a_fault_doc("f", when={"every": "10s", "times": 2})
    states, _ = played(fault, course=course)
    assert (states["f"]["state"], states["f"]["times"]) == ("NotInjected", 1)
    assert "no running pod" in states["f"]["message"]


def test_a_window_lasts_until_another_conductor_sees_the_recovery() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.start_s = 5.0
        await director.start("f", test="paid")
        director = await taken_over(director)
        during, now = director._stage.windows.during, director._stage.at
        assert (director.fault("f") or {})["reverted"] is not None
        await asyncio.sleep(2.0)
        assert during(now(), now()) == ["f"]
        assert (await director.recovered("f"))["state"] == "Recovered"
        await asyncio.sleep(1.0)
        assert during(now(), now()) == []

    played(a_scale(lasts="1m", when={"manual": {}}), course=course)
