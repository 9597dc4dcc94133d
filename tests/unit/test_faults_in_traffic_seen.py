"""Whether a fault in traffic is seen, and what met it: by probes, checks, and the counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.faults import Director, places
from seatrial_runner.conductor.faults import gateway as gateway_faults
from seatrial_runner.conductor.faults.account import Account
from seatrial_runner.conductor.faults.control_client import ControlClient
from seatrial_runner.conductor.faults.gateway import Traffic
from seatrial_runner.conductor.faults.kinds import Evidence, Hands, Intent
from seatrial_runner.conductor.faults.looking import Spot
from seatrial_runner.conductor.faults.places import GatewayPlace

from tests.support.conducted import a_fault_doc, a_run_doc, a_stage
from tests.support.ordered_faults import OrderedPlace
from tests.support.run_namespace import RunNamespace
from tests.support.traffic_played import a_latency, in_traffic, one_test
from tests.support.virtual_time import in_virtual_time, loop

SPOT = Spot("orders", 8080, "tests")


def looked_around(
    monkeypatch: pytest.MonkeyPatch, course: Callable[[GatewayPlace], Awaitable[None]], fails: int
) -> int:
    """Play a course in which so many looks around fail; tell how often somebody has looked."""
    looks = 0

    async def look_around(spots: Any, token: str) -> set[tuple[str, int]]:
        nonlocal looks
        if not spots:
            return set()
        looks += 1
        failed = looks <= fails
        await asyncio.sleep(1.0)
        return set() if failed else {(spot.host, spot.port) for spot in spots}

    async def whole() -> None:
        place = GatewayPlace(await a_stage(RunNamespace(), a_run_doc()))
        place._secret = "a token"
        await course(place)

    monkeypatch.setattr(places, "look_around", look_around)
    in_virtual_time(whole())
    return looks


def test_a_fault_waits_for_the_look_of_another_one_at_its_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def begin(place: GatewayPlace) -> None:
        await place.look_around([SPOT])
        assert place.echoes(SPOT)

    async def course(place: GatewayPlace) -> None:
        await asyncio.gather(begin(place), begin(place))

    assert looked_around(monkeypatch, course, fails=0) == 1


def test_a_port_where_nothing_has_come_back_is_looked_at_once_more_and_no_oftener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def course(place: GatewayPlace) -> None:
        for _ in range(5):
            await place.look_around([SPOT])
        seen.append(place.echoes(SPOT))

    seen: list[bool] = []
    looks = [looked_around(monkeypatch, course, fails=fails) for fails in (0, 1, 9)]
    assert (looks, seen) == ([1, 2, 2], [True, True, False])


def test_the_moment_of_a_hit_that_was_counted_before_it_was_known_is_not_lost() -> None:
    async def told() -> str | None:
        fault = a_latency()
        stage = await a_stage(RunNamespace(), a_run_doc(faults=[fault]))
        account = Account(stage, fault, [], Traffic(), test="paid", number=1, flaw=None)
        account.asked()
        account.applied(Intent([]))
        account.take(Evidence(1))
        account.take(Evidence(1, first_hit="2999-01-01T00:00:00.000Z"))
        return account.state["firstHit"]

    assert in_virtual_time(told()) == "2999-01-01T00:00:00.000Z"


def looking_at(monkeypatch: pytest.MonkeyPatch, look_for: Any) -> None:
    """Have looks at service orders be made up, where probes come back."""

    async def look_around(self: GatewayPlace, spots: Any) -> None:
        pass

    spots = [Spot("orders", 8080, "tests")]
    monkeypatch.setattr(gateway_faults, "look_for", look_for)
    monkeypatch.setattr(gateway_faults, "spots_of", lambda hands, undo: spots)
    monkeypatch.setattr(GatewayPlace, "echoes", lambda self, spot: True)
    monkeypatch.setattr(GatewayPlace, "look_around", look_around)


def test_a_probe_that_a_closed_port_has_refused_is_no_hit_nor_its_moment_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateways: list[OrderedPlace] = []

    async def see_late(sight: Any, spots: Any, looked: Any) -> tuple[str, int]:
        gateways[0].carrier.hit("f")  # the probe: the kernel does not know it from a client
        await asyncio.sleep(2.5)  # longer than the conductor waits to ask what was met
        return rfc3339(loop().now()), 1

    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        gateways.append(gateway)
        await director.prepare()
        await director.begin_with("paid")
        await asyncio.sleep(2.0)
        told.append((director.fault("f") or {})["hits"])
        await asyncio.sleep(10.0)
        await director.end_with("paid")

    told: list[int] = []
    looking_at(monkeypatch, see_late)
    fault = a_fault_doc("f", refuse={}, **{"for": "5s", "when": {"test": "paid"}})
    states, _, _ = in_traffic(fault, course=course)
    assert told == [0]
    state = states["f"]
    assert (state["state"], state["hits"], state["firstHit"]) == ("Recovered", 0, None)


@pytest.mark.parametrize(("kind", "libpq"), [("refuse", False), ("latency", True)])
def test_a_check_that_the_gateway_has_counted_is_no_hit(kind: str, libpq: bool) -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        for _ in range(3):
            director._hands.checked.begins("alive", "orders", libpq=libpq)
            gateway.carrier.hit("f")
            director._hands.checked.ends("alive", held=True)
        await asyncio.sleep(10.0)
        await director.end_with("paid")

    params = {"delay": "1s"} if kind == "latency" else {}
    fault = a_fault_doc("f", **{kind: params, "for": "5s", "when": {"test": "paid"}})
    states, _, _ = in_traffic(fault, course=course)
    assert (states["f"]["state"], states["f"]["hits"]) == ("NoEffect", 0)
    assert (states["f"]["firstHit"], states["f"]["exposedTests"]) == (None, ["paid"])


def test_a_fault_whose_effect_nobody_could_look_for_is_proven_by_what_met_it() -> None:
    states, _, _ = in_traffic(a_latency(), course=one_test)
    assert states["f"]["state"] == "Recovered"
    assert states["f"]["effective"] == states["f"]["firstHit"]


@pytest.mark.parametrize(("limit", "state"), [(255, "NoEffect"), (256, "Recovered")])
def test_a_limit_that_no_probe_can_fill_is_proven_by_what_met_it(
    limit: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_vain(sight: Any, spots: Any, looked: Any) -> tuple[str, int]:
        looked()
        await asyncio.Event().wait()
        raise AssertionError

    looking_at(monkeypatch, in_vain)
    kind = {"connectionLimit": {"connections": limit}}
    fault = a_fault_doc("f", **kind, **{"for": "3s", "when": {"test": "paid"}})
    states, _, _ = in_traffic(fault, course=one_test)
    assert (states["f"]["state"], states["f"]["hits"]) == (state, 3)


def test_a_probe_that_comes_back_because_the_fault_was_ended_has_not_missed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = asyncio.Event()

    async def held_until_the_end(sight: Any, spots: Any, looked: Any) -> tuple[str, int]:
        await ended.wait()
        looked()
        raise asyncio.CancelledError

    async def slowly(self: ControlClient, *args: Any, **more: Any) -> Any:
        report = await delete(self, *args, **more)
        ended.set()
        await asyncio.sleep(0.1)  # the answer is on its way, and the probe's word is faster
        return report

    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        gateway.carrier.hit("f")
        await director.end_with("paid")

    delete = ControlClient.delete
    monkeypatch.setattr(ControlClient, "delete", slowly)
    looking_at(monkeypatch, held_until_the_end)
    states, _, _ = in_traffic(a_latency(lasts="30s"), course=course)
    assert (states["f"]["state"], states["f"]["hits"]) == ("Recovered", 1)


@pytest.mark.parametrize("late", ["sources", "order"])
def test_a_look_is_too_late_from_the_end_on_however_late_the_answer_was_read(
    monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    left: list[float] = []

    async def look_for(sight: Any, spots: Any, looked: Any) -> tuple[str, int]:
        left.append(sight.ends - loop().time())
        return rfc3339(loop().now()), 0

    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        monkeypatch.setattr(ControlClient, name, answered_late)
        await director.begin_with("paid")
        await asyncio.sleep(5.0)
        await director.end_with("paid")

    async def answered_late(self: ControlClient, *args: Any, **more: Any) -> Any:
        report = await real(self, *args, **more)
        await asyncio.sleep(1.0)
        return report

    name = {"sources": "put_sources", "order": "put"}[late]
    real = getattr(ControlClient, name)
    looking_at(monkeypatch, look_for)
    clock = SimpleNamespace(monotonic=lambda: loop().time())
    monkeypatch.setattr(gateway_faults, "time", clock)
    in_traffic(a_latency(), course=course)
    # Of a fault of three seconds, whose order was taken before or after the second of waiting.
    assert left == [pytest.approx(1.95 if late == "order" else 2.95, abs=0.02)]


def test_a_fault_that_nobody_saw_and_nothing_met_has_no_effect() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        await asyncio.sleep(10.0)
        await director.end_with("paid")

    states, _, _ = in_traffic(a_latency(), course=course)
    assert states["f"]["state"] == "NoEffect"
    assert "no probe of the conductor has seen latency" in states["f"]["message"]


def test_a_fault_that_a_test_stops_at_once_is_there_until_its_effect_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def see_after_half_a_second(self: Traffic, hands: Hands, intent: Intent) -> str:
        await asyncio.sleep(0.5)
        return hands.at()

    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        await director.start("f", test="paid")
        gateway.carrier.hit("f", 1)
        began = loop().time()
        await director.stop("f")
        assert 0.4 < loop().time() - began < 1.0
        await director.end_with("paid")

    monkeypatch.setattr(Traffic, "see_effect", see_after_half_a_second)
    states, _, _ = in_traffic(a_latency(when={"manual": {}}), course=course)
    assert states["f"]["state"] == "Recovered"
    assert states["f"]["effective"] <= states["f"]["reverted"]
    assert states["f"]["revertedBy"] == "test"


def test_an_effect_that_nobody_sees_does_not_keep_a_fault_for_long() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        await director.start("f", test="paid")
        began = loop().time()
        await director.stop("f")
        assert loop().time() - began < 3.0
        await director.end_with("paid")

    in_traffic(a_latency(lasts="1m", when={"manual": {}}), course=course)


def test_a_repeated_fault_adds_up_what_met_it() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        gateway.carrier.traffic = 2
        await director.prepare()
        await director.begin_with("paid")
        await asyncio.sleep(40.0)
        await director.end_with("paid")
        assert gateway.carrier.begun == ["f"] * 3

    when = {"test": "paid", "every": "10s", "times": 3}
    states, _, _ = in_traffic(a_latency(lasts="1s", when=when), course=course)
    assert (states["f"]["state"], states["f"]["times"]) == ("Recovered", 3)
    assert states["f"]["hits"] == 6
