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
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


def _serve(sock: socket.socket) -> None:
    """Answer each request the same."""
    came = b""
    while data := sock.recv(65536):
        came += data
        while b"\r\n\r\n" in came:
            came = came.partition(b"\r\n\r\n")[2]
            sock.sendall(_ANSWER)


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


def _got(client: http.client.HTTPConnection) -> bool:
    """Ask; tell whether the service's own answer came."""
    client.request("GET", "/")
    answer = client.getresponse()
    return (answer.status, answer.read()) == (200, _BODY)


@contextlib.contextmanager
def _answers_otherwise(gateway: Gateway) -> Iterator[Over]:
    """The answers on a connection that was there before are not the service's until the end."""
    with _connected(gateway) as client:
        assert _got(client)

        def over() -> None:
            give_up = time.monotonic() + PATIENCE_S
            while not _got(client):
                assert time.monotonic() < give_up

        yield over


@contextlib.contextmanager
def _answers_late(gateway: Gateway) -> Iterator[Over]:
    """A request, or its answer, is held up until the end."""
    with _connected(gateway) as client:
        assert _got(client)

        def over() -> None:
            assert _got(client)

        yield over


def _ask(gateway: Gateway, address: str) -> None:
    with _connected(gateway, timeout=0.1, address=address) as client:
        assert _got(client)


HTTP = Weather(
    SERVICE,
    {
        "abort": Shape({"abort": {"status": 503}}, _answers_otherwise),
        "delay": Shape({"delay": "10s"}, _answers_late),
        "rate": Shape({"rate": "10"}, _answers_late),
        "body": Shape({"body": {"replace": "<html>"}}, _answers_otherwise),
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
