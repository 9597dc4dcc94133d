"""Channels to gRPC servers, shared by the steps of a scenario, and their problems in words."""

from __future__ import annotations

import re
import time
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import grpc

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.exchange import rewritten
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.tls import Tls, TlsError, context_of, tls_problem

_OPTIONS = [
    ("grpc.max_receive_message_length", 10 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # what another scenario met is not remembered
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),  # a retry is a step's own affair
    ("grpc.initial_reconnect_backoff_ms", 100),
    # NB: how long connecting may take, whatever its name says: a busy machine needs its time.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.primary_user_agent", "seatrial"),
]
_TARGET = re.compile(r"[^\s/@?#]+:[0-9]{1,5}")
# What the library itself says where a connection could not be had, or broke.
_NO_CONNECTION = re.compile(
    r"failed to connect|errors resolving|DNS resolution failed|Socket closed|recvmsg|sendmsg"
    r"|Connection reset|Broken pipe|End of TCP stream|Endpoint (closing|is shutting)|GOAWAY"
    r"|[Ss]sl handshake|keepalive",
)


class Link:
    """A channel, and where it leads."""

    def __init__(self, target: str, address: str, tls: Tls | None) -> None:
        """
        Open a channel; nothing is connected yet.

        Args:
            target: HOST:PORT, as the scenario says it.
            address: Where that is; on a laptop it may be elsewhere.
            tls: None: in the clear.
        """
        self.target = target
        self.host = target.rpartition(":")[0]
        self._address = address
        self._tls = tls
        options: list[tuple[str, Any]] = list(_OPTIONS)
        if tls is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            if tls.serverName:
                options.append(("grpc.ssl_target_name_override", tls.serverName))
            self._channel = grpc.secure_channel(address, _credentials(tls), options)

    def start(
        self,
        path: str,
        messages: Iterable[bytes],
        metadata: list[tuple[str, str | bytes]],
        deadline: float | None,
    ) -> Any:
        """
        Begin a call; give the library's own, which is iterated for the answers.

        Without a deadline it lasts until it is cancelled.
        """
        try:
            return self._channel.stream_stream(path)(
                iter(messages),
                timeout=None if deadline is None else max(deadline - time.monotonic(), 0.001),
                metadata=tuple(metadata),
            )
        except (ValueError, TypeError) as error:
            raise StepFailure(f"it cannot be sent: {error}", permanent=True) from error

    def problem(self, details: str) -> str:
        """Say why there is no connection, from the library's words; empty if the server spoke."""
        if not _NO_CONNECTION.search(details):
            return ""
        where = self._address
        if "refused" in details:
            return f"connection refused: nothing listens on {where}"
        if "resolv" in details or "DNS" in details:
            return f"the name {self.host!r} does not resolve: is it a service of this run?"
        if "andshake" in details or "SSL" in details:
            return (
                tls_problem(details, where) or f"the TLS handshake with {where} failed: {details}"
            )
        if "HTTP/2" in details or "http1" in details:
            return f"{where} does not speak gRPC, or wants TLS: {details}"
        if "failed to connect" in details:
            hint = ""
            if self._tls and not self._tls.cert and "Socket closed" in details:
                hint = "; does it want a client certificate (tls.cert, tls.key)?"
            return f"no connection to {where}: {details}{hint}"
        return f"the connection broke: {details}"

    def close(self) -> None:
        """End what runs over it."""
        self._channel.close()


def link_to(target: str, tls: Tls | None, call: Call) -> Link:
    """
    Give the channel to a server.

    Raises:
        StepFailure: There can be none.
    """
    where = urlsplit(rewritten(f"http://{target}", call.tools.world.base_urls))
    if not _TARGET.fullmatch(target) or not where.hostname:
        raise StepFailure(f"{cut(target, 200)!r} is no target: write HOST:PORT", permanent=True)
    key = ("grpc", target, tls)
    try:
        return call.tools.resources.get(
            key, lambda: Link(target, where.netloc, tls), lambda link: link.close()
        )
    except TlsError as error:
        raise StepFailure(str(error), permanent=True) from error


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if not tls.verify:
        raise TlsError("tls.verify: gRPC always verifies; give the certificate as tls.ca")
    context_of(tls)  # says what is wrong with a text
    return grpc.ssl_channel_credentials(
        tls.ca.encode() or _system_authorities(),
        tls.key.encode() or None,
        tls.cert.encode() or None,
    )


def _system_authorities() -> bytes:
    import ssl

    context = ssl.create_default_context()
    authorities = context.get_ca_certs(binary_form=True)
    if not authorities:
        import certifi

        return certifi.contents().encode()
    return "".join(map(ssl.DER_cert_to_PEM_cert, authorities)).encode()


def as_texts(metadata: Iterable[Any]) -> dict[str, str]:
    """Give metadata by name; values of one name joined by ", ", bytes as base64."""
    found: dict[str, str] = {}
    for name, value in metadata:
        text = value if isinstance(value, str) else b2a_base64(value, newline=False).decode()
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found
