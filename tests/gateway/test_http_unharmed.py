"""
What passes through the gateway arrives as it was sent, by layer 4 alone and also through Envoy.

Without a fault, with faults on others, and with faults that take nothing but time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import websockets
from seatrial.api.control import PathDoc

from localcluster.ports import free_port
from tests.support.envoy_process import SERVICE, an_http_fault
from tests.support.http2_origin import Http2Origin
from tests.support.http_origin import Came, HttpOrigin, exchange
from tests.support.tls_files import certificate_files
from tests.support.whole import OTHER, Json, Whole, whole

ELSEWHERE = "/other"
# One for each way in which Envoy and we take part; all are on at once.
OTHERS_HTTP = [
    an_http_fault("fails", match={"path": ELSEWHERE}, abort={"status": 503}),
    an_http_fault("slow", match={"path": ELSEWHERE, "methods": ["PUT"]}, delay="1m"),
    an_http_fault("wrong", match={"path": ELSEWHERE, "methods": ["POST"]}, body={"replace": ""}),
    an_http_fault("theirs", target={"from": ["shop"]}, abort={"status": 503}),
]
LATE_HTTP = an_http_fault("late", delay="20ms")
# Of another Service of the gateway, and of this one's other clients.
OTHERS: dict[str, tuple[str, Json, PathDoc]] = {
    "garbled": ("corrupt", {}, {"service": OTHER, "port": None, "sources": None}),
    "broken": ("reset", {}, {"service": OTHER, "port": None, "sources": None}),
    "silent": ("blackhole", {}, {"service": SERVICE, "port": None, "sources": ["shop"]}),
}
# They take time from what they meet, and nothing else.
ALL: PathDoc = {"service": SERVICE, "port": None, "sources": None}
SLOWS: dict[str, tuple[str, Json, PathDoc]] = {
    "under-way": ("latency", {"delay": "10ms", "jitter": "5ms"}, ALL),
    "narrow": ("bandwidth", {"rate": "100M"}, ALL),
    "at-the-end": ("slowClose", {"delay": "50ms"}, ALL),
}
WAYS = ["layer-4", "gateway-and-envoy"]
TIMES = ["without-a-fault", "with-faults-elsewhere", "slowed"]


@dataclass
class Through:
    """What a test goes through: a service that listens on ``upstream`` is found at ``port``."""

    upstream: int
    port: int
    has_envoy: bool
    has_lanes: bool  # each request that Envoy delays has a connection of its own
    is_http: bool = True  # a test says so if what it sends is none that Envoy can read

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module", params=WAYS)
def way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Whole]:
    with whole(
        tmp_path_factory.mktemp("envoy"),
        free_port(),
        *OTHERS_HTTP,
        LATE_HTTP,
        with_envoy=request.param == "gateway-and-envoy",
        sources=("shop",),
    ) as all_:
        all_.gateway.set_sources(shop=["127.0.0.7"])
        yield all_


@pytest.fixture(params=TIMES)
def through(request: pytest.FixtureRequest, way: Whole) -> Iterator[Through]:
    """Lead to the service by a gateway in which faults are on, or not; look what they have met."""
    gateway = way.gateway
    faults = {"with-faults-elsewhere": OTHERS, "slowed": SLOWS}.get(request.param, {})
    https = {"with-faults-elsewhere": OTHERS_HTTP, "slowed": [LATE_HTTP]}.get(request.param, [])
    https = https if way.beside else []
    for name, (kind, params, path) in faults.items():
        gateway.put(name, kind, params=params, paths=[path])
    for fault in https:
        way.put_http(fault.name)
    has_lanes = bool(https) and request.param == "slowed"
    it = Through(way.upstream, way.port, way.beside is not None, has_lanes)
    yield it
    names = [*faults, *(fault.name for fault in https)]
    reports = {name: gateway.delete(name) for name in names}
    assert {report["endedBy"] for report in reports.values()} <= {"request"}
    met = {name for name, report in reports.items() if report["hits"]}
    if request.param == "slowed":
        assert {"under-way", "narrow"} <= met
        assert (LATE_HTTP.name in met) == (it.has_envoy and it.is_http)
    else:
        assert met == set()


async def test_a_request_arrives_byte_for_byte_and_so_does_its_answer(through: Through) -> None:
    lines = [
        "Host: orders:8080",
        "X-Mixed-Case: ÄÖ".encode().decode("latin-1"),
        "Cookie: a=1; b=2",
        "X-Twice: 1",
        "X-Twice: 2",
        "X_Under_Score: y",
        "Accept-Encoding: gzip",
        "Via: 1.1 them",
        "X-Forwarded-For: 10.1.1.1",
        "X-Request-Id: mine",
    ]
    answer = [
        "Server: theirs",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "X-Mixed-Case: y",
        "Content-Length: 2",
    ]
    target = "/a//b/../c/%2e%2F%41?q=%20&x=a+b;c&&"
    async with HttpOrigin(port=through.upstream) as origin:
        origin.answer = "\r\n".join(["HTTP/1.1 299 Odd", *answer, "", "ok"]).encode()
        head = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "Connection: close", "", ""])
        got = await exchange(through.port, head.encode("latin-1"))

        came = origin.came[0]
        assert came.path == target
        if through.has_envoy:
            assert sorted(came.head.decode("latin-1").split("\r\n")[1:-2]) == sorted(lines)
        else:
            assert came.head == head.encode("latin-1")
        got_head, _, body = got.partition(b"\r\n\r\n")
        assert got_head.startswith(b"HTTP/1.1 299 ")
        added = ["connection: close"] if through.has_envoy else []
        assert sorted(got_head.decode().split("\r\n")[1:]) == sorted([*answer, *added])
        assert body == b"ok"


@pytest.mark.parametrize("mine", [None, "https"])
async def test_x_forwarded_proto_is_the_client_s_or_none(
    through: Through, mine: str | None
) -> None:
    async with HttpOrigin(port=through.upstream) as origin, httpx.AsyncClient(timeout=30) as client:
        await client.get(through.url, headers={"x-forwarded-proto": mine} if mine else {})

        lines = [line for line in origin.came[0].header_lines if "orwarded" in line]
        assert lines == ([f"x-forwarded-proto: {mine}"] if mine else [])


async def test_requests_of_one_connection_stay_on_one_connection(through: Through) -> None:
    async with HttpOrigin(port=through.upstream) as origin:
        wanted = [0, 1, 2, 3, 4, 5] if through.has_lanes else [0, 0, 0, 1, 1, 1]
        for _ in range(5):  # Envoy closes what is idle for a second, as on a busy machine
            origin.came.clear()
            origin.connections = 0
            for _ in range(2):
                async with httpx.AsyncClient(timeout=30) as client:
                    for _ in range(3):
                        await client.get(through.url)
            if (connections := [came.connection for came in origin.came]) == wanted:
                break
        assert connections == wanted


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_every_method_passes(through: Through, method: str) -> None:
    async with HttpOrigin(port=through.upstream) as origin, httpx.AsyncClient(timeout=30) as client:
        answer = await client.request(method, f"{through.url}/x", content=b"body")

        assert answer.text == "hello"
        assert origin.came[0].head.startswith(method.encode() + b" /x ")
        assert origin.came[0].body == b"body"


async def test_large_bodies_pass_in_both_directions(through: Through) -> None:
    large = os.urandom(1024 * 1024) * 8
    async with HttpOrigin(port=through.upstream) as origin, httpx.AsyncClient(timeout=30) as client:

        async def echo(came: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(came.body))
            writer.write(came.body)
            await writer.drain()

        async def pieces() -> AsyncIterator[bytes]:
            for begin in range(0, len(large), 100_000):
                yield large[begin : begin + 100_000]

        origin.answers["/echo"] = echo
        plain = await client.post(f"{through.url}/echo", content=large)
        chunked = await client.post(f"{through.url}/echo", content=pieces())

        assert plain.content == large
        assert chunked.content == large
        assert b"chunked" in origin.came[1].head.lower()


async def test_a_stream_arrives_piece_by_piece(through: Through) -> None:
    async with HttpOrigin(port=through.upstream) as origin, httpx.AsyncClient(timeout=30) as client:
        got = asyncio.Event()

        async def events(_: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            await got.wait()  # the second is not sent before the first has arrived
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

        origin.answers["/"] = events
        async with client.stream("GET", through.url) as response:
            pieces = []
            async for piece in response.aiter_raw():
                pieces.append(piece)
                got.set()

        assert pieces == [b"one", b"two"]


async def test_trailers_pass(through: Through) -> None:
    async with HttpOrigin(port=through.upstream) as origin:
        origin.answer = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
        )
        request = b"GET / HTTP/1.1\r\nHost: o\r\nTE: trailers\r\nConnection: close\r\n\r\n"
        got = await exchange(through.port, request)

        assert got.lower().endswith(b"2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")


async def test_a_client_is_told_to_go_on_by_the_service(through: Through) -> None:
    async with HttpOrigin(port=through.upstream) as origin:
        reader, writer = await asyncio.open_connection("127.0.0.1", through.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: o\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        first = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ok")
        second = await reader.readuntil(b"hello")
        writer.close()

        assert first.startswith(b"HTTP/1.1 100 ")
        assert second.startswith(b"HTTP/1.1 200 ")
        assert b"expect: 100-continue" in origin.came[0].head.lower()


async def test_a_request_that_offers_tls_is_answered_without(through: Through) -> None:
    """As Apache's HttpClient does in the clear; Envoy refuses upgrades that it does not know."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n"
    async with HttpOrigin(port=through.upstream):
        reader, writer = await asyncio.open_connection("127.0.0.1", through.port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_http_1_0_is_answered_until_the_connection_closes(through: Through) -> None:
    async with HttpOrigin(port=through.upstream):
        took = [60.0]
        for _ in range(10):
            if min(took) < 0.9:
                break
            began = time.monotonic()
            got = await exchange(through.port, b"GET / HTTP/1.0\r\n\r\n")
            took.append(time.monotonic() - began)

        assert min(took) < 0.9  # Envoy would keep it open for a second
        assert got.endswith(b"\r\n\r\nhello")


async def test_a_connection_that_breaks_in_the_middle_breaks_for_the_client(
    through: Through,
) -> None:
    async with HttpOrigin(port=through.upstream) as origin, httpx.AsyncClient(timeout=30) as client:

        async def half(_: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            await writer.drain()
            writer.transport.abort()

        origin.answers["/"] = half
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get(through.url)


async def test_http_2_passes_with_many_streams_on_a_connection(through: Through) -> None:
    async with Http2Origin(port=through.upstream) as origin:
        async with httpx.AsyncClient(http1=False, http2=True, timeout=30) as client:
            body = os.urandom(100_000)
            begun = time.monotonic()
            answers = await asyncio.gather(
                *(client.post(f"{through.url}/{n}", content=body) for n in range(50))
            )

        assert all(each.http_version == "HTTP/2" for each in answers)
        assert [each.headers["x-path"] for each in answers] == [f"/{n}" for n in range(50)]
        assert all(each.content == body for each in answers)
        if through.has_lanes:
            assert origin.connections == 50
        else:  # Envoy closes what is idle for a second, as on a busy machine
            most = 1 + int(time.monotonic() - begun) if through.has_envoy else 1
            assert 1 <= origin.connections <= most
        assert "x-forwarded-proto" not in {name for head in origin.heads for name in head}


async def test_grpc_passes_with_all_its_kinds_of_streams(through: Through) -> None:
    async def unary(request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-trailer", "t"),))
        return request[::-1]

    async def to_client(request: bytes, _: Any) -> AsyncIterator[bytes]:
        for number in range(100):
            yield request + str(number).encode()

    async def from_client(requests: AsyncIterator[bytes], _: Any) -> bytes:
        return b"".join([each async for each in requests])

    async def both(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for each in requests:
            yield each.upper()

    async def refuses(_request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such order")
        return b""

    handlers = {
        "unary": grpc.unary_unary_rpc_method_handler(unary),
        "toClient": grpc.unary_stream_rpc_method_handler(to_client),
        "fromClient": grpc.stream_unary_rpc_method_handler(from_client),
        "both": grpc.stream_stream_rpc_method_handler(both),
        "refuses": grpc.unary_unary_rpc_method_handler(refuses),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("shop.Orders", handlers),)
    )
    server.add_insecure_port(f"127.0.0.1:{through.upstream}")
    await server.start()
    try:
        # Else the channels of all tests to this port share a connection.
        own = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{through.port}", options=own) as channel:
            call = channel.unary_unary("/shop.Orders/unary")(b"abc")
            assert await call == b"cba"
            assert ("x-trailer", "t") in tuple(await call.trailing_metadata())
            large = os.urandom(3_000_000)
            assert await channel.unary_unary("/shop.Orders/unary")(large) == large[::-1]

            stream = channel.unary_stream("/shop.Orders/toClient")(b"n")
            assert len([each async for each in stream]) == 100

            pieces = [b"a" * 1000] * 100
            joined = await channel.stream_unary("/shop.Orders/fromClient")(iter(pieces))
            assert joined == b"a" * 100_000

            talk = channel.stream_stream("/shop.Orders/both")()
            for word in (b"one", b"two"):  # each is answered before the next is said
                await talk.write(word)
                assert await talk.read() == word.upper()
            await talk.done_writing()

            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary("/shop.Orders/refuses")(b"")
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
            assert refused.value.details() == "no such order"
    finally:
        await server.stop(None)


async def test_websockets_pass(through: Through) -> None:
    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", through.upstream, subprotocols=["chat"]):  # type: ignore[list-item]
        url = f"ws://127.0.0.1:{through.port}/ws"
        async with websockets.connect(url, subprotocols=["chat"]) as connection:  # type: ignore[list-item]
            assert connection.subprotocol == "chat"
            large = os.urandom(500_000)
            for message in ("hello", large):
                await connection.send(message)
                assert await connection.recv() == message
            await connection.ping()


async def test_tls_passes_untouched(through: Through, tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path, "orders")
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(certificate, key)
    inside.set_alpn_protocols(["h2", "http/1.1"])
    outside = ssl.create_default_context(cafile=str(certificate))
    outside.set_alpn_protocols(["http/1.1"])

    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        served.set()

    through.is_http = False
    async with await asyncio.start_server(serve, "127.0.0.1", through.upstream, ssl=inside):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", through.port, ssl=outside, server_hostname="orders"
        )
        writer.write(b"GET /other HTTP/1.1\n")
        assert await reader.read() == b"GET /other HTTP/1.1\n"
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()
        await served.wait()


async def test_what_is_not_http_passes_untouched(through: Through) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()
        served.set()

    served = asyncio.Event()

    through.is_http = False
    async with await asyncio.start_server(echo, "127.0.0.1", through.upstream):
        reader, writer = await asyncio.open_connection("127.0.0.1", through.port)
        said = b"\x00\x03\x00\x00user\x00me\x00" + os.urandom(200_000)
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == said
        writer.close()
        await served.wait()
