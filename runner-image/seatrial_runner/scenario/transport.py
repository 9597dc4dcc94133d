"""
An httpx transport whose deadline covers the whole exchange.

httpx's timeouts begin anew with every read, so a server that sends a byte now and then is waited
for without end. Here name resolution alone is not covered: the system's resolver has its own limit.

Every request gets a connection of its own: requests spread over the pods of a Service, and none
meets a connection that died with the pod before.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

from seatrial_runner.scenario.tls import context_of

# Request extensions.
DEADLINE = "seatrial.deadline"  # on time.monotonic()
TLS = "seatrial.tls"  # what the step says of it
HTTP2 = "seatrial.http2"  # whether it is wanted


class DeadlineTransport(httpx.BaseTransport):
    """Sends one request over one new connection. Raises httpcore's errors."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and return when the headers of the response are there."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        tls, http2 = request.extensions.get(TLS), request.extensions.get(HTTP2, False)
        if http2:
            import h2.connection  # noqa: F401 - before a connection is open that nobody closes
        secure = url.scheme == b"https"
        connection = httpcore.HTTPConnection(
            url.origin,
            ssl_context=context_of(tls) if secure else None,
            network_backend=_Backend(request.extensions[DEADLINE]),
            http1=secure or not http2,  # without TLS nothing is negotiated
            http2=http2,
        )
        name = tls.serverName if tls else ""
        try:
            response = connection.handle_request(
                httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions={"sni_hostname": name} if name else None,
                )
            )
        except BaseException:
            connection.close()
            raise
        assert isinstance(response.stream, Iterable)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(connection, response.stream),
            extensions=response.extensions,
        )


class _Body(httpx.SyncByteStream):
    def __init__(self, connection: httpcore.HTTPConnection, stream: Iterable[bytes]) -> None:
        self._connection = connection
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._connection.close()


class _Backend(httpcore.SyncBackend):
    """Opens connections whose every wait ends at the deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, httpcore.ConnectTimeout)
        stream = super().connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, too_late: type[Exception]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise too_late("the time for the whole exchange is over")
    return left
