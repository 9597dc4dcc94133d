"""TLS in which both sides show a certificate: ``TLS_FOLDER`` has ours, and whom we trust."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

logger = logging.getLogger("shop.auth")

FOLDER = Path(os.environ.get("TLS_FOLDER", "/etc/tls"))


class _Telling(ssl.SSLObject):
    """
    Tells a client why its certificate is refused.

    NB: asyncio closes the connection of a handshake that failed without sending the alert. It does
    send what is waiting when more is to be read; then the client knows, and closes.
    """

    _refused: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._refused is not None:
            raise self._refused
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            logger.warning("a client is refused: %s", error)
            self._refused = error
            raise ssl.SSLWantReadError from error


def context(purpose: ssl.Purpose) -> ssl.SSLContext:
    """Give what a client (SERVER_AUTH) or a server (CLIENT_AUTH) needs; read once, at start."""
    made = ssl.create_default_context(purpose, cafile=FOLDER / "ca.crt")
    made.load_cert_chain(FOLDER / "tls.crt", FOLDER / "tls.key")
    made.verify_mode = ssl.CERT_REQUIRED
    if purpose is ssl.Purpose.CLIENT_AUTH:
        made.sslobject_class = _Telling
    return made
