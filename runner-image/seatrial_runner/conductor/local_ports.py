"""Connections from local ports that the gateway knows."""

from __future__ import annotations

import asyncio
import errno
import itertools
import random
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from seatrial.api.names import CHECK_PORTS

_TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
_Address = tuple[str | None, bytes | str | int | None]  # what socket.create_connection takes
_create_connection = socket.create_connection
_create_in_loop = asyncio.BaseEventLoop.create_connection
_sock_connect = BaseSelectorEventLoop.sock_connect


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


def makes_checks(
    asking: Callable[[str], AbstractContextManager[Any]] = nullcontext,
) -> None:
    """
    Have whatever this process connects to know it for a check: it makes nothing else.

    ``asking`` is entered with each host just before it is connected to, and left when that has
    come to an end, in any thread.

    NB: libpq connects by itself, and so from any port; see ``Checked``.
    """

    def create(
        address: _Address,
        timeout: float | None = None,
        source_address: Any = None,
        *,
        all_errors: bool = False,
    ) -> socket.socket:
        with asking(str(address[0])):
            return _create_check(address, timeout, source_address, all_errors=all_errors)

    async def create_in_loop(
        loop: Any, factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        if host is None:  # a socket that is connected already
            return await _create_in_loop(loop, factory, **more)
        with asking(str(host)):
            return await _create_in_loop(loop, factory, host, port, **more)

    socket.create_connection = create
    # Drivers of asyncio take no local port that could be another one when it is not free.
    asyncio.BaseEventLoop.create_connection = create_in_loop  # type: ignore[assignment,method-assign]
    BaseSelectorEventLoop.sock_connect = _connect_check  # type: ignore[assignment,method-assign]


async def _connect_check(loop: Any, sock: socket.socket, address: Any) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not sock.getsockname()[1]:
        begin = random.randrange(len(CHECK_PORTS))
        # NB: without SO_REUSEADDR a port that is bound is ours alone: connecting cannot find that
        # it is taken, when it would be too late for another one.
        for port in itertools.chain(CHECK_PORTS[begin:], CHECK_PORTS[:begin]):
            try:
                sock.bind(("", port))
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                break
    await _sock_connect(loop, sock, address)


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
