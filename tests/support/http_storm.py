"""Faults of HTTP for a storm: through the gateway and the real Envoy beside it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.envoy_process import SERVICE, an_http_fault
from tests.support.fault_storm import PATIENCE_S, Over, Shape, Weather
from tests.support.gateway_process import Gateway, Server
from tests.support.whole import whole

_IP_BIND_ADDRESS_NO_PORT = 24  # of Linux; socket has it from Python 3.12 on
_BODY = b"hello, " * 100
_ARRIVED = "x-arrived"  # of an answer: when its request was there, by time.monotonic


def _serve(sock: socket.socket) -> None:
    """Answer each request the same, and say when it came."""
    came = b""
    while data := sock.recv(65536):
        came += data
        while b"\r\n\r\n" in came:
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(_BODY)}\r\n{_ARRIVED}: "
            came = came.partition(b"\r\n\r\n")[2]
            sock.sendall(f"{head}{time.monotonic()!r}\r\n\r\n".encode() + _BODY)


@contextlib.contextmanager
def _connected(
    gateway: Gateway, *, timeout: float = 10.0, address: str = "127.0.0.1"
) -> Iterator[http.client.HTTPConnection]:
    to = ("127.0.0.1", gateway.ports[SERVICE])
    client = http.client.HTTPConnection(*to)
    with contextlib.closing(client):
        client.sock = socket.socket()
        client.sock.settimeout(timeout)
        # The port is chosen at connect: else it would be one that no connection has anywhere.
        client.sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        client.sock.bind((address, 0))
        client.sock.connect(to)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def _got(client: http.client.HTTPConnection) -> float | None:
    """Ask; if the service's own answer came, tell when the request had come to the service."""
    client.request("GET", "/")
    answer = client.getresponse()
    body = answer.read()
    return float(answer.headers[_ARRIVED]) if (answer.status, body) == (200, _BODY) else None


@contextlib.contextmanager
def _aborted(gateway: Gateway) -> Iterator[Over]:
    """No request on a connection that was there before comes to the service until the end."""
    with _connected(gateway) as client:
        assert _got(client)
        yield lambda: _first_that_came(client)


@contextlib.contextmanager
def _held(gateway: Gateway) -> Iterator[Over]:
    """A request is held up, and comes to the service at the end."""
    with _connected(gateway) as client:
        assert _got(client)
        yield lambda: _got(client)


@contextlib.contextmanager
def _changed(gateway: Gateway) -> Iterator[Over]:
    """The answers on a connection that was there before are not the service's until the end."""
    with _connected(gateway) as client:
        assert _got(client)

        def over() -> None:
            _first_that_came(client)

        yield over


@contextlib.contextmanager
def _trickles(gateway: Gateway) -> Iterator[Over]:
    """An answer is slow, and is whole at the end."""
    with _connected(gateway) as client:
        assert _got(client)

        def over() -> None:
            assert _got(client)

        yield over


def _first_that_came(client: http.client.HTTPConnection) -> float:
    give_up = time.monotonic() + PATIENCE_S
    while (arrived := _got(client)) is None:
        assert time.monotonic() < give_up
    return arrived


def _ask(gateway: Gateway, address: str) -> None:
    with _connected(gateway, timeout=0.1, address=address) as client:
        assert _got(client)


HTTP = Weather(
    SERVICE,
    {
        "abort": Shape({"abort": {"status": 503}}, _aborted),
        "delay": Shape({"delay": "10s"}, _held),
        "rate": Shape({"rate": "10"}, _trickles),
        "body": Shape({"body": {"replace": "<html>"}}, _changed),
    },
    _ask,
    layer="http",
)


@contextlib.contextmanager
def carried_http(directory: Path) -> Iterator[Gateway]:
    """A gateway with Envoy, which knows all faults of HTTP that a storm may order."""
    server = Server(_serve)
    declared = {name: shape for name, (shape, _) in HTTP.declared().items()}
    names = {shape: shape for shape in HTTP.shapes} | declared
    faults = [an_http_fault(name, **HTTP.shapes[shape].params) for name, shape in names.items()]
    try:
        with whole(directory, server.port, *faults) as all_:
            yield all_.gateway
    finally:
        server.close()
