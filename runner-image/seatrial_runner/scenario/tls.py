"""TLS with authorities and certificates of a step's own."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar


class TlsError(Exception):
    """A text of ``tls`` is not what it should be; the message names the field."""


@dataclass(frozen=True)
class Tls:
    """
    What a step says of TLS, with every value filled in.

    Attributes:
        ca: Certificates to trust, as PEM; empty: those of the system.
        cert: The client's certificate and its chain; empty: none.
        key: Its key.
        serverName: That the server's certificate must have; empty: the host.
        verify: Whether the server's certificate must be good.
    """

    TEXTS: ClassVar = ("ca", "cert", "key", "serverName")

    ca: str = ""
    cert: str = ""
    key: str = ""
    serverName: str = ""  # noqa: N815 - as it stands in the document
    verify: bool = True


class _Socket(ssl.SSLSocket):
    """A socket that closes itself when the handshake fails: paho leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except (OSError, ValueError):
            self.close()
            raise


class _Context(ssl.SSLContext):
    """
    A context that knows which name the certificate must have.

    NB: clients of databases and brokers ask for the host that they connect to, and most of them
    cannot be told otherwise.
    """

    server_name = ""
    sslsocket_class = _Socket

    def wrap_socket(self, *args: Any, **more: Any) -> Any:
        """Wrap a socket, as ``ssl`` does."""
        return super().wrap_socket(*args, **self._named(more))

    def wrap_bio(self, *args: Any, **more: Any) -> Any:
        """Wrap buffers, as ``ssl`` does; asyncio asks for it."""
        return super().wrap_bio(*args, **self._named(more))

    def _named(self, more: dict[str, Any]) -> dict[str, Any]:
        return {**more, "server_hostname": self.server_name} if self.server_name else more


@lru_cache(maxsize=32)
def context_of(tls: Tls | None) -> ssl.SSLContext:
    """
    Make what a connection needs; None: the system's authorities alone.

    Raises:
        TlsError: A text is no certificate or key.
    """
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    tls = tls or Tls()
    context.server_name = tls.serverName
    if tls.ca:
        try:
            context.load_verify_locations(cadata=tls.ca)
        except (ssl.SSLError, ValueError) as error:
            raise TlsError(f"tls.ca holds no certificate in PEM: {_short(error)}") from error
    else:
        # As httpx does: certifi's list, where the system has none of its own.
        import certifi

        context.load_verify_locations(cafile=certifi.where())
        context.load_default_certs()
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        _show(context, tls)
    return context


def _show(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        with as_file(f"{tls.cert.strip()}\n{tls.key.strip()}\n") as path:
            # A passphrase would be asked for on the terminal.
            context.load_cert_chain(path, password="")
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(
            f"tls.cert and tls.key are no certificate and its key in PEM: {_short(error)}"
        ) from error


@contextmanager
def as_file(text: str) -> Iterator[str]:
    """
    Give the path of a file with a text, for as long as it is needed.

    NB: ssl reads certificates of its own from files alone, and a conductor has no file system that
    it may write to.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("seatrial"), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # a key that others may read is refused by libpq
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # readable by us alone
        file.write(text)
        file.flush()
        yield file.name


def tls_problem(text: str, where: str, plain: str = "") -> str:
    """
    Say what went wrong in a handshake; empty if it did not.

    Args:
        text: Of an ``ssl.SSLError``.
        where: Names the server.
        plain: What stands before ``://`` where the same is spoken without TLS.
    """
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.rpartition(" (_ssl.c")[0] or text
        for before in ("certificate verify failed: ", "CERTIFICATE_VERIFY_FAILED: "):
            reason = reason.partition(before)[2] or reason
        hint = ""
        if "self-signed" in reason or "local issuer" in reason:
            hint = "; give its authority as tls.ca"
        elif "match" in reason:
            hint = "; give the name it has as tls.serverName"
        return f"the certificate of {where} is not good: {reason}{hint}"
    if "CERTIFICATE_REQUIRED" in text or "HANDSHAKE_FAILURE" in text:
        return f"{where} refused the handshake: it wants a client certificate (tls.cert, tls.key)"
    if "EOF occurred in violation of protocol" in text:
        wanted = "does it want a client certificate (tls.cert, tls.key)?"
        return f"{where} broke the handshake off: {wanted}"
    if "ALERT" in text:
        alert = text.partition("]")[2].rpartition(" (_ssl.c")[0].strip() or text
        return f"{where} refused the handshake: {alert}; is it the client's certificate?"
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return f"{where} does not speak TLS{f': is it {plain}:// there?' if plain else ''}"
    return ""


def _short(error: Exception) -> str:
    return str(error).rpartition(" (_ssl.c")[0] or str(error) or "it is empty"
