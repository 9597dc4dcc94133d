"""Each kind of fault, seen from outside: its effect on live and new connections, and its end."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.gateway_process import (
    Gateway,
    Server,
    echo,
    eventually,
    quickest,
    receive,
)


def ask(sock: socket.socket, data: bytes = b"ping") -> float:
    """Send, and give the time until the echo is complete."""
    began = time.monotonic()
    sock.sendall(data)
    receive(sock, len(data))
    return time.monotonic() - began


@contextlib.contextmanager
def silence(sock: socket.socket, seconds: float = 0.1) -> Iterator[None]:
    """Nothing comes."""
    yield
    before = sock.gettimeout()
    sock.settimeout(seconds)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(before)


def count_of(gateway: Gateway, name: str, what: str) -> int:
    """What a fault that is on has counted so far."""
    return int(gateway.report(name)["counts"].get(what, 0))


def is_reset(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b"never"
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("direction", "ways"), [("both", 2), ("request", 1), ("response", 1), (None, 2)]
)
def test_latency_delays_what_comes_from_now_on(gateway: Gateway, direction, ways) -> None:
    params = {"delay": "60ms"} | ({"direction": direction} if direction else {})
    with gateway.connect() as live:
        ask(live)
        gateway.put("slow", "latency", params=params)
        with gateway.connect() as new:
            for sock in (live, new):
                assert ask(sock) >= 0.06 * ways
        report = gateway.delete("slow")
        assert quickest(lambda: ask(live)) < 0.06

    assert report["hits"] == 2
    assert report["counts"] == {"delayedBytes": 8 * ways}
    moments = [report[each] for each in ("applied", "effective", "firstHit", "lastHit", "ended")]
    assert moments == sorted(moments)


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto"])
def test_jitter_spreads_the_delay_and_keeps_the_order(gateway: Gateway, distribution: str) -> None:
    params = {
        "delay": "20ms", "jitter": "15ms", "distribution": distribution, "direction": "request",
    }  # fmt: skip
    gateway.put("shaky", "latency", params=params)
    with gateway.connect() as sock:
        times = [ask(sock) for _ in range(30)]
        for number in range(200):
            sock.sendall(b"%06d" % number)
        received = b""
        while len(received) < 1200:
            received += sock.recv(4096)

    assert received == b"".join(b"%06d" % number for number in range(200))
    assert max(times) - min(times) > 0.01


def test_bytes_on_their_way_arrive_when_the_latency_ends(gateway: Gateway) -> None:
    gateway.put("slow", "latency", params={"delay": "5m"})
    with gateway.connect() as sock:
        with silence(sock):
            sock.sendall(b"one")
            sock.sendall(b"two")
        gateway.delete("slow")
        assert receive(sock, 6) == b"onetwo"


def test_two_latencies_add_up_and_one_may_end_before_the_other(gateway: Gateway) -> None:
    params = {"delay": "80ms", "direction": "request"}
    gateway.put("one", "latency", params=params)
    gateway.put("two", "latency", params=params | {"delay": "4m"})
    with gateway.connect() as sock:
        began = time.monotonic()
        sock.sendall(b"x")
        gateway.delete("two")
        assert sock.recv(1) == b"x"
        assert time.monotonic() - began >= 0.08


@pytest.mark.parametrize("direction", ["both", "request", "response"])
def test_a_blackhole_swallows_what_it_met_for_ever(gateway: Gateway, direction: str) -> None:
    with gateway.connect() as live:
        ask(live)
        gateway.put("hole", "blackhole", params={"direction": direction})
        with silence(live):
            live.sendall(b"lost")
        with gateway.connect() as new, silence(new):
            new.sendall(b"lost")
            eventually(lambda: count_of(gateway, "hole", "droppedBytes") >= 8)
        report = gateway.delete("hole")
        ask(live, b"after")

    assert report["hits"] == 2
    assert report["counts"]["droppedBytes"] >= 8


def test_the_end_of_a_connection_in_a_blackhole_is_seen_when_it_is_over(gateway: Gateway) -> None:
    gateway.put("hole", "blackhole", params={"direction": "request"})
    with gateway.connect() as sock:
        sock.sendall(b"lost")
        sock.shutdown(socket.SHUT_WR)
        with silence(sock):
            eventually(lambda: count_of(gateway, "hole", "droppedBytes") == 4)
        gateway.delete("hole")
        assert sock.recv(1) == b""  # the service has heard the end, and ended too


def test_refuse_is_a_true_refusal_and_leaves_open_connections_alone(gateway: Gateway) -> None:
    with gateway.connect() as live:
        ask(live)
        gateway.put("closed", "refuse", 120)

        def refused_five() -> bool:
            with pytest.raises(ConnectionRefusedError):
                gateway.connect()
            # The kernel counts them, and some for the connections that others break.
            return count_of(gateway, "closed", "refusedConnections") >= 5

        eventually(refused_five)
        ask(live)
        report = gateway.delete("closed")
        for _ in range(20):
            with gateway.connect() as sock:
                ask(sock)

    assert report["hits"] >= 5
    assert report["counts"]["refusedConnections"] >= 5
    assert report["applied"] <= report["firstHit"] <= report["lastHit"] <= report["ended"]


def test_two_refusals_end_with_the_later_one(gateway: Gateway) -> None:
    gateway.put("one", "refuse")
    gateway.put("two", "refuse")
    gateway.delete("one")
    with pytest.raises(ConnectionRefusedError):
        gateway.connect()
    gateway.delete("two")
    with gateway.connect() as sock:
        ask(sock)


def test_refusals_are_counted_while_other_connections_are_broken() -> None:
    server = Server(echo)
    over = threading.Event()

    def be_cut() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), gateway.connect("orders") as sock:
                sock.sendall(b"request")
                sock.recv(1)

    with (
        contextlib.closing(server),
        Gateway(dict.fromkeys(("shop", "orders"), server.port)) as (gateway),
    ):
        for name, kind, service in (("cut", "reset", "orders"), ("closed", "refuse", "shop")):
            path = {"service": service, "port": None, "sources": None}
            gateway.put(name, kind, 120, paths=[path])
        client = threading.Thread(target=be_cut, daemon=True)
        client.start()
        ends, rounds = time.monotonic() + 60, 0

        def has_few_hits() -> bool:
            return gateway.report("cut")["hits"] < 10 or gateway.report("closed")["hits"] < 5

        while rounds < 60 or (has_few_hits() and time.monotonic() < ends):
            with pytest.raises(ConnectionRefusedError):
                gateway.connect()
            rounds += 1
            time.sleep(0.017)
        over.set()
        client.join()
        cut, closed = gateway.delete("cut"), gateway.delete("closed")

    assert cut["hits"] >= 10
    assert closed["hits"] >= 5


def test_reset_breaks_open_and_new_connections(gateway: Gateway) -> None:
    with gateway.connect() as live:
        ask(live)
        gateway.put("cut", "reset")
        assert is_reset(live)
        with contextlib.suppress(ConnectionResetError), gateway.connect() as new:
            assert is_reset(new)
    report = gateway.delete("cut")
    with gateway.connect() as sock:
        ask(sock)

    assert (report["hits"], report["counts"]) == (2, {"resetConnections": 2})


def test_reset_after_a_time_counts_the_life_of_the_connection(gateway: Gateway) -> None:
    # Longer than a busy machine takes for one exchange.
    gateway.put("cut", "reset", params={"after": "2s"})
    began = time.monotonic()
    with gateway.connect() as sock:
        ask(sock)
        assert is_reset(sock)
        assert time.monotonic() - began >= 2.0


@pytest.mark.parametrize("direction", ["request", "response"])
def test_bandwidth_limits_the_rate(gateway: Gateway, direction: str) -> None:
    params = {"rate": "100k", "direction": direction}
    with gateway.connect() as live, gateway.connect() as another:
        gateway.put("thin", "bandwidth", params=params)
        assert ask(live, b"x" * 30_000) > 0.25
        report = gateway.delete("thin")
        ask(another, b"x" * 30_000)

    assert report["counts"] == {"pacedBytes": 30_000}
    assert report["hits"] == 1


def test_what_waits_for_bandwidth_comes_at_once_when_it_ends(gateway: Gateway) -> None:
    began = time.monotonic()
    gateway.put("thin", "bandwidth", 1.0, params={"rate": "10", "direction": "request"})
    with gateway.connect() as sock:
        ask(sock, b"x" * 3000)  # at that rate 300 s
        assert time.monotonic() - began >= 1.0


def test_slow_close_delays_the_end_and_nothing_else(gateway: Gateway) -> None:
    gateway.put("late", "slowClose", params={"delay": "100ms"})
    with gateway.connect() as sock:
        ask(sock)
        began = time.monotonic()
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        # There to the service, and back from it.
        assert time.monotonic() - began >= 0.2
    report = gateway.delete("late")

    assert (report["hits"], report["counts"]) == (1, {"delayedCloses": 2})


def test_a_connection_limit_lets_others_wait_their_turn(gateway: Gateway) -> None:
    with gateway.connect() as first:
        ask(first)
        gateway.put("few", "connectionLimit", params={"connections": 2})
        with contextlib.ExitStack() as opened:
            ask(opened.enter_context(gateway.connect()))
            third, fourth = (opened.enter_context(gateway.connect()) for _ in range(2))
            for sock in (third, fourth):
                sock.sendall(b"x")
            with silence(third):
                eventually(lambda: count_of(gateway, "few", "waitingConnections") == 2)
            first.close()
            eventually(lambda: has_answer(third) or has_answer(fourth))
            assert not (has_answer(third) and has_answer(fourth))
            report = gateway.delete("few")
            eventually(lambda: has_answer(third) and has_answer(fourth))

    assert (report["hits"], report["counts"]) == (2, {"waitingConnections": 2})


def test_who_leaves_while_waiting_does_not_reach_the_service(gateway: Gateway) -> None:
    gateway.put("none", "connectionLimit", params={"connections": 0})
    gone = [gateway.connect() for _ in range(5)]
    for sock in gone:
        sock.close()
    time.sleep(0.05)
    gateway.delete("none")
    with gateway.connect() as sock:
        ask(sock)


def has_answer(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


@pytest.mark.parametrize("direction", ["request", "response"])
def test_corruption_changes_a_share_of_the_bytes(gateway: Gateway, direction: str) -> None:
    params = {"share": "10%", "direction": direction}
    gateway.put("bad", "corrupt", params=params)
    sent = bytes(range(256)) * 40
    with gateway.connect() as sock:
        sock.sendall(sent)
        received = receive(sock, len(sent))
    report = gateway.delete("bad")

    changed = sum(a != b for a, b in zip(sent, received, strict=True))
    assert 0.07 < changed / len(sent) < 0.13
    assert report["counts"] == {"corruptedBytes": changed}


def test_the_same_seed_corrupts_the_same_bytes(gateway: Gateway) -> None:
    sent = b"\0" * 5000

    def received(seed: int) -> list[bytes]:
        gateway.put("bad", "corrupt", seed=seed, params={"share": "5%", "direction": "request"})
        found = []
        for _ in range(3):
            with gateway.connect() as sock:
                sock.sendall(sent)
                found.append(receive(sock, len(sent)))
        gateway.delete("bad")
        return found

    first = received(7)
    assert received(7) == first
    assert received(8) != first
    assert first[0] != first[1]


def test_a_partition_holds_everything_and_lets_it_through_at_its_end(gateway: Gateway) -> None:
    with gateway.connect() as live:
        ask(live)
        gateway.put("apart", "partition")
        with silence(live):
            live.sendall(b"held")
        with gateway.connect() as new:
            with silence(new):
                new.sendall(b"also")
                eventually(lambda: count_of(gateway, "apart", "heldConnections") == 2)
            report = gateway.delete("apart")
            assert receive(new, 4) == b"also"
        assert receive(live, 4) == b"held"

    assert (report["hits"], report["counts"]) == (2, {"heldConnections": 2})


def test_faults_on_one_connection_do_their_part_each(gateway: Gateway) -> None:
    gateway.put("slow", "latency", params={"delay": "100ms", "direction": "request"})
    gateway.put("thin", "bandwidth", params={"rate": "100k", "direction": "response"})
    gateway.put("bad", "corrupt", params={"share": "100%", "direction": "response"})
    gateway.put("late", "slowClose", params={"delay": "100ms"})
    sent = b"\0" * 20_000
    with gateway.connect() as sock:
        began = time.monotonic()
        sock.sendall(sent)
        received = receive(sock, len(sent))
        assert time.monotonic() - began > 0.25
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        assert time.monotonic() - began > 0.5

    assert b"\0" not in received
    assert all(gateway.delete(name)["hits"] == 1 for name in ("slow", "thin", "bad", "late"))


@pytest.mark.parametrize(
    ("kind", "params", "problem"),
    [
        ("latency", {}, "params.delay: is missing"),
        ("latency", {"delay": "soon"}, "params.delay: 'soon' is not a duration"),
        ("latency", {"delay": "1s", "direction": "up"}, "params.direction: must be one of both"),
        ("latency", {"delay": "1s", "distribution": "x"}, "params.distribution: must be one of"),
        ("bandwidth", {"rate": "0"}, "params.rate: must be more than 0"),
        ("bandwidth", {"rate": "fast"}, "params.rate: 'fast' is not an amount"),
        ("corrupt", {"share": "200%"}, "params.share: '200%' is not a share"),
        ("connectionLimit", {"connections": -1}, "params.connections: must be a whole number"),
    ],
)
def test_an_order_without_sense_is_refused_in_words(gateway, kind, params, problem) -> None:
    order = {"kind": kind, "params": params, "forS": 1, "seed": 1}

    answer = gateway.client.put("/v1/faults/wrong", json=order)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(problem)


def test_what_the_gateway_cannot_do_is_no_order(gateway: Gateway) -> None:
    order = {"kind": "latency", "params": {"delay": "1s"}, "forS": 1, "seed": 1}

    def error(**change: object) -> tuple[int, str]:
        answer = gateway.client.put("/v1/faults/wrong", json=order | change)
        return answer.status_code, answer.json()["error"]

    elsewhere = [{"service": "elsewhere", "port": None, "sources": None}]
    assert error(paths=elsewhere) == (
        400, "paths[0].service: this gateway does not carry Service elsewhere",
    )  # fmt: skip
    no_port = [{"service": "shop", "port": "admin", "sources": None}]
    assert error(paths=no_port) == (
        400, "paths[0].port: this gateway carries no port admin of shop",
    )  # fmt: skip
    assert error(kind="http") == (
        409, "http faults need Envoy, which is not beside this gateway",
    )  # fmt: skip
    assert error(kind="freeze")[0] == 409
