"""Faults that agents carry out: put in, ordered, watched, ended, and what is said when they go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from seatrial.plan.deadlines import ABORT_GRACE
from seatrial_runner.conductor.faults import Director

from tests.support.conducted import a_fault_doc
from tests.support.ordered_faults import Agents, MadeUp
from tests.support.played_faults import played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop

Course = Callable[[Director, RunNamespace, Agents], Awaitable[None]]


def a_freeze(name: str = "f", lasts: str = "3s", **more: Any) -> dict[str, Any]:
    return a_fault_doc(name, **{"freeze": {}, "for": lasts, "when": {"test": "paid"}, **more})


def inside(
    *faults: dict[str, Any], course: Course, cannot: dict[str, str] | None = None, **more: Any
) -> tuple[dict[str, Any], RunNamespace]:
    """Play a course with agents that are put into pods as the director asks for them."""
    made: list[Agents] = []

    async def equip(namespace: RunNamespace) -> dict[str, int]:
        loop().alone = True
        made.append(Agents(namespace))
        made[0].cannot = cannot or {}
        return {}

    async def whole(director: Director, namespace: RunNamespace) -> None:
        try:
            await course(director, namespace, made[0])
        finally:
            await made[0].close()

    return played(*faults, course=whole, equip=equip, agentImage="agent:1", **more)


async def one_test(director: Director, namespace: RunNamespace, agents: Agents) -> None:
    await director.prepare()
    await director.begin_with("paid")
    director.met(loop().now(), "orders")
    await asyncio.sleep(60)
    await director.end_with("paid")
    await director.settle()


def test_agents_are_in_their_pods_before_the_gate_opens_and_stay_the_only_ones() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        assert await director.prepare() is None
        assert len(agents.by_pod) == 2
        assert await director.prepare() is None
        await one_test(director, namespace, agents)

    states, namespace = inside(a_freeze(), course=course)
    assert states["f"]["state"] == "Recovered"
    put_in = [each for each in namespace.writes if each.endswith("/ephemeralcontainers")]
    assert len(put_in) == 2


def test_a_fault_in_a_pod_is_seen_and_ends_at_its_own_deadline() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await director.prepare()
        await director.begin_with("paid")
        assert agents.on() == ["f"]  # in one of the two pods
        began = loop().time()
        while agents.on():  # noqa: ASYNC110 - the carrier tells nobody
            await asyncio.sleep(0.01)
        assert loop().time() - began == pytest.approx(3.0, abs=0.1)
        director.met(loop().now(), "orders")
        await director.end_with("paid")

    states, _ = inside(a_freeze(), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")
    assert states["f"]["effective"] is not None
    assert len(states["f"]["targets"]) == 1


def test_it_ends_with_its_test() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await director.prepare()
        await director.begin_with("paid")
        await asyncio.sleep(1.0)
        director.met(loop().now(), "orders")
        for place in agents.by_pod.values():
            if place.carrier.on:
                place.carrier.hit("f", 5)  # processes that it has stopped, say: no traffic
        await director.end_with("paid")
        assert agents.on() == []

    states, _ = inside(a_freeze(lasts="10m"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")
    assert states["f"]["hits"] == 1  # the requests of tests count for what cannot count itself


def test_packets_and_lookups_are_counted_by_the_agent() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await director.prepare()
        await director.begin_with("paid")
        director.met(loop().now(), "orders")  # counts for nothing
        await asyncio.sleep(1.0)
        [place] = [each for each in agents.by_pod.values() if each.carrier.on]
        place.carrier.hit("f", 5)
        await asyncio.sleep(1.1)
        assert (director.fault("f") or {})["hits"] == 5  # told while it lasts
        place.carrier.hit("f", 2)
        await director.end_with("paid")

    fault = a_freeze(lasts="1m", freeze=None, packets={"loss": "10%"})
    del fault["freeze"]
    states, namespace = inside(fault, course=course)
    assert (states["f"]["state"], states["f"]["hits"]) == ("Recovered", 7)
    assert states["f"]["firstHit"] is not None
    assert [each["kind"] for each in namespace.entries()].count("fault.hit") == 1


def test_without_an_effect_it_is_not_proven() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await director.prepare()
        for place in agents.by_pod.values():
            place.carrier.effect = False
        await one_test(director, namespace, agents)

    states, _ = inside(a_freeze(), course=course)
    assert states["f"]["state"] == "NoEffect"
    assert "has not seen the effect of freeze" in states["f"]["message"]
    assert states["f"]["recovered"] is not None


def test_what_a_node_cannot_do_is_said_before_the_gate_opens() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        failure = await director.prepare()
        assert failure is not None
        assert failure["reason"] == "UnsupportedFault"
        assert (
            "Fault f: freeze cannot be carried out by the agent in pod orders-"
            in (failure["message"])
        )
        assert "no ptrace here" in failure["message"]

    inside(a_freeze(), course=course, cannot={"freeze": "no ptrace here", "dns": "whatever"})


def test_a_pod_that_has_come_later_gets_an_agent_when_it_is_hit() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await director.prepare()
        before = set(agents.by_pod)
        for name in before:
            namespace._begin_to_go(name)
        await asyncio.sleep(3.0)
        await director.begin_with("paid")
        assert agents.on() == ["f", "f"]
        assert len(set(agents.by_pod) - before) == 2
        director.met(loop().now(), "orders")
        await director.end_with("paid")

    fault = a_freeze(target={"service": "orders", "pods": "all"})
    states, _ = inside(fault, course=course)
    assert states["f"]["state"] == "Recovered"


def test_an_agent_that_has_ended_is_replaced_by_another_one_of_another_name() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await director.prepare()
        for name in list(agents.by_pod):
            namespace.end_agent(name)
        await asyncio.sleep(0.1)
        await one_test(director, namespace, agents)

    states, namespace = inside(a_freeze(), course=course)
    assert states["f"]["state"] == "Recovered"
    pod = namespace.objects["pods", states["f"]["targets"][0]["name"]]
    names = [each["name"] for each in pod["spec"]["ephemeralContainers"]]
    assert names == ["seatrial-agent-1", "seatrial-agent-2"]


def with_containers(namespace: RunNamespace, identity: str, **spec: Any) -> None:
    """Have each pod's main container run by that ID."""

    def change(pod: dict[str, Any]) -> None:
        pod["spec"].update(spec)
        pod["status"]["containerStatuses"][0]["containerID"] = f"containerd://{identity}"

    for pod in namespace.all("pods"):
        if "containerStatuses" in pod["status"]:
            namespace.change("pods", pod["metadata"]["name"], change)


@pytest.mark.parametrize("shares", [False, True])
def test_the_container_is_told_by_its_id_only_where_it_shares_its_processes(shares: bool) -> None:
    """The status has the ID of before a restart until it runs again."""

    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        with_containers(namespace, "before", shareProcessNamespace=shares)
        await asyncio.sleep(0.1)
        await director.prepare()
        for pod in namespace.all("pods"):
            for agent in pod["spec"].get("ephemeralContainers", ()):
                env = {each["name"]: each.get("value") for each in agent["env"]}
                assert json.loads(env["SEATRIAL_AGENT"])["containerId"] == ("before" * shares)
        with_containers(namespace, "now")
        await asyncio.sleep(0.1)
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        [order] = [each for place in agents.by_pod.values() for each in place.carrier.on.values()]
        assert order.get("containerId") == ("now" if shares else None)
        await director.end_with("paid")

    states, _ = inside(a_freeze(), course=course)
    assert states["f"]["state"] == "Recovered"


def test_a_pod_that_goes_before_it_has_an_agent_keeps_no_run_from_starting() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        begin = namespace._begin_agent
        namespace._begin_agent = lambda name, container: None  # type: ignore[method-assign]
        preparing = asyncio.create_task(director.prepare())
        await asyncio.sleep(0.5)
        namespace._begin_agent = begin  # type: ignore[method-assign]
        for pod in namespace.all("pods"):
            namespace._begin_to_go(pod["metadata"]["name"])
        assert await preparing is None
        await asyncio.sleep(3.0)
        await one_test(director, namespace, agents)

    states, _ = inside(a_freeze(), course=course)
    assert states["f"]["state"] == "Recovered"


async def hit_pod(director: Director, agents: Agents) -> str:
    await director.prepare()
    await director.begin_with("paid")
    director.met(loop().now(), "orders")
    await asyncio.sleep(0.5)
    [name] = [name for name, place in agents.by_pod.items() if place.carrier.on]
    return name


def test_a_pod_that_goes_takes_the_fault_with_it_and_that_is_said() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        namespace._begin_to_go(await hit_pod(director, agents))
        await asyncio.sleep(5)
        await director.end_with("paid")

    states, namespace = inside(a_freeze(lasts="1m"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("EndedEarly", "podGone")
    assert "is gone, and with it the fault" in states["f"]["message"]
    assert "ended before its time" in namespace.summary()["lostEvidence"][0]


def test_an_agent_that_ends_with_its_pod_may_still_say_so() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        name = await hit_pod(director, agents)
        namespace._begin_to_go(name)
        await agents.by_pod[name].end_all()
        await asyncio.sleep(5)
        await director.end_with("paid")

    states, _ = inside(a_freeze(lasts="1m"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("EndedEarly", "podGone")


def test_an_agent_that_is_gone_from_its_pod_is_no_pod_that_is_gone() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        namespace.end_agent(await hit_pod(director, agents))
        await asyncio.sleep(5)
        await director.end_with("paid")

    states, _ = inside(a_freeze(lasts="1m"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("EndedEarly", "itself")


def test_an_agent_that_is_gone_does_not_hold_up_the_end_of_the_fault() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        namespace.end_agent(await hit_pod(director, agents))  # for lack of memory, say
        await asyncio.sleep(3)
        state = director.fault("f")
        assert state is not None
        assert state["reverted"] is not None
        await director.end_with("paid")

    inside(a_freeze(lasts="1m"), course=course)


def test_an_agent_that_is_restarted_has_ended_the_fault_and_lost_what_it_knew() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        place = agents.by_pod[await hit_pod(director, agents)]
        await place.kill()
        await asyncio.sleep(0.5)
        await place.start()
        await asyncio.sleep(5)
        await director.end_with("paid")

    states, _ = inside(a_freeze(lasts="1m"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("EndedEarly", "itself")
    assert "was restarted, and with it the fault ended" in states["f"]["message"]
    assert states["f"]["recovered"] is not None


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("container orders has ended", "says: container orders has ended"),
        ("", "lost the process that carried the fault out"),
    ],
)
def test_an_agent_says_why_a_fault_has_ended_before_its_time(why: str, told: str) -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        place = agents.by_pod[await hit_pod(director, agents)]
        place.carrier.met["f"] = replace(place.carrier.met["f"], why=why)
        await place.lose("f")
        await asyncio.sleep(5)
        await director.end_with("paid")

    states, _ = inside(a_freeze(lasts="1m"), course=course)
    assert states["f"]["state"] == "EndedEarly"
    assert told in states["f"]["message"]
    assert "Envoy" not in states["f"]["message"]


def test_one_that_is_away_for_a_while_is_asked_again() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        place = agents.by_pod[await hit_pod(director, agents)]
        await place.stop()
        await asyncio.sleep(4)
        await place.back()
        await asyncio.sleep(10)
        await director.end_with("paid")

    states, _ = inside(a_freeze(lasts="10s"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")


def test_a_clock_that_is_set_forward_ends_no_fault() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await hit_pod(director, agents)
        director.met(loop().now(), "orders")
        loop().set_by_s = 300.0
        await asyncio.sleep(15)
        await director.end_with("paid")

    states, _ = inside(a_freeze(lasts="10s"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")


def test_one_that_never_says_how_it_ended_has_lost_evidence() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await agents.by_pod[await hit_pod(director, agents)].stop()
        await asyncio.sleep(60)
        await director.end_with("paid")

    states, _ = inside(a_freeze(lasts="5s"), course=course)
    assert states["f"]["state"] == "EndedEarly"
    assert "did not say how it ended" in states["f"]["message"]
    assert states["f"]["revertedBy"] == "deadline"


def test_an_agent_that_refuses_is_told_and_nothing_is_left() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        await director.prepare()
        for place in agents.by_pod.values():
            place.carrier.refuses = "there is no process to stop"
        await one_test(director, namespace, agents)

    states, _ = inside(a_freeze(), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "refuses: there is no process to stop" in states["f"]["message"]


@pytest.mark.parametrize("deaf", [False, True])
def test_an_abort_does_not_wait_for_an_agent_that_does_not_answer(deaf: bool) -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        async def begin(carrier: MadeUp, *order: Any) -> None:
            await put(carrier, *order)
            await asyncio.sleep(3600 if deaf else 3)

        async def end(carrier: MadeUp, name: str) -> None:
            await asyncio.sleep(3600 if deaf else 0)
            await delete(carrier, name)

        put, delete = MadeUp.put, MadeUp.delete
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MadeUp, "put", begin)
            patch.setattr(MadeUp, "delete", end)
            await director.prepare()
            beginning = asyncio.create_task(director.begin_with("paid"))
            await asyncio.sleep(1.0)
            assert agents.on() == ["f"]
            began = loop().time()
            await director.abandon("the run was aborted")
            assert loop().time() - began < ABORT_GRACE.total_seconds()
            assert agents.on() == (["f"] if deaf else [])
            await beginning

    states, _ = inside(a_freeze(lasts="10m"), course=course)
    assert states["f"]["state"] == ("NotReverted" if deaf else "Requested")


def test_a_pod_without_an_agent_within_its_time_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace, agents: Agents) -> None:
        namespace._begin_agent = lambda name, container: None  # type: ignore[method-assign]
        began = loop().time()
        await director.begin_with("paid")
        assert loop().time() - began < 60
        await director.end_with("paid")

    states, _ = inside(a_freeze(), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "did not serve within 10 s" in states["f"]["message"]
