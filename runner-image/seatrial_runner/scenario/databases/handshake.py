"""Why PostgreSQL's certificate is not good: what its client library keeps to itself."""

from __future__ import annotations

import socket
import struct

from seatrial_runner.scenario.tls import Tls, context_of

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL documentation, "Message Formats"
_WITHIN_S = 2.0


def handshake_problem(host: str, port: int, tls: Tls) -> str:
    """Do the handshake once more, and give what ``ssl`` says is wrong; empty if nothing is."""
    try:
        with socket.create_connection((host, port), timeout=_WITHIN_S) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) == b"S":
                context_of(tls).wrap_socket(plain, server_hostname=host).close()
    except OSError as error:
        return str(error)
    return ""
