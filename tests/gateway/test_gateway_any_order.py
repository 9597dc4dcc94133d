"""
Whatever is ordered, at once, on live traffic, while processes die or are stuck: nothing stays.

Each play is drawn by its seed. No report takes back what was told; after all faults have ended no
byte is touched, no place is held, and no process has a descriptor more than before.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.gateway_process import Gateway, Json, Server, echo, eventually, receive

SERVICES = ("shop", "stock")
ADDRESSES = ("127.0.0.1", "127.0.0.7", "127.0.0.8")
WAYS = ("both", "request", "response")
KINDS: dict[str, Callable[[random.Random], Json]] = {
    "latency": lambda draw: {"delay": draw.choice(("1ms", "30ms", "5s")), **_way(draw)},
    "blackhole": lambda draw: _way(draw),
    "refuse": lambda draw: {},
    "reset": lambda draw: {"after": draw.choice(("0s", "20ms", "300ms"))},
    "bandwidth": lambda draw: {"rate": draw.choice(("100", "10k", "10M")), **_way(draw)},
    "slowClose": lambda draw: {"delay": draw.choice(("10ms", "5s"))},
    "connectionLimit": lambda draw: {"connections": draw.choice((0, 1, 3))},
    "corrupt": lambda draw: {"share": draw.choice(("1%", "100%")), **_way(draw)},
    "partition": lambda draw: {},
}
VICTIMS = ("controller", "worker-0", "worker-1")


def _way(draw: random.Random) -> Json:
    return {"direction": draw.choice(WAYS)}


def an_order(draw: random.Random) -> Json:
    kind = draw.choice(list(KINDS))
    for_s = draw.choice((0.01, 0.05, 0.3, 60.0))
    order = {"kind": kind, "params": KINDS[kind](draw), "forS": for_s, "seed": draw.randrange(9)}
    if draw.random() < 0.7:
        sources = draw.choice((None, ["web"], ["jobs", "web"]))
        order["paths"] = [{"service": draw.choice(SERVICES), "port": None, "sources": sources}]
    if draw.random() < 0.3:
        order["connections"] = draw.choice((0.0, 0.5, 1.0))
    return order


def a_request(draw: random.Random) -> tuple[str, str, Any]:
    fault = f"/v1/faults/{draw.choice('abcd')}"
    sources = {name: [draw.choice(ADDRESSES)] for name in ("web", "jobs", "conductor")}
    requests = {
        ("PUT", fault): 6,
        ("DELETE", fault): 3,
        ("DELETE", "/v1/faults"): 1,
        ("PUT", "/v1/sources"): 1,
    }
    method, path = draw.choices(list(requests), list(requests.values()))[0]
    body = {"sources": sources} if path == "/v1/sources" else an_order(draw)
    return method, path, body if method == "PUT" else None


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Gateway, dict[str, int]]]:
    """A gateway with two services, and how many descriptors each process has at rest."""
    servers = {service: Server(echo) for service in SERVICES}
    with Gateway({name: server.port for name, server in servers.items()}) as gateway:
        yield gateway, files(gateway)
    for server in servers.values():
        server.close()


def files(gateway: Gateway) -> dict[str, int]:
    found = {}
    for name, pid in gateway.children.items():
        with contextlib.suppress(OSError):
            found[name] = len(os.listdir(f"/proc/{pid}/fd"))
    return found


@pytest.mark.parametrize("seed", range(3, 6))
def test_nothing_stays_of_whatever_was_ordered(two: Any, seed: int) -> None:
    gateway, at_rest = two
    draw = random.Random(seed)
    told: dict[tuple[str, str, str], Json] = {}
    with traffic(gateway, random.Random(seed)) as clients:
        for _ in range(12):
            a_round(gateway, draw)
            compare(gateway, told)
    gateway.set_sources(web=[ADDRESSES[1]])  # all workers are told: one that is stuck is replaced
    gateway.wait_until_ready()
    assert gateway.client.delete("/v1/faults").status_code == 200
    assert {report["state"] for report in compare(gateway, told)} <= {"ended"}
    for client in clients:
        with client, contextlib.suppress(ConnectionError):  # a fault or a death has broken it
            must_come_back(client)
    for service in SERVICES:
        for address in ADDRESSES:
            with gateway.connect(service, address=address) as sock:
                must_come_back(sock)
    one_place_is_free(gateway)
    eventually(lambda: files(gateway) == at_rest)


def a_round(gateway: Gateway, draw: random.Random) -> None:
    """Order several things at once, while nobody, one or two are killed or get stuck."""
    victims = draw.sample(VICTIMS, draw.choice((0, 1, 1, 2)))
    requests = [a_request(draw) for _ in range(draw.choice((1, 3, 6)))]
    problems: list[str] = []

    def order(method: str, path: str, body: Any) -> None:
        try:
            answer = httpx.request(
                method,
                f"{gateway.client.base_url}{path}",
                json=body,
                headers=gateway.client.headers,
                trust_env=False,
                timeout=30,
            )
            if answer.status_code not in (200, 404):  # never ordered
                problems.append(f"{method} {path} {body}: {answer.text}")
        except httpx.TransportError:
            if "controller" not in victims:
                raise

    threads = [threading.Thread(target=order, args=each) for each in requests]
    for thread in threads[1:]:
        thread.start()
    there = gateway.children
    for victim in victims:
        stuck = victim != "controller" and draw.random() < 0.3
        if victim in there:
            os.kill(there[victim], signal.SIGSTOP if stuck else signal.SIGKILL)
    threads[0].start()
    for thread in threads:
        thread.join()
    gateway.wait_until_ready()
    assert problems == []


def compare(gateway: Gateway, told: dict[tuple[str, str, str], Json]) -> list[Json]:
    """Look at all reports: none takes back what was told before."""
    everything = gateway.client.get("/v1/faults").json()
    for now in everything["faults"]:
        which = (now["boot"], now["name"], now["applied"])
        before = told.get(which, now)
        assert now == before or before["state"] == "active"
        assert now["hits"] >= before["hits"]
        assert before["firstHit"] in (None, now["firstHit"])
        assert all(now["counts"][what] >= count for what, count in before["counts"].items())
        assert (now["hits"] > 0) == (now["firstHit"] is not None)
        told[which] = now
    return list(everything["faults"])


@contextlib.contextmanager
def traffic(gateway: Gateway, draw: random.Random) -> Iterator[list[socket.socket]]:
    """Have clients come, say something, and go; give those that are left in the end."""
    clients: list[socket.socket] = []
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(0.002):
            with contextlib.suppress(OSError):
                service, address = draw.choice(SERVICES), draw.choice(ADDRESSES)
                clients.append(gateway.connect(service, address=address, timeout=0.3))
                clients[-1].setblocking(False)
            for client in draw.sample(clients, min(5, len(clients))):
                with contextlib.suppress(OSError):
                    client.send(b"." * draw.choice((1, 2000)))
                    client.recv(65536)
            if len(clients) > 30:
                clients.pop(0).close()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield clients
    finally:
        stop.set()
        thread.join()


def must_come_back(sock: socket.socket) -> None:
    """What is said now comes back as it is, behind what may have been held."""
    mark, came = os.urandom(16), b""
    sock.settimeout(30)
    sock.sendall(mark)
    while mark not in came:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("it has ended")
        came = came[-len(mark) :] + data


def one_place_is_free(gateway: Gateway) -> None:
    """Nobody who is gone holds a place."""
    gateway.put("one", "connectionLimit", params={"connections": 1})
    with gateway.connect() as first:
        must_come_back(first)
        with gateway.connect() as second:
            second.sendall(b"x")
            second.settimeout(0.05)
            with pytest.raises(TimeoutError):
                second.recv(1)
            first.close()
            second.settimeout(30)
            assert receive(second, 1) == b"x"
    gateway.delete("one")
