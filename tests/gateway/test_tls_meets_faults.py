"""Faults of the network hit TLS as they hit anything else, and count its bytes and connections."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.gateway_process import (
    Gateway,
    carried,
    echo,
    eventually,
    quickest,
)
from tests.support.tls_files import certificate_files


class Client:
    """A client of TLS that knows how many bytes it has sent and received, with all of TLS."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.sent = self.received = 0
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="shop")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def shake_hands(self) -> Client:
        self._do(self._tls.do_handshake)
        return self

    def send(self, data: bytes) -> None:
        self._do(lambda: self._tls.write(data))

    def receive(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            data = self._do(lambda: self._tls.read(65536))
            assert data, f"TLS ended after {len(received)} of {length} bytes"
            received += data
        return received

    def ask(self, data: bytes = b"ping") -> float:
        """Send, and give the time until the echo is complete."""
        began = time.monotonic()
        self.send(data)
        assert self.receive(len(data)) == data
        return time.monotonic() - began

    def _do(self, work: Callable[[], Any]) -> Any:
        while True:
            result, needs_more = None, False
            try:
                result = work()
            except ssl.SSLWantReadError:
                needs_more = True
            if said := self._out.read():
                self.sock.sendall(said)
                self.sent += len(said)
            if not needs_more:
                return result
            heard = self.sock.recv(65536)
            self.received += len(heard)
            if heard:
                self._in.write(heard)
            else:
                self._in.write_eof()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the service speaks, and what trusts it."""
    certificate, key = certificate_files(tmp_path_factory.mktemp("tls"), "shop")
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(certificate, key)
    inside.num_tickets = 0  # nothing comes that was not asked for
    return inside, ssl.create_default_context(cafile=str(certificate))


@pytest.fixture(scope="module")
def _gateway(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Gateway]:
    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), contexts[0].wrap_socket(sock, server_side=True) as tls:
            echo(tls)

    with carried(serve) as gateway:
        yield gateway


@pytest.fixture
def connect(
    gateway: Gateway, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> Callable[[], Client]:
    """Connect to the service through the gateway; the handshake is still to come."""
    return lambda: Client(gateway.connect(), contexts[1])


Connect = Callable[[], Client]


def test_latency_delays_the_handshake_and_what_follows(gateway: Gateway, connect: Connect) -> None:
    with connect() as live:
        live.shake_hands()
        gateway.put("slow", "latency", params={"delay": "60ms"})
        before = live.sent + live.received
        assert live.ask() >= 0.12
        with connect() as new:
            began = time.monotonic()
            new.shake_hands()
            assert time.monotonic() - began >= 0.12
            new.ask()
            report = gateway.delete("slow")
            delayed = live.sent + live.received - before + new.sent + new.received
        assert quickest(live.ask) < 0.12

    assert (report["hits"], report["counts"]) == (2, {"delayedBytes": delayed})


def test_reset_breaks_open_connections_and_handshakes(gateway: Gateway, connect: Connect) -> None:
    with connect() as live:
        live.shake_hands()
        gateway.put("cut", "reset")
        with pytest.raises(ConnectionResetError):
            live.receive(1)
        with pytest.raises(ConnectionError), connect() as new:
            new.shake_hands()
    report = gateway.delete("cut")
    with connect() as after:
        after.shake_hands().ask()

    assert (report["hits"], report["counts"]) == (2, {"resetConnections": 2})


def test_a_blackhole_swallows_bytes_and_handshakes(gateway: Gateway, connect: Connect) -> None:
    def dropped() -> int:
        return int(gateway.report("hole")["counts"].get("droppedBytes", 0))

    with connect() as live, connect() as new:
        live.shake_hands()
        before = live.sent
        gateway.put("hole", "blackhole", params={"direction": "request"})
        live.send(b"lost")
        new.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            new.shake_hands()
        swallowed = live.sent - before + new.sent
        eventually(lambda: dropped() == swallowed)
        report = gateway.delete("hole")
        # TLS notices the gap: what comes after it is no message any more.
        with pytest.raises((ssl.SSLError, ConnectionError)):
            live.ask()
    with connect() as after:
        after.shake_hands().ask()

    assert (report["hits"], report["counts"]) == (2, {"droppedBytes": swallowed})


def test_tls_does_not_take_bytes_that_were_corrupted(gateway: Gateway, connect: Connect) -> None:
    with connect() as live, connect() as new:
        live.shake_hands()
        before = live.received
        gateway.put("bad", "corrupt", params={"share": "100%", "direction": "response"})
        for client in (live, new):
            with pytest.raises(ssl.SSLError):
                client.shake_hands() if client is new else client.ask()
        # Whole records were corrupted, of which a client may have stopped reading in the middle.
        corrupted = live.received - before + new.received
        report = gateway.delete("bad")
    with connect() as after:
        after.shake_hands().ask()

    assert report["hits"] == 2
    assert report["counts"]["corruptedBytes"] >= corrupted > 0


def test_bandwidth_limits_the_rate_of_what_is_encrypted(gateway: Gateway, connect: Connect) -> None:
    with connect() as live:
        live.shake_hands()
        before = live.received
        gateway.put("thin", "bandwidth", params={"rate": "100k", "direction": "response"})
        assert live.ask(b"x" * 30_000) > 0.25
        paced = live.received - before
        report = gateway.delete("thin")
        live.ask(b"x" * 30_000)

    assert paced > 30_000
    assert (report["hits"], report["counts"]) == (1, {"pacedBytes": paced})
