"""Faults at layer 4 for a storm, before a service that sends everything back."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from tests.support.fault_storm import (
    OTHER_ADDRESS,
    OTHER_SOURCE,
    PATIENCE_S,
    PAUSE_S,
    Over,
    Shape,
    Weather,
)
from tests.support.gateway_process import Gateway, receive

_SAID = b"\x55" * 64

# How the end of each kind is seen ----------------------------------------------------------------


@contextlib.contextmanager
def _held(gateway: Gateway, address: str = "127.0.0.1") -> Iterator[Over]:
    """Bytes of a connection that was there before are held: they come when the fault ends."""
    with gateway.connect(address=address) as sock:
        _echoed(sock)
        yield lambda: _echoed(sock)


@contextlib.contextmanager
def _held_from_other(gateway: Gateway) -> Iterator[Over]:
    with _held(gateway, OTHER_ADDRESS) as over:
        yield over


@contextlib.contextmanager
def _waits(gateway: Gateway) -> Iterator[Over]:
    """A new connection waits for the end."""

    def over() -> None:
        with gateway.connect() as sock:
            _echoed(sock)

    yield over


@contextlib.contextmanager
def _closes_late(gateway: Gateway) -> Iterator[Over]:
    """The end of a connection is held."""
    with gateway.connect() as sock:
        _echoed(sock)

        def over() -> None:
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""

        yield over


@contextlib.contextmanager
def _breaks(gateway: Gateway) -> Iterator[Over]:
    """New connections break until the end."""

    def over() -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                with gateway.connect() as sock:
                    _echoed(sock)
                return
            except (OSError, AssertionError):
                assert time.monotonic() < give_up
                time.sleep(PAUSE_S)

    yield over


@contextlib.contextmanager
def _vanishes(gateway: Gateway) -> Iterator[Over]:
    """Bytes vanish until the end."""
    with gateway.connect() as sock:
        _echoed(sock)

        def over() -> None:
            give_up = time.monotonic() + PATIENCE_S
            sock.settimeout(PAUSE_S)
            while True:
                assert time.monotonic() < give_up
                sock.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    sock.recv(4096)
                    return

        yield over


@contextlib.contextmanager
def _differs(gateway: Gateway) -> Iterator[Over]:
    """Bytes come back changed until the end."""
    with gateway.connect() as sock:
        _echoed(sock)

        def over() -> None:
            give_up = time.monotonic() + PATIENCE_S
            while not _comes_back(sock):
                assert time.monotonic() < give_up

        yield over


def _comes_back(sock: socket.socket) -> bool:
    sock.sendall(_SAID)
    return receive(sock, len(_SAID)) == _SAID


def _echoed(sock: socket.socket) -> None:
    assert _comes_back(sock)


SHAPES = {
    "latency": Shape({"delay": "250ms", "direction": "request"}, _held),
    "blackhole": Shape({}, _vanishes),
    "refuse": Shape({}, _breaks),
    "reset": Shape({}, _breaks),
    "bandwidth": Shape({"rate": "100", "direction": "request"}, _held),
    "slowClose": Shape({"delay": "250ms"}, _closes_late),
    "connectionLimit": Shape({"connections": 0}, _waits),
    "corrupt": Shape({"share": "100%"}, _differs),
    "partition": Shape({}, _held_from_other, [OTHER_SOURCE]),
}


def _ask(gateway: Gateway, address: str) -> None:
    with gateway.connect(timeout=0.1, address=address) as sock:
        _echoed(sock)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)


LAYER_4 = Weather("shop", SHAPES, _ask)
