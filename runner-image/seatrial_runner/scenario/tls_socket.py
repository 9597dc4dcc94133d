"""
TLS for a library that reads in one thread and writes in another.

OpenSSL forbids both at once on one connection, and Python before 3.14 does not keep them apart: a
write that meets the read of a session ticket waits for an answer to what it has not sent.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any


class OneAtATime:
    """Stands in for an ``SSLContext`` where sockets are wrapped: theirs take turns."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str | None = None) -> Any:
        """Shake hands within the socket's timeout; give what reads and writes by turns."""
        return _InTurns(self._context.wrap_socket(sock, server_hostname=server_hostname))


class _InTurns:
    """The methods of a socket that are used; nobody waits while it has its turn."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls
        self._turn = threading.Lock()
        self._timeout = tls.gettimeout()
        tls.setblocking(False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tls, name)

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    def recv(self, size: int) -> bytes:
        """Wait until something comes; empty at the end."""
        while True:
            with self._turn:
                try:
                    return self._tls.recv(size)
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
            self._wait(event, None)

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            event = 0
            with self._turn:
                try:
                    left = left[self._tls.send(left) :]
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
            if event:
                self._wait(event, self._timeout)

    def shutdown(self, how: int) -> None:
        # That of TLS would have the rest read as it came, encrypted.
        socket.socket.shutdown(self._tls, how)

    def close(self) -> None:
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)  # wakes who waits
        self._tls.close()

    def _wait(self, event: int, seconds: float | None) -> None:
        poll = select.poll()
        poll.register(self._tls, event)
        if not poll.poll(None if seconds is None else seconds * 1000):
            raise TimeoutError("timed out")
