"""Whoever dies, at whatever moment: no fault is on a second after its deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway_process import SLACK_S, Gateway, Json, carried, eventually, quickest

FOR_S = 0.8
# How a fault is seen: put, and what an exchange on a new connection must not do any more.
KINDS = {
    "latency": {"delay": "700ms"},
    "blackhole": {},
    "refuse": {},
    "reset": {},
    "bandwidth": {"rate": "2"},
    "slowClose": {"delay": "700ms"},
    "connectionLimit": {"connections": 0},
    "corrupt": {"share": "100%"},
    "partition": {},
}
VICTIMS = ("controller", "worker-0", "worker-1")
MOMENTS = ("before", "during", "after")


@pytest.fixture
def fresh() -> Iterator[Gateway]:
    with carried() as gateway:
        yield gateway


def is_well(gateway: Gateway, within_s: float = 10.0) -> bool:
    """Tell whether an exchange on a new connection goes as if no fault was on."""
    try:
        with gateway.connect(timeout=within_s) as sock:
            sock.sendall(b"ping")
            sock.shutdown(socket.SHUT_WR)
            got = b""
            while data := sock.recv(16):
                got += data
            return got == b"ping"
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Tell whether it runs; one that nobody has taken note of yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def nobody_listens(gateway: Gateway) -> bool:
    try:
        gateway.connect().close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def living(gateway: Gateway, victim: str) -> int:
    """Give its number, when it is there."""
    eventually(lambda: victim in gateway.children)
    return gateway.children[victim]


def kill(gateway: Gateway, victim: str) -> None:
    """Kill it, and wait until its heir is there."""
    pid = living(gateway, victim)
    gateway.kill(pid)
    eventually(lambda: gateway.children.get(victim, pid) != pid)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("victim", VICTIMS)
def test_no_kind_of_fault_outlives_its_deadline(fresh: Gateway, victim, moment) -> None:
    """All kinds, one after another, with the same victim at the same moment."""
    for kind, params in KINDS.items():
        if moment == "before":
            kill(fresh, victim)
            fresh.wait_until_ready()
        began = time.monotonic()
        fresh.put(kind.lower(), kind, FOR_S if moment == "during" else 0.4, params=params)
        deadline = began + (FOR_S if moment == "during" else 0.4)
        assert not is_well(fresh, 0.1) or time.monotonic() > deadline, kind
        if moment == "during":
            kill(fresh, victim)
        time.sleep(max(0.0, deadline + 0.05 - time.monotonic()))
        if moment == "after":
            kill(fresh, victim)
        eventually(lambda: is_well(fresh, 0.5), deadline + SLACK_S - time.monotonic())


def test_the_heir_of_a_worker_goes_on_with_the_faults(fresh: Gateway) -> None:
    fresh.put("cut", "reset", paths=[{"service": "shop", "port": None, "sources": None}])
    for victim in ("worker-0", "worker-1") * 3:
        kill(fresh, victim)
        for _ in range(10):
            assert not is_well(fresh)
    report = fresh.delete("cut")
    assert is_well(fresh)

    assert report["hits"] >= 50, "what the killed ones had counted is kept"


def test_the_heir_of_a_worker_does_not_open_a_port_that_refuses(fresh: Gateway) -> None:
    fresh.put("closed", "refuse")
    for victim in ("worker-0", "worker-1"):
        kill(fresh, victim)
        fresh.wait_until_ready()
        for _ in range(10):
            with pytest.raises(ConnectionRefusedError):
                fresh.connect()
    fresh.delete("closed")
    assert is_well(fresh)


def test_the_heir_of_a_worker_that_was_stuck_does_not_open_a_port_that_refuses(
    fresh: Gateway,
) -> None:
    fresh.put("closed", "refuse")
    asked = 0
    for number in range(4):
        os.kill(living(fresh, f"worker-{number % 2}"), signal.SIGSTOP)
        told = threading.Thread(target=fresh.set_sources, kwargs={"web": [f"10.0.0.{number}"]})
        told.start()
        while told.is_alive():
            assert nobody_listens(fresh)
            asked += 1
            time.sleep(0.001)
        told.join()
    assert fresh.delete("closed")["hits"] >= min(100, asked // 2)
    assert is_well(fresh)


def test_connections_of_the_other_worker_go_on(fresh: Gateway) -> None:
    fresh.put("unheard", "slowClose", params={"delay": "1ms"})
    workers = [fresh.children[f"worker-{number}"] for number in range(2)]
    before = [files(pid) for pid in workers]
    sockets: list[socket.socket] = []
    # A busy machine may stop one of them while the other accepts.
    while min(files(pid) - had for pid, had in zip(workers, before, strict=True)) < 10:
        assert len(sockets) < 450, "one of the workers accepts nothing"
        sockets += [fresh.connect() for _ in range(30)]
        for sock in sockets[-30:]:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
    kill(fresh, "worker-0")
    alive = 0
    for sock in sockets:
        with contextlib.suppress(OSError), sock:
            sock.sendall(b"y")
            alive += sock.recv(1) == b"y"

    assert 0 < alive < len(sockets)
    # So that nobody takes these for the fault's doing.
    assert fresh.delete("unheard")["counts"]["lostConnections"] == len(sockets) - alive


def files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_connections_go_on_when_the_controller_dies(fresh: Gateway) -> None:
    boot = fresh.put("slow", "latency", params={"delay": "200ms"})["boot"]
    with fresh.connect() as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        kill(fresh, "controller")
        fresh.wait_until_ready()

        def took() -> float:
            began = time.monotonic()
            sock.sendall(b"y")
            assert sock.recv(1) == b"y"
            return time.monotonic() - began

        # Its faults went with it, and a new boot says so.
        assert quickest(took) < 0.2
    everything: Json = fresh.client.get("/v1/faults").json()

    assert everything["boot"] != boot
    assert everything["faults"] == []


def test_an_order_given_while_a_worker_is_dead_holds_for_its_heir(fresh: Gateway) -> None:
    for number in range(10):
        fresh.kill(living(fresh, f"worker-{number % 2}"))
        fresh.put("cut", "reset")
        for _ in range(5):
            assert not is_well(fresh)
        fresh.delete("cut")
        eventually(lambda: is_well(fresh), SLACK_S)


def test_a_worker_that_is_stuck_is_replaced(fresh: Gateway) -> None:
    fresh.put("cut", "reset", 0.3)
    os.kill(living(fresh, "worker-0"), signal.SIGSTOP)
    time.sleep(0.3)
    eventually(lambda: fresh.report("cut")["state"] == "ended", 1.2 + SLACK_S)
    assert all(is_well(fresh) for _ in range(10))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("together", [["refuse"], [each for each in KINDS if each != "refuse"]])
def test_when_the_first_process_dies_nothing_is_left(moment: str, together: list[str]) -> None:
    with carried() as gateway:
        assert gateway.process is not None
        if moment != "before":
            lasts_s = 0.3 if moment == "after" else 30
            for kind in together:
                gateway.put(kind.lower(), kind, lasts_s, params=KINDS[kind])
        if moment == "after":
            time.sleep(0.4)
        children = list(gateway.children.values())
        gateway.process.kill()
        gateway.process.wait()
        eventually(lambda: not any(is_alive(pid) for pid in children), SLACK_S)
        eventually(lambda: nobody_listens(gateway), SLACK_S)
        with gateway:  # one that is started in its place
            assert is_well(gateway)


def test_sigterm_ends_it_at_once() -> None:
    with carried() as gateway:
        assert gateway.process is not None
        gateway.process.terminate()
        assert gateway.process.wait(SLACK_S) == 128 + signal.SIGTERM


def test_a_worker_that_was_stuck_when_the_controller_died_is_replaced_too(fresh: Gateway) -> None:
    fresh.put("slow", "latency", params={"delay": "5s"})
    os.kill(living(fresh, "worker-0"), signal.SIGSTOP)
    kill(fresh, "controller")
    try:
        fresh.wait_until_ready()
        assert all(is_well(fresh) for _ in range(10))
    finally:
        os.kill(living(fresh, "worker-0"), signal.SIGCONT)


def test_a_worker_that_dies_gives_back_the_places_of_its_connections(fresh: Gateway) -> None:
    fresh.put("one", "connectionLimit", params={"connections": 1})
    for victim in ("worker-0", "worker-1"):  # one of them has the place
        with fresh.connect() as held:
            held.sendall(b"x")
            assert held.recv(1) == b"x"
            kill(fresh, victim)
            fresh.wait_until_ready()
    assert is_well(fresh)
    with fresh.connect() as held:
        held.sendall(b"x")
        assert held.recv(1) == b"x"
        assert not is_well(fresh, 0.1)
