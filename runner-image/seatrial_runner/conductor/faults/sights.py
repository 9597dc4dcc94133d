"""What of each kind of fault is seen from outside, with plain sockets; runs in a worker."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from seatrial.api.amounts import parse_quantity, parse_share
from seatrial.api.control import PROBE_HTTP_LINE, PROBE_LINE
from seatrial.api.duration import parse_duration
from seatrial.api.names import PROBE_PORTS

from seatrial_runner.conductor.faults.looking import Sight, Spot
from seatrial_runner.conductor.local_ports import connect_from

Params = dict[str, Any]

SEEN = "seen"
# By a closed port. Only the kernel counts those, and it does not know a probe from a client.
REFUSED = "refused"

_CONNECT_S = 2.0
_ECHO_S = 2.0
# Nothing has come back for so long: far more than a probe needs while nothing is wrong.
_SILENCE_S = 0.5
# Of a delay or a rate, so much has to be seen; clocks and the pieces of a stream are not exact.
_MOST_OF = 0.8
_RATE_MARGIN = 1.3
_MOST_BYTES = 1024 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)


def comes_back(spot: Spot, token: str) -> bool:
    """Tell whether a probe comes back at once."""
    try:
        with _probe(spot, token) as connection:
            connection.sendall(b"?")
            connection.settimeout(_SILENCE_S)
            return connection.recv(1) == b"?"
    except OSError:
        return False


def what_is_seen(sight: Sight, spot: Spot) -> str:
    """Look once for a fault's effect; give ``SEEN`` or ``REFUSED``, or nothing without one."""
    seen = _SIGHTS[sight.kind](sight, spot)
    if isinstance(seen, str):
        return seen
    return SEEN if seen else ""


def _latency(sight: Sight, spot: Spot) -> bool:
    params = sight.params
    delay, jitter = _seconds(params["delay"]), _seconds(params.get("jitter") or "0s")
    least = max(delay - jitter, 0.25 * delay) if jitter else delay
    began = time.monotonic()
    try:
        with _probe(spot, sight.token) as connection:
            connection.settimeout(2 * (delay + 4 * jitter) + _ECHO_S)
            connection.sendall(b"?")
            connection.recv(1)
    except OSError:
        return False
    return time.monotonic() - began >= _MOST_OF * least


def _silence(sight: Sight, spot: Spot) -> bool:
    """See that nothing comes back, of bytes that vanish or are held."""
    quiet = min(_SILENCE_S, sight.lasts_s / 2)
    try:
        with _probe(spot, sight.token) as connection:
            connection.settimeout(quiet)
            connection.sendall(b"?")
            connection.recv(1)
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


def _refuse(sight: Sight, spot: Spot) -> bool | str:
    try:
        with _probe(spot, sight.token) as connection:
            connection.settimeout(_ECHO_S)
            connection.sendall(b"?")
            return connection.recv(1) == b""
    except ConnectionRefusedError:
        return REFUSED
    except (ConnectionResetError, BrokenPipeError):
        return True
    except OSError:
        return False


def _reset(sight: Sight, spot: Spot) -> bool:
    after = _seconds(sight.params.get("after") or "0s")
    try:
        with _probe(spot, sight.token) as connection:
            connection.settimeout(after + _ECHO_S)
            connection.sendall(b"?")
            while connection.recv(4096):
                pass
    except (ConnectionResetError, BrokenPipeError):
        return True
    except OSError:
        return False
    return False


def _bandwidth(sight: Sight, spot: Spot) -> bool:
    rate = float(parse_quantity(sight.params["rate"]))
    size = int(max(16, min(rate / 2, _MOST_BYTES)))
    began = time.monotonic()
    try:
        with _probe(spot, sight.token) as connection:
            got = _there_and_back(connection, bytes(size), 3 * size / rate + _ECHO_S)
    except OSError:
        return False
    return len(got) == size and size / (time.monotonic() - began) <= _RATE_MARGIN * rate


def _slow_close(sight: Sight, spot: Spot) -> bool:
    delay = _seconds(sight.params["delay"])
    try:
        with _probe(spot, sight.token) as connection:
            connection.settimeout(_ECHO_S)
            connection.sendall(b"?")
            if connection.recv(1) != b"?":
                return False
            began = time.monotonic()
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(2 * delay + _ECHO_S)
            if connection.recv(1) != b"":
                return False
    except OSError:
        return False
    return time.monotonic() - began >= _MOST_OF * delay


def _connection_limit(sight: Sight, spot: Spot) -> bool:
    """Open one connection more than are admitted: one of them has to wait."""
    limit = int(sight.params["connections"])
    opened: list[socket.socket] = []
    try:
        for _ in range(limit + 1):
            connection = _connect(spot)
            opened.append(connection)
            connection.settimeout(_SILENCE_S)
            connection.sendall(PROBE_LINE.format(token=sight.token, source=spot.source).encode())
            connection.sendall(b"?")
            try:
                if connection.recv(1) != b"?":
                    return False
            except TimeoutError:
                return True
    except OSError:
        return False
    finally:
        for connection in opened:
            connection.close()
    return False


def _corrupt(sight: Sight, spot: Spot) -> bool:
    share = parse_share(sight.params.get("share") or "1%")
    if not share:
        return False
    sent = os.urandom(int(max(256, min(8 / share, _MOST_BYTES // 4))))
    try:
        with _probe(spot, sight.token) as connection:
            got = _there_and_back(connection, sent, _ECHO_S)
    except OSError:
        return False
    return len(got) == len(sent) and got != sent


def _http(sight: Sight, spot: Spot) -> bool:
    """Ask Envoy as the source whose probe it is, and see that the fault has answered."""
    from seatrial_runner.conductor.faults.http_sight import http_is_seen

    try:
        with _probe(spot, sight.token, line=PROBE_HTTP_LINE) as connection:
            return http_is_seen(sight.params, sight.fault, connection)
    except OSError:
        return False


_SIGHTS: dict[str, Callable[[Sight, Spot], bool | str]] = {
    "latency": _latency,
    "blackhole": _silence,
    "partition": _silence,
    "refuse": _refuse,
    "reset": _reset,
    "bandwidth": _bandwidth,
    "slowClose": _slow_close,
    "connectionLimit": _connection_limit,
    "corrupt": _corrupt,
    "http": _http,
}


@contextmanager
def _probe(spot: Spot, token: str, *, line: str = PROBE_LINE) -> Iterator[socket.socket]:
    connection = _connect(spot)
    try:
        connection.sendall(line.format(token=token, source=spot.source).encode())
        yield connection
    finally:
        connection.close()


def _connect(spot: Spot) -> socket.socket:
    """
    Connect from one of the ports that probes are known by.

    It is closed with a reset, so that the port is free again at once.
    """
    options = (
        (socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    )
    return connect_from(PROBE_PORTS, (spot.host, spot.port), _CONNECT_S, options)


def _there_and_back(connection: socket.socket, data: bytes, within_s: float) -> bytes:
    """Send and receive at the same time; give what has come back by then."""
    give_up = time.monotonic() + within_s
    connection.setblocking(False)
    rest, got = memoryview(data), bytearray()
    while len(got) < len(data) and (left := give_up - time.monotonic()) > 0:
        can_read, can_write, _ = select.select([connection], [connection] if rest else [], [], left)
        if can_write:
            rest = rest[connection.send(rest) :]
        if can_read:
            piece = connection.recv(64 * 1024)
            if not piece:
                break
            got += piece
    return bytes(got)


def _seconds(text: str) -> float:
    return parse_duration(text).total_seconds()
