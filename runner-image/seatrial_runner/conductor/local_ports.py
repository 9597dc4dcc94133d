"""Connections from local ports that the gateway knows."""

from __future__ import annotations

import errno
import itertools
import random
import socket
from collections.abc import Iterable
from typing import Any

from seatrial.api.names import CHECK_PORTS

_TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
_Address = tuple[str | None, bytes | str | int | None]  # what socket.create_connection takes
_create_connection = socket.create_connection


def connect_from(
    ports: range,
    address: _Address,
    timeout: float | None,
    options: Iterable[tuple[int, int, int | bytes]] = (),
) -> socket.socket:
    """
    Connect from one of these ports.

    Raises:
        OSError: There is no connection; EADDRINUSE or EADDRNOTAVAIL: nor a port that is free.
    """
    problem = OSError(errno.EADDRNOTAVAIL, f"{address[0]} has no address")
    for family, kind, protocol, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        begin = random.randrange(len(ports))
        for port in itertools.chain(ports[begin:], ports[:begin]):
            connection = socket.socket(family, kind, protocol)
            try:
                for option in ((socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), *options):
                    connection.setsockopt(*option)
                connection.settimeout(timeout)
                connection.bind(("", port))
                connection.connect(place)
            except OSError as error:
                connection.close()
                problem = error
                if error.errno not in _TAKEN:
                    break
            else:
                return connection
    raise problem


def makes_checks() -> None:
    """
    Have whatever this process connects to know it for a check: it makes nothing else.

    NB: libpq connects by itself, and so from any port; see ``Checked``.
    """
    socket.create_connection = _create_check


def _create_check(
    address: _Address,
    timeout: float | None = None,
    source_address: Any = None,
    *,
    all_errors: bool = False,
) -> socket.socket:
    try:
        return connect_from(CHECK_PORTS, address, timeout)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
    return _create_connection(address, timeout, source_address, all_errors=all_errors)
