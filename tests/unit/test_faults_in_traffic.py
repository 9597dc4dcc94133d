"""Faults that the gateway carries out: whose traffic, what it is told, and what goes wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from seatrial.api.errors import NotInjectedError
from seatrial_runner.clock import parse
from seatrial_runner.conductor.faults import Director
from seatrial_runner.conductor.faults.account import Account
from seatrial_runner.conductor.faults.gateway import Traffic, paths_of, spots_of
from seatrial_runner.conductor.faults.kinds import Aim, Evidence, Intent
from seatrial_runner.conductor.seen import Seen

from tests.support.conducted import a_run_doc, a_service_doc, a_stage
from tests.support.ordered_faults import OrderedPlace
from tests.support.run_namespace import LOOPBACK, RunNamespace
from tests.support.traffic_played import DIRECT, a_latency, in_traffic, one_test
from tests.support.virtual_time import in_virtual_time, loop

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


def test_a_test_that_begins_when_the_gateway_has_ended_a_fault_was_not_there() -> None:
    async def course(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
        await director.prepare()
        await director.gate_opened()
        gateway.carrier.hit("f", 3)  # by a service itself
        await asyncio.sleep(3.5)
        assert (director.fault("f") or {})["state"] == "Reverted"
        await director.begin_with("paid")
        await asyncio.sleep(10.0)
        await director.end_with("paid")

    until = {"until": {"http": {"get": "http://127.0.0.1:9"}}, "within": "5s"}
    fault = {**a_latency(when={}), "recovery": until}
    states, _, _ = in_traffic(fault, course=course)
    assert (states["f"]["hits"], states["f"]["exposedTests"]) == (3, [])


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
