"""What of a fault's proof a conductor that comes back can still tell, and what it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from seatrial.api.proof import prove
from seatrial.api.reasons import Reason
from seatrial_runner.conductor.faults import Director, hands_of
from seatrial_runner.journal.entries import Entries

from tests.support.conducted import a_fault_doc
from tests.support.ordered_faults import Agents, OrderedPlace, a_gateway
from tests.support.played_faults import played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop

Course = Callable[[Director, RunNamespace, OrderedPlace], Awaitable[None]]


def manual(lasts: str = "1m", **kind: Any) -> dict[str, Any]:
    """A fault that is not played anew after a restart, because a test has started it."""
    more = {"for": lasts} if lasts else {}
    return a_fault_doc("f", **kind, **more, when={"manual": {}})


async def no_logs(pod: str) -> None:
    """Keep none."""


async def begun_again(director: Director) -> Director:
    """Have a conductor die, and another one take over and see all ends."""
    for task in director._tasks.values():
        task.cancel()
    await asyncio.gather(*director._tasks.values(), return_exceptions=True)
    journal = director._stage.journal
    journal.entries = Entries.parse(journal.entries.to_text())  # nothing but what is written
    successor = Director(director._stage, hands_of(director._stage, no_logs))
    await successor.resume()
    await successor.recovered("f")
    return successor


def in_traffic(
    fault: dict[str, Any], course: Course, **run_doc: Any
) -> tuple[dict[str, Any], Reason]:
    """Play a course with a gateway; give the fault's state, and what it proves."""
    gateways: list[OrderedPlace] = []

    async def equip(namespace: RunNamespace) -> dict[str, int]:
        gateways.append(await a_gateway(namespace))
        return {}

    async def whole(director: Director, namespace: RunNamespace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        await director.start("f", test="paid")
        try:
            await course(director, namespace, gateways[0])
        finally:
            await gateways[0].kill()

    direct = {"orders": "seatrial-direct-orders"}
    states, namespace = played(
        fault, course=whole, equip=equip, gateway=True, direct=direct, **run_doc
    )
    return dict(states["f"]), reason_of(namespace)


def reason_of(namespace: RunNamespace) -> Reason:
    (proof,) = prove(namespace.summary(), ["f"])
    return proof.reason


# Faults in traffic -------------------------------------------------------------------------------


@pytest.mark.parametrize("saved", [False, True], ids=["hits-not-written", "hits-written"])
def test_what_met_a_fault_before_a_restart_is_its_proof(saved: bool) -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        if saved:
            gateway.carrier.hit("f", 1)
            await asyncio.sleep(2.0)
            assert (director.fault("f") or {})["hits"] == 1
            gateway.carrier.hit("f", 11)
        else:
            gateway.carrier.hit("f", 12)
        await begun_again(director)

    state, reason = in_traffic(manual(latency={"delay": "1s"}), course)
    assert (state["state"], state["revertedBy"], state["hits"]) == ("Recovered", "conductor", 12)
    assert state["effective"] == state["firstHit"] is not None
    assert reason is Reason.FAULT_PROVEN


def test_what_tests_tell_late_does_not_count_where_the_gateway_counts() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        sent = loop().now()
        await director.stop("f")
        await director.recovered("f")
        successor = Director(director._stage, hands_of(director._stage, no_logs))
        await successor.resume()
        successor.met(sent, "web")

    state, _ = in_traffic(manual(latency={"delay": "1s"}), course)
    assert (state["hits"], state["firstHit"]) == (0, None)


def test_a_fault_that_met_nothing_and_that_nobody_saw_is_not_proven_after_a_restart() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await begun_again(director)

    state, reason = in_traffic(manual(latency={"delay": "1s"}), course)
    assert (state["state"], state["effective"]) == ("NoEffect", None)
    assert reason is Reason.FAULT_NO_EFFECT


def test_what_met_a_fault_the_first_time_does_not_show_the_second() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        gateway.carrier.hit("f", 3)
        await director.stop("f")
        await director.recovered("f")
        await director.start("f", test="paid")
        await begun_again(director)

    state, reason = in_traffic(manual(latency={"delay": "1s"}), course)
    assert (state["times"], state["hits"], state["effective"]) == (2, 3, None)
    assert reason is Reason.FAULT_NO_EFFECT


A_CHECK = {"name": "alive", "sql": {"service": "orders", "query": "SELECT 1"}, "every": "1s"}


@pytest.mark.parametrize(
    ("kind", "probes"),
    [({"refuse": {}}, []), ({"latency": {"delay": "1s"}}, [A_CHECK])],
    ids=["refuse", "a-database-that-is-asked"],
)
def test_what_may_have_been_of_the_conductor_before_is_no_hit_if_it_has_not_written_it(
    kind: dict[str, Any], probes: list[Any]
) -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        gateway.carrier.hit("f", 2)
        await begun_again(director)

    state, reason = in_traffic(manual(**kind), course, probes=probes)
    assert (state["hits"], state["firstHit"]) == (0, None)
    assert reason is Reason.FAULT_NO_EFFECT


# Inside pods -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [True, False])
def test_an_agent_can_still_tell_whether_it_saw_the_effect(seen: bool) -> None:
    made: list[Agents] = []

    async def equip(namespace: RunNamespace) -> dict[str, int]:
        loop().alone = True
        made.append(Agents(namespace))
        return {}

    async def course(director: Director, namespace: RunNamespace) -> None:
        try:
            await director.prepare()
            for place in made[0].by_pod.values():
                place.carrier.effect = seen
            await director.begin_with("paid")
            await director.start("f", test="paid")
            director.met(loop().now(), "orders")
            assert (director.fault("f") or {})["effective"] is None
            await begun_again(director)
        finally:
            await made[0].close()

    states, namespace = played(manual(freeze={}), course=course, equip=equip, agentImage="agent:1")
    assert (states["f"]["effective"] is not None) is seen
    assert states["f"]["hits"] == 1
    assert (reason_of(namespace) is Reason.FAULT_PROVEN) is seen


# Through the API ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "lasts"),
    [({"scale": {"replicas": 0}}, "1m"), ({"kill": {}}, ""), ({"restart": {}}, "")],
    ids=["scale", "kill", "restart"],
)
def test_what_the_api_shows_was_in_effect_though_nobody_has_written_it(
    kind: dict[str, Any], lasts: str
) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        await director.start("f", test="paid")
        director.met(loop().now(), "orders")
        state: Any = director.fault("f")
        state["effective"] = None  # as if it had been killed a moment before
        await begun_again(director)

    states, namespace = played(manual(lasts, **kind), course=course)
    state = states["f"]
    assert state["state"] == "Recovered"
    assert (state["applied"] or "") <= (state["effective"] or "") <= (state["reverted"] or "")
    assert reason_of(namespace) is Reason.FAULT_PROVEN


def test_what_a_fault_lacked_before_stays_when_it_was_just_being_started_again() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.start_s = 3600.0
        await director.start("f", test="paid")
        await director.stop("f")
        assert (await director.recovered("f"))["state"] == "NotRecovered"
        state: Any = director.fault("f")
        starting = asyncio.create_task(director.start("f", test="paid"))
        while state["state"] != "Requested":  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
        starting.cancel()
        successor = await begun_again(director)
        await successor.settle()

    fault = a_fault_doc("f", scale={"replicas": 1}, **{"for": "1m"}, when={"manual": {}})
    fault["recovery"] = {"within": "5s"}
    states, namespace = played(fault, course=course)
    assert states["f"]["state"] == "NotRecovered"
    assert reason_of(namespace) is Reason.NOT_RECOVERED
