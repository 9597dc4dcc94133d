"""Whom a fault hits: by source, service, share of connections; and the conductor's probes."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator

import pytest
from seatrial.api.control import PROBE_HTTP_LINE, PROBE_LINE
from seatrial.api.names import CHECK_PORTS, PROBE_PORTS

from localcluster.ports import free_port
from tests.support.gateway_process import (
    TOKEN,
    Gateway,
    Server,
    carried,
    echo,
    quickest,
    receive,
)

ORDERS, TESTS, CONDUCTOR = "127.0.0.7", "127.0.0.8", "127.0.0.9"
SLOW = {"delay": "150ms", "direction": "request"}
_ports_of_probes = itertools.cycle(PROBE_PORTS)


@pytest.fixture
def known(gateway: Gateway) -> Gateway:
    gateway.set_sources(orders=[ORDERS], tests=[TESTS, CONDUCTOR], conductor=[CONDUCTOR])
    return gateway


def took(sock: socket.socket) -> float:
    """Measure an exchange."""
    began = time.monotonic()
    sock.sendall(b"x")
    receive(sock, 1)
    return time.monotonic() - began


def is_slow(sock: socket.socket) -> bool:
    """Tell whether each of some exchanges is; a busy machine makes one of them so."""
    return all(took(sock) >= 0.15 for _ in range(6))


def a_path(*sources: str, service: str = "shop") -> dict[str, object]:
    return {"service": service, "port": None, "sources": list(sources) or None}


def test_only_connections_of_the_source_are_hit(known: Gateway) -> None:
    with known.connect(address=ORDERS) as orders, known.connect(address=TESTS) as tests:
        known.put("slow", "latency", params=SLOW, paths=[a_path("orders")])
        assert is_slow(orders)
        assert not is_slow(tests)
        with known.connect(address=ORDERS) as new:
            assert is_slow(new)
        assert known.delete("slow")["hits"] == 2


def test_who_turns_out_to_be_the_source_is_hit_from_then_on(known: Gateway) -> None:
    stranger = "127.0.0.77"
    known.put("slow", "latency", params=SLOW, paths=[a_path("orders")])
    with known.connect(address=stranger) as sock:
        assert not is_slow(sock)
        known.set_sources(orders=[ORDERS, stranger])
        assert is_slow(sock)
        known.set_sources(orders=[ORDERS])
        assert not is_slow(sock)


def test_refusal_of_a_source_is_a_reset_and_others_connect(known: Gateway) -> None:
    known.put("closed", "refuse", paths=[a_path("orders")])
    with pytest.raises(ConnectionResetError), known.connect(address=ORDERS) as sock:
        sock.recv(1)
    with known.connect(address=TESTS) as sock:
        assert not is_slow(sock)
    report = known.delete("closed")

    assert (report["hits"], report["counts"]) == (1, {"refusedConnections": 1})


def test_only_the_service_is_hit() -> None:
    shop, bank = Server(echo), Server(echo)
    with Gateway({"shop": shop.port, "bank": bank.port}) as gateway:
        gateway.put("slow", "latency", params=SLOW, paths=[a_path(service="bank")])
        with gateway.connect("shop") as to_shop, gateway.connect("bank") as to_bank:
            assert not is_slow(to_shop)
            assert is_slow(to_bank)
    shop.close()
    bank.close()


def test_a_share_of_connections_is_chosen_by_seed(gateway: Gateway) -> None:
    def chosen(seed: int) -> list[bool]:
        gateway.put("slow", "latency", 120, seed=seed, params=SLOW, connections=0.5)
        found: list[bool] = []
        for _ in range(24):
            with gateway.connect() as sock:
                took(sock)
                found.append(gateway.report("slow")["hits"] > sum(found))
                fast = quickest(lambda: took(sock), 2 if found[-1] else 20)
                assert (fast >= 0.15) == found[-1], "a connection is hit, or it is not"
        assert gateway.delete("slow")["hits"] == sum(found)
        return found

    first = chosen(3)
    assert 5 <= sum(first) <= 19
    assert chosen(3) == first
    assert chosen(4) != first


def test_a_share_of_nothing_hits_nothing(gateway: Gateway) -> None:
    with gateway.connect() as sock:
        gateway.put("none", "reset", connections=0.0)
        assert not is_slow(sock)
        assert gateway.delete("none")["hits"] == 0


# Probes ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_probe(
    gateway: Gateway,
    source: str,
    *,
    token: str = TOKEN,
    address: str = CONDUCTOR,
    line: str = PROBE_LINE,
) -> Iterator[socket.socket]:
    for port in itertools.islice(_ports_of_probes, 50):
        with contextlib.suppress(OSError):
            sock = socket.create_connection(
                ("127.0.0.1", gateway.ports["shop"]), 30, source_address=(address, port)
            )
            break
    else:
        raise AssertionError("no port of probes is free, or the gateway does not listen")
    with sock:
        # So that the next test may have the port at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(line.format(token=token, source=source).encode())
        yield sock


def test_a_probe_meets_the_faults_of_its_source_and_no_service() -> None:
    reached = []

    def count(sock: socket.socket) -> None:
        reached.append(sock)
        echo(sock)

    with carried(count) as gateway:
        gateway.set_sources(orders=[ORDERS], conductor=[CONDUCTOR])
        gateway.put("slow", "latency", params=SLOW, paths=[a_path("orders")], connections=0.01)
        with a_probe(gateway, "orders") as sock:
            assert is_slow(sock)
        with a_probe(gateway, "tests") as sock:
            assert not is_slow(sock)
        assert gateway.delete("slow")["hits"] == 0

    assert reached == []


def test_a_probe_sees_a_fault_come_and_go(known: Gateway) -> None:
    with a_probe(known, "tests") as sock:
        assert not is_slow(sock)
        known.put("slow", "latency", params=SLOW)
        assert is_slow(sock)
        known.delete("slow")
        assert not is_slow(sock)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("blackhole", {}), ("partition", {}), ("connectionLimit", {"connections": 0}),
    ],
)  # fmt: skip
def test_a_probe_that_is_held_hears_nothing_until_the_end(known, kind, params) -> None:
    known.put("held", kind, params=params)
    with a_probe(known, "tests") as sock:
        sock.sendall(b"x")
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(30)
        report = known.delete("held")
        sock.sendall(b"y")
        assert sock.recv(1) in b"xy"

    assert report["hits"] == 0


@pytest.mark.parametrize(("kind", "params"), [("reset", {}), ("refuse", {})])
def test_a_probe_is_reset(known: Gateway, kind: str, params: dict[str, str]) -> None:
    known.put("cut", kind, params=params, paths=[a_path("tests")])
    with pytest.raises(ConnectionResetError), a_probe(known, "tests") as sock:
        sock.recv(1)
    assert known.delete("cut")["hits"] == 0


def test_probes_take_the_places_of_probes_only(known: Gateway) -> None:
    known.put("few", "connectionLimit", params={"connections": 1})
    with known.connect() as real:
        assert not is_slow(real)
    with a_probe(known, "tests") as first:
        assert not is_slow(first)
        with a_probe(known, "tests") as second:
            second.sendall(b"x")
            second.settimeout(0.1)
            with pytest.raises(TimeoutError):
                second.recv(1)
            with known.connect() as real:
                assert not is_slow(real)


def test_a_wrong_token_is_no_probe(known: Gateway) -> None:
    with pytest.raises(ConnectionResetError), a_probe(known, "tests", token="guess") as sock:
        sock.recv(1)


def test_a_line_of_somebody_else_is_just_data(known: Gateway) -> None:
    with known.connect(address=ORDERS) as sock:
        line = PROBE_LINE.format(token=TOKEN, source="tests").encode()
        sock.sendall(line)
        assert receive(sock, len(line)) == line


def test_an_ordinary_connection_from_a_probes_port_is_carried(known: Gateway) -> None:
    with a_probe(known, "tests", line="") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert receive(sock, 16) == b"GET / HTTP/1.1\r\n"


# Checks of the conductor --------------------------------------------------------------------------


@contextlib.contextmanager
def a_check(gateway: Gateway, *, address: str = CONDUCTOR) -> Iterator[socket.socket]:
    """Connect as a check does; from another address, it is anybody's connection."""
    for port in CHECK_PORTS:
        with contextlib.suppress(OSError):
            sock = socket.create_connection(
                ("127.0.0.1", gateway.ports["shop"]), 30, source_address=(address, port)
            )
            break
    else:
        raise AssertionError("no port of checks is free, or the gateway does not listen")
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        yield sock


@pytest.mark.parametrize("paths", [None, [a_path("tests")]], ids=["everyone", "tests"])
def test_a_check_meets_a_fault_of_tests_and_is_not_counted(known: Gateway, paths: object) -> None:
    known.put("slow", "latency", params=SLOW, paths=paths or [a_path()])
    with a_check(known) as sock:
        assert is_slow(sock)
    assert known.report("slow")["hits"] == 0
    assert known.report("slow")["firstHit"] is None
    with a_check(known, address=TESTS) as sock:
        assert is_slow(sock)
    assert known.delete("slow")["hits"] == 1


def test_who_turns_out_to_be_the_conductor_is_not_counted_from_then_on(gateway: Gateway) -> None:
    with a_check(gateway) as sock:
        took(sock)  # as taps do, which outlive a gateway that has to be told again
        gateway.set_sources(tests=[TESTS, CONDUCTOR], conductor=[CONDUCTOR])
        gateway.put("slow", "latency", params=SLOW, paths=[a_path("tests")])
        assert is_slow(sock)
        assert gateway.report("slow")["hits"] == 0
        # The address is somebody else's by now.
        gateway.set_sources(tests=[TESTS, CONDUCTOR])
        assert is_slow(sock)
    assert gateway.delete("slow")["hits"] == 1


@pytest.mark.parametrize(("kind", "params"), [("reset", {}), ("refuse", {})])
def test_a_check_that_is_reset_is_not_counted(known: Gateway, kind: str, params: object) -> None:
    known.put("cut", kind, params=params, paths=[a_path("tests")])
    with pytest.raises(ConnectionResetError), a_check(known) as sock:
        sock.recv(1)
    assert known.delete("cut")["hits"] == 0


@pytest.mark.parametrize("behind", ["envoy", "service"])
def test_what_is_behind_sees_a_check_come_from_a_port_of_checks(behind: str) -> None:
    came: list[int] = []

    def note(sock: socket.socket) -> None:
        came.append(sock.getpeername()[1])
        echo(sock)

    server = Server(note)
    envoy = {"shop": {"port": server.port, "sources": {}}} if behind == "envoy" else {}
    with Gateway({"shop": server.port}, envoy=envoy) as gateway:
        gateway.set_sources(conductor=[CONDUCTOR])
        for _ in range(2):
            with a_check(gateway) as sock:
                took(sock)
        with gateway.connect() as sock:
            took(sock)

    assert [port in CHECK_PORTS for port in came] == [True, True, False]


def test_envoy_has_a_lane_for_each_class_of_sources() -> None:
    lanes = {
        name: Server(lambda sock, name=name: sock.sendall(name.encode()))
        for name in ("everyone", "orders")
    }
    service = Server(echo)
    envoy = {"shop": {"port": lanes["everyone"].port, "sources": {"orders": lanes["orders"].port}}}
    with Gateway({"shop": service.port}, envoy=envoy) as gateway:
        gateway.set_sources(orders=[ORDERS])
        with gateway.connect(address=ORDERS) as sock:
            assert receive(sock, 6) == b"orders"
        with gateway.connect(address=TESTS) as sock:
            assert receive(sock, 8) == b"everyone"


def test_a_probe_of_http_goes_to_the_lane_of_its_source_and_never_to_a_service() -> None:
    lane = Server(lambda sock: sock.sendall(b"orders:" + sock.recv(16)))
    service = Server(echo)
    envoy = {"shop": {"port": free_port(), "sources": {"orders": lane.port}}}
    with Gateway({"shop": service.port}, envoy=envoy) as gateway:
        gateway.set_sources(conductor=[CONDUCTOR])
        with a_probe(gateway, "orders", line=PROBE_HTTP_LINE) as sock:
            sock.sendall(b"GET")
            assert receive(sock, 10) == b"orders:GET"
    with carried() as gateway:
        gateway.set_sources(conductor=[CONDUCTOR])
        with (
            pytest.raises(ConnectionResetError),
            a_probe(gateway, "orders", line=PROBE_HTTP_LINE) as sock,
        ):
            sock.recv(1)
