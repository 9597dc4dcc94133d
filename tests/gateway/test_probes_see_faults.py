"""The conductor's probes see each kind of fault in the real gateway, and see nothing without it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest
from seatrial_runner.conductor.faults import sights
from seatrial_runner.conductor.faults.looking import Sight, Spot, look_around, look_for
from seatrial_runner.conductor.reach import tcp_problem

from localcluster.ports import free_port
from tests.support.gateway_process import TOKEN, Gateway, Server, echo, eventually

SEEN = [
    pytest.param("latency", {"delay": "300ms"}, id="latency"),
    pytest.param("latency", {"delay": "300ms", "jitter": "50ms"}, id="latency-with-jitter"),
    pytest.param("latency", {"delay": "300ms", "direction": "request"}, id="latency-one-way"),
    pytest.param("blackhole", {}, id="blackhole"),
    pytest.param("blackhole", {"direction": "response"}, id="blackhole-one-way"),
    pytest.param("refuse", {}, id="refuse"),
    pytest.param("reset", {}, id="reset"),
    pytest.param("reset", {"after": "100ms"}, id="reset-later"),
    pytest.param("bandwidth", {"rate": "64Ki"}, id="bandwidth"),
    pytest.param("bandwidth", {"rate": "256Ki", "direction": "response"}, id="bandwidth-one-way"),
    pytest.param("slowClose", {"delay": "300ms"}, id="slow-close"),
    pytest.param("connectionLimit", {"connections": 0}, id="no-connection"),
    pytest.param("connectionLimit", {"connections": 3}, id="few-connections"),
    pytest.param("corrupt", {}, id="corrupt"),
    pytest.param("corrupt", {"share": "0.1%", "direction": "request"}, id="corrupt-little"),
    pytest.param("partition", {}, id="partition"),
]


@pytest.fixture(autouse=True)
def _conductor_is_here(gateway: Gateway) -> None:
    gateway.set_sources(conductor=["127.0.0.1"])


def a_spot(gateway: Gateway, source: str = "tests") -> Spot:
    return Spot("127.0.0.1", gateway.ports["shop"], source)


def a_sight(kind: str, params: dict[str, Any], lasts_s: float = 30.0) -> Sight:
    return Sight("f", kind, params, lasts_s, TOKEN)


def is_seen(sight: Sight, spot: Spot) -> bool:
    """Tell whether each of some looks sees it; a busy machine has one see what is not there."""
    return all(sights.what_is_seen(sight, spot) for _ in range(5))


def a_path(*sources: str) -> dict[str, Any]:
    return {"service": "shop", "port": None, "sources": list(sources) or None}


@pytest.mark.parametrize(("kind", "params"), SEEN)
def test_a_fault_is_seen_while_it_is_there_and_only_then(
    gateway: Gateway, kind: str, params: dict[str, Any]
) -> None:
    sight, spot = a_sight(kind, params), a_spot(gateway)
    eventually(lambda: sights.comes_back(spot, TOKEN))
    assert not is_seen(sight, spot)
    gateway.put("f", kind, 120, params=params, paths=[a_path()])
    # It may be missed, where the answer takes longer than a look.
    looks = (sights.what_is_seen(sight, spot) for _ in range(5))
    seen = next(filter(None, looks), "")
    assert seen
    # Probes are no traffic; those that a closed port has refused are told, to be taken off.
    if seen == sights.REFUSED:
        # The kernel counts them, and some for the connections that others break.
        eventually(lambda: gateway.report("f")["hits"] >= 1 or not is_seen(sight, spot))
    hits = gateway.delete("f")["hits"]
    assert (hits >= 1) if seen == sights.REFUSED else (hits == 0)
    assert not is_seen(sight, spot)


@pytest.mark.parametrize("source", ["orders", "tests"])
def test_a_probe_stands_for_the_source_it_names(gateway: Gateway, source: str) -> None:
    gateway.put("f", "blackhole", paths=[a_path("orders")])
    assert is_seen(a_sight("blackhole", {}), a_spot(gateway, source)) is (source == "orders")


def test_a_fault_that_hits_few_connections_is_seen_at_once(gateway: Gateway) -> None:
    gateway.put("f", "latency", params={"delay": "50ms"}, paths=[a_path()], connections=0.01)
    sight, spot = a_sight("latency", {"delay": "50ms"}), a_spot(gateway)
    # It may be missed, where the answer takes longer than a look.
    assert any(sights.what_is_seen(sight, spot) for _ in range(5))


@pytest.mark.parametrize(
    ("kind", "ordered", "asked"),
    [
        ("latency", {"delay": "20ms"}, {"delay": "1s"}),
        ("bandwidth", {"rate": "4Mi"}, {"rate": "64Ki"}),
        ("slowClose", {"delay": "20ms"}, {"delay": "1s"}),
    ],
)
def test_less_than_was_asked_for_is_not_seen(
    gateway: Gateway, kind: str, ordered: dict[str, Any], asked: dict[str, Any]
) -> None:
    gateway.put("f", kind, params=ordered, paths=[a_path()])
    assert not is_seen(a_sight(kind, asked), a_spot(gateway))


def test_what_is_not_carried_does_not_come_back() -> None:
    server = Server(echo)
    try:
        assert not sights.comes_back(Spot("127.0.0.1", server.port, "tests"), TOKEN)
    finally:
        server.close()


def test_the_conductor_finds_its_spots_and_sees_a_fault_in_a_worker(gateway: Gateway) -> None:
    async def course() -> tuple[set[tuple[str, int]], tuple[str, int], list[int]]:
        spot = a_spot(gateway)
        nowhere = Spot("127.0.0.1", 1, "tests")
        async with asyncio.timeout(60):  # a busy machine is not around in time
            while not (found := await look_around([spot, nowhere], TOKEN)):
                pass
        looks: list[int] = []
        seeing = asyncio.create_task(
            look_for(a_sight("corrupt", {}), [spot], lambda: looks.append(1))
        )
        while not looks and not seeing.done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        gateway.put("f", "corrupt", paths=[a_path()])
        return found, await seeing, looks

    found, (moment, refused), looks = asyncio.run(course())
    assert found == {("127.0.0.1", gateway.ports["shop"])}
    assert moment.endswith("Z")
    assert refused == 0
    assert len(looks) >= 1


def looks_at_what_is_not_there(
    gateway: Gateway, *, ends_in_s: float, until: int, within_s: float
) -> int:
    """Count the looks that came to their end in time, until there are so many."""

    async def course() -> int:
        looks: list[int] = []
        ends = time.monotonic() + ends_in_s
        sight = Sight("f", "corrupt", {}, 30.0, TOKEN, ends)
        looking = asyncio.create_task(look_for(sight, [a_spot(gateway)], lambda: looks.append(1)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(looks) < until:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        return len(looks)

    return asyncio.run(course())


def test_a_look_that_ends_after_the_fault_says_nothing(gateway: Gateway) -> None:
    assert looks_at_what_is_not_there(gateway, ends_in_s=60.0, until=1, within_s=60) >= 1
    assert looks_at_what_is_not_there(gateway, ends_in_s=0.0, until=1, within_s=0.5) == 0


def test_several_ports_are_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    spots = [Spot("127.0.0.1", 1, f"source-{number}") for number in range(12)]
    all_look = threading.Barrier(len(spots), timeout=60)

    def seen_when_all_look(_: Sight, __: Spot) -> str:
        all_look.wait()
        return "late"

    monkeypatch.setattr(sights, "what_is_seen", seen_when_all_look)
    _, refused = asyncio.run(look_for(a_sight("latency", {}), spots, lambda: None))
    assert refused == 0


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("refuse", "connection refused: nothing listens on 127.0.0.1:{port}"),
        ("reset", "the connection to 127.0.0.1:{port} was reset at once"),
    ],
)
def test_a_tcp_probe_of_the_steady_state_sees_that_there_is_no_connection(
    gateway: Gateway, kind: str, problem: str
) -> None:
    port = gateway.ports["shop"]

    def seen() -> str:
        return tcp_problem("127.0.0.1", port, timeout_s=10.0)

    assert seen() == ""
    gateway.put("f", kind)
    eventually(lambda: seen() == problem.format(port=port))
    gateway.delete("f")
    eventually(lambda: seen() == "")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("latency", {"delay": "1m"}),
        ("blackhole", {}),
        ("partition", {}),
        ("connectionLimit", {"connections": 0}),
    ],
)
def test_a_tcp_probe_does_not_see_what_comes_after_the_gateway_has_accepted(
    gateway: Gateway, kind: str, params: dict[str, Any]
) -> None:
    gateway.put("f", kind, params=params)

    assert tcp_problem("127.0.0.1", gateway.ports["shop"], timeout_s=10.0) == ""


def test_a_tcp_probe_sees_that_nothing_is_behind_the_gateway() -> None:
    with Gateway({"shop": free_port()}) as gateway:
        port = gateway.ports["shop"]
        told = f"the connection to 127.0.0.1:{port} was reset at once"
        eventually(lambda: tcp_problem("127.0.0.1", port, timeout_s=10.0) == told)
