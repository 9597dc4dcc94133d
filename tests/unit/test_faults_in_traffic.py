"""Faults that the gateway carries out: whose traffic, what it is told, and what its words prove."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from seatrial.api.errors import NotInjectedError
from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.faults import Director, places
from seatrial_runner.conductor.faults import gateway as gateway_faults
from seatrial_runner.conductor.faults.account import Account
from seatrial_runner.conductor.faults.control_client import ControlClient
from seatrial_runner.conductor.faults.gateway import Traffic, paths_of, spots_of
from seatrial_runner.conductor.faults.kinds import Aim, Evidence, Hands, Intent
from seatrial_runner.conductor.faults.looking import Spot
from seatrial_runner.conductor.faults.places import GatewayPlace
from seatrial_runner.conductor.seen import Seen

from tests.support.conducted import a_fault_doc, a_run_doc, a_service_doc, a_stage
from tests.support.ordered_faults import OrderedPlace, a_gateway
from tests.support.played_faults import played
from tests.support.run_namespace import LOOPBACK, RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

Course = Callable[[Director, RunNamespace, OrderedPlace], Awaitable[None]]
DIRECT = {"orders": "seatrial-direct-orders"}


def a_latency(name: str = "f", lasts: str = "3s", **more: Any) -> dict[str, Any]:
    kind = {"latency": {"delay": "1s"}} if not {"partition", "http"} & more.keys() else {}
    return a_fault_doc(name, **{**kind, "for": lasts, "when": {"test": "paid"}, **more})


def in_traffic(
    *faults: dict[str, Any], course: Course, **more: Any
) -> tuple[dict[str, Any], RunNamespace, OrderedPlace]:
    """Play a course with a gateway before service orders."""
    gateways: list[OrderedPlace] = []

    async def equip(namespace: RunNamespace) -> dict[str, int]:
        gateways.append(await a_gateway(namespace))
        return {}

    async def whole(director: Director, namespace: RunNamespace) -> None:
        try:
            await course(director, namespace, gateways[0])
        finally:
            await gateways[0].kill()

    states, namespace = played(
        *faults, course=whole, equip=equip, gateway=True, direct=DIRECT, **more
    )
    return states, namespace, gateways[0]


async def one_test(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
    assert await director.prepare() is None
    await director.begin_with("paid")
    director.met(loop().now(), "orders")  # what met it, the gateway knows better
    await asyncio.sleep(1.0)
    if gateway.carrier.on:
        gateway.carrier.hit("f", 3)
    await asyncio.sleep(10.0)
    await director.end_with("paid")
    await director.settle()


# What is ordered ---------------------------------------------------------------------------------


def test_a_fault_is_ordered_with_its_paths_and_ends_at_its_own_deadline() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        assert gateway.carrier.on["f"] == {
            "kind": "latency",
            "params": {"delay": "1s"},
            "forS": 3.0,
            "seed": 7,
            "paths": [{"service": "orders", "port": "http", "sources": ["web"]}],
            "connections": 0.25,
        }
        gateway.carrier.hit("f", 3)
        await asyncio.sleep(2.9)
        assert gateway.carrier.on
        await asyncio.sleep(0.2)
        assert not gateway.carrier.on
        await director.end_with("paid")

    target = {"service": "orders", "port": "http", "from": ["web"], "connections": "25%"}
    states, _, _ = in_traffic(a_latency(target=target, seed=7), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")
    assert states["f"]["hits"] == 3
    assert [each["kind"] for each in states["f"]["targets"]] == ["Pod", "Pod"]


def test_what_tests_have_sent_does_not_count_where_the_gateway_counts() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await director.end_with("paid")

    states, _, _ = in_traffic(a_latency(), course=course)
    assert states["f"]["hits"] == 0


def test_probes_stand_for_each_source_and_look_at_each_port() -> None:
    def seen(port: str | None, sources: list[str] | None) -> set[tuple[int, str]]:
        orders = a_service_doc()
        orders["direct"] = DIRECT
        orders["ports"] = [{"name": "http", "port": 8080}, {"name": "admin", "port": 8081}]
        hands: Any = SimpleNamespace(services=[orders, a_service_doc("web", ports=True)])
        path = {"service": "orders", "port": port, "sources": sources}
        spots = spots_of(hands, {"orders": {"gateway": {"paths": [path]}}})
        assert {spot.host for spot in spots} == {"orders"}
        return {(spot.port, spot.source) for spot in spots}

    assert seen(None, None) == {(8080, "tests"), (8081, "tests")}
    assert seen("http", ["web", "cart"]) == {(8080, "web"), (8080, "cart")}
    assert seen(None, ["web", "cart"]) == {(8080, "web"), (8081, "cart")}
    assert seen(None, ["web"]) == {(8080, "web"), (8081, "web")}
    three = seen(None, ["web", "cart", "mail"])
    assert three == {(8080, "web"), (8081, "cart"), (8080, "mail")}


def paths(way: str, sources: list[str], port: str | None = None) -> list[tuple[str, Any, Any]]:
    services = [a_service_doc(), a_service_doc("web"), a_service_doc("worker")]
    for service in services[:2]:
        service["direct"] = {service["name"]: f"seatrial-direct-{service['name']}"}
    services[2]["hosts"] = []
    target = {"service": "orders", "from": sources, **({"port": port} if port else {})}
    fault = a_latency(partition={"direction": way}, target=target)
    aim = Aim(fault, services[0], Seen(), 1, "now", services)
    return [(each["service"], each["port"], each["sources"]) for each in paths_of(aim)]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("toTarget", [("orders", None, ["web", "worker"])]),
        ("fromTarget", [("web", None, ["orders"])]),
        ("both", [("orders", None, ["web", "worker"]), ("web", None, ["orders"])]),
    ],
)
def test_a_partition_parts_both_sides(way: str, expected: list[Any]) -> None:
    assert paths(way, ["web", "worker"]) == expected


def test_a_partition_of_nothing_is_told() -> None:
    with pytest.raises(NotInjectedError, match="carries no Service of orders"):
        paths("fromTarget", ["worker"])


# Who is who --------------------------------------------------------------------------------------


def test_the_gateway_knows_who_is_who_before_the_first_order_and_whenever_that_changes() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        namespace.our_pod("conductor", ip=f"{LOOPBACK}.252")
        await asyncio.sleep(0.1)
        await director.prepare()
        [told, *_] = gateway.sources[-1:]
        assert told["conductor"] == [f"{LOOPBACK}.252"]
        assert told["tests"] == [f"{LOOPBACK}.252"]
        assert len(told["orders"]) == 2
        assert len(told["web"]) == 1
        count = len(gateway.sources)
        await asyncio.sleep(30.0)
        assert len(gateway.sources) == count  # nothing has changed
        namespace._begin_to_go(
            next(
                pod["metadata"]["name"]
                for pod in namespace.all("pods")
                if pod["metadata"]["name"].startswith("web-")
            )
        )
        await asyncio.sleep(3.0)
        assert gateway.sources[-1]["web"] != told["web"]
        assert len(gateway.sources[-1]["web"]) == 1

    in_traffic(a_latency(), course=course)


def test_a_gateway_that_was_restarted_is_told_again_before_an_order() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await gateway.kill()
        await gateway.start()
        gateway.sources.clear()
        await one_test(director, namespace, gateway)
        assert gateway.sources

    states, _, _ = in_traffic(a_latency(), course=course)
    assert states["f"]["state"] == "Recovered"


# Where probes come back --------------------------------------------------------------------------


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


SPOT = Spot("orders", 8080, "tests")


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


# What goes wrong ---------------------------------------------------------------------------------


def test_a_gateway_that_is_not_there_is_told_after_a_while() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await gateway.kill()
        began = loop().time()
        await director.begin_with("paid")
        assert loop().time() - began < 30
        await director.end_with("paid")

    states, _, _ = in_traffic(a_latency(), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "the gateway does not answer" in states["f"]["message"]


def test_a_gateway_that_never_serves_ends_the_run_before_the_gate() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await gateway.kill()
        failure = await director.prepare()
        assert failure is not None
        assert failure["reason"] == "EnvironmentFailed"
        assert "the gateway does not answer" in failure["message"]

    in_traffic(a_latency(), course=course)


def test_what_the_gateway_cannot_do_ends_the_run_before_the_gate() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        gateway.carrier.cannot = {"http": "Envoy is not beside this gateway"}
        failure = await director.prepare()
        assert failure is not None
        assert failure["reason"] == "UnsupportedFault"
        assert "http cannot be carried out by the gateway: Envoy is not" in failure["message"]

    in_traffic(a_latency(http={"delay": "1s"}), course=course)


def test_a_gateway_that_was_restarted_has_ended_the_fault() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        gateway.carrier.hit("f", 4)
        await asyncio.sleep(2.0)
        await gateway.kill()
        await gateway.start()
        await asyncio.sleep(3.0)
        assert (director.fault("f") or {})["reverted"] is not None
        await director.end_with("paid")

    states, namespace, _ = in_traffic(a_latency(lasts="1m"), course=course)
    assert states["f"]["state"] == "EndedEarly"
    assert states["f"]["hits"] == 4  # what was told before stays
    assert "the gateway was restarted" in namespace.summary()["lostEvidence"][0]


def test_an_end_that_is_heard_of_late_was_when_the_gateway_says() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        gateway.carrier.hit("f", 4)
        await asyncio.sleep(2.5)
        await gateway.stop()
        await asyncio.sleep(2.0)  # its deadline is in here
        await gateway.back()
        await asyncio.sleep(3.0)
        await director.end_with("paid")

    states, _, _ = in_traffic(a_latency(lasts="3s"), course=course)
    lasted = parse(states["f"]["reverted"]) - parse(states["f"]["applied"])
    assert timedelta(seconds=2.9) < lasted < timedelta(seconds=3.1)


@pytest.mark.parametrize("ends", ["at its deadline", "with its test"])
def test_connections_that_broke_with_a_process_of_the_gateway_are_missing_evidence(
    ends: str,
) -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.begin_with("paid")
        gateway.carrier.hit("f", 4)
        await asyncio.sleep(1.0)
        met = gateway.carrier.met["f"]
        gateway.carrier.met["f"] = replace(met, counts={"lostConnections": 2})
        await asyncio.sleep(4.0 if ends == "at its deadline" else 0.1)
        await director.end_with("paid")

    states, namespace, _ = in_traffic(a_latency(), course=course)
    assert states["f"]["state"] == "Recovered"  # no proof is missing for it
    assert namespace.summary()["lostEvidence"] == [
        "While fault f was on, 2 connections broke because a process of the gateway ended; what"
        " they would have shown is not known."
    ]


@pytest.mark.parametrize("hits", [0, 1])
def test_a_fault_of_http_that_only_tls_has_passed_says_why_and_what_to_do(hits: int) -> None:
    async def told() -> str:
        fault = a_latency(http={"abort": {"status": 503}})
        stage = await a_stage(RunNamespace(), a_run_doc(faults=[fault]))
        account = Account(stage, fault, [], Traffic(), test="paid", number=1, flaw=None)
        account.asked()
        account.applied(Intent([]))
        account.take(Evidence(hits, counts={"unreadConnections": 2}))
        account.reverted("deadline")
        account.recovered(None)
        return account.state["message"]

    message = in_virtual_time(told())

    if hits:
        assert message == ""
        return
    assert message.startswith(
        "2 connections passed it meanwhile in which no HTTP can be read, because of TLS or another"
        " protocol. Ask the service without TLS in this run"
    )


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
