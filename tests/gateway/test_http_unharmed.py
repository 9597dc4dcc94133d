"""
What passes through Envoy arrives as it was sent: without a fault, and with one on another path.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
import websockets
from seatrial.api.faults import Fault

from tests.support.envoy_process import EnvoyProcess, a_listener, an_http_fault
from tests.support.http2_origin import Http2Origin
from tests.support.http_origin import Came, HttpOrigin, exchange
from tests.support.tls_files import certificate_files

ELSEWHERE = "/other"
# One for each way in which Envoy and we take part; all are on at once.
FAULTS = [
    an_http_fault("fails", match={"path": ELSEWHERE}, abort={"status": 503}),
    an_http_fault("slow", match={"path": ELSEWHERE, "methods": ["PUT"]}, delay="1m"),
    an_http_fault("wrong", match={"path": ELSEWHERE, "methods": ["POST"]}, body={"replace": ""}),
]

Through = Callable[[int], Any]


@pytest_asyncio.fixture(params=["without-a-fault", "with-faults-elsewhere"])
async def through(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Callable[[int], Any]]:
    """Put Envoy before a port; gives its own."""
    processes: list[EnvoyProcess] = []

    async def start(port: int) -> EnvoyProcess:
        process = EnvoyProcess(tmp_path, FAULTS, [a_listener(port)])
        await process.__aenter__()
        processes.append(process)
        if request.param == "with-faults-elsewhere":
            for fault in FAULTS:
                await process.order(fault.name)
        return process

    yield start
    for process in processes:
        hits = [await process.hits(fault.name) for fault in FAULTS]
        await process.__aexit__()
        assert hits == [0, 0, 0]


def sorted_lines(head: bytes) -> list[str]:
    return sorted(head.decode().split("\r\n")[1:-2])


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
    async with HttpOrigin() as origin:
        origin.answer = "\r\n".join(["HTTP/1.1 299 Odd", *answer, "", "ok"]).encode()
        envoy = await through(origin.port)
        head = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "Connection: close", "", ""])
        got = await exchange(envoy.port, head.encode("latin-1"))

        came = origin.came[0]
        assert came.path == target
        assert sorted(came.head.decode("latin-1").split("\r\n")[1:-2]) == sorted(lines)
        got_head, _, body = got.partition(b"\r\n\r\n")
        assert got_head.startswith(b"HTTP/1.1 299 ")
        assert sorted(got_head.decode().split("\r\n")[1:]) == sorted([*answer, "connection: close"])
        assert body == b"ok"


@pytest.mark.parametrize("mine", [None, "https"])
async def test_x_forwarded_proto_is_the_client_s_or_none(
    through: Through, mine: str | None
) -> None:
    async with HttpOrigin() as origin, httpx.AsyncClient() as client:
        envoy = await through(origin.port)
        await client.get(envoy.url, headers={"x-forwarded-proto": mine} if mine else {})

        lines = [line for line in origin.came[0].header_lines if "orwarded" in line]
        assert lines == ([f"x-forwarded-proto: {mine}"] if mine else [])


async def test_requests_of_one_connection_stay_on_one_connection(through: Through) -> None:
    async with HttpOrigin() as origin:
        envoy = await through(origin.port)
        for _ in range(2):
            async with httpx.AsyncClient() as client:
                for _ in range(3):
                    await client.get(envoy.url)

        assert [came.connection for came in origin.came] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_every_method_passes(through: Through, method: str) -> None:
    async with HttpOrigin() as origin, httpx.AsyncClient() as client:
        envoy = await through(origin.port)
        answer = await client.request(method, f"{envoy.url}/x", content=b"body")

        assert answer.text == "hello"
        assert origin.came[0].head.startswith(method.encode() + b" /x ")
        assert origin.came[0].body == b"body"


async def test_large_bodies_pass_in_both_directions(through: Through) -> None:
    large = os.urandom(1024 * 1024) * 20
    async with HttpOrigin() as origin, httpx.AsyncClient(timeout=30) as client:

        async def echo(came: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(came.body))
            writer.write(came.body)
            await writer.drain()

        async def pieces() -> AsyncIterator[bytes]:
            for begin in range(0, len(large), 100_000):
                yield large[begin : begin + 100_000]

        origin.answers["/echo"] = echo
        envoy = await through(origin.port)
        plain = await client.post(f"{envoy.url}/echo", content=large)
        chunked = await client.post(f"{envoy.url}/echo", content=pieces())

        assert plain.content == large
        assert chunked.content == large
        assert b"chunked" in origin.came[1].head.lower()


async def test_a_stream_arrives_piece_by_piece(through: Through) -> None:
    async with HttpOrigin() as origin, httpx.AsyncClient() as client:
        got = asyncio.Event()

        async def events(_: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            await got.wait()  # the second is not sent before the first has arrived
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

        origin.answers["/"] = events
        envoy = await through(origin.port)
        async with client.stream("GET", envoy.url) as response:
            pieces = []
            async for piece in response.aiter_raw():
                pieces.append(piece)
                got.set()

        assert pieces == [b"one", b"two"]


async def test_trailers_pass(through: Through) -> None:
    async with HttpOrigin() as origin:
        origin.answer = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
        )
        envoy = await through(origin.port)
        request = b"GET / HTTP/1.1\r\nHost: o\r\nTE: trailers\r\nConnection: close\r\n\r\n"
        got = await exchange(envoy.port, request)

        assert got.lower().endswith(b"2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")


async def test_a_client_is_told_to_go_on_by_the_service(through: Through) -> None:
    async with HttpOrigin() as origin:
        envoy = await through(origin.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
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


async def test_http_1_0_is_answered_until_the_connection_closes(through: Through) -> None:
    async with HttpOrigin() as origin:
        envoy = await through(origin.port)
        async with asyncio.timeout(0.9):  # Envoy would keep it open for a second
            got = await exchange(envoy.port, b"GET / HTTP/1.0\r\n\r\n")

        assert got.endswith(b"\r\n\r\nhello")


async def test_a_connection_that_breaks_in_the_middle_breaks_for_the_client(
    through: Through,
) -> None:
    async with HttpOrigin() as origin, httpx.AsyncClient() as client:

        async def half(_: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            await writer.drain()
            writer.transport.abort()

        origin.answers["/"] = half
        envoy = await through(origin.port)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.get(envoy.url)


async def test_http_2_passes_with_many_streams_on_a_connection(through: Through) -> None:
    async with Http2Origin() as origin:
        envoy = await through(origin.port)
        async with httpx.AsyncClient(http1=False, http2=True, timeout=30) as client:
            body = os.urandom(300_000)
            answers = await asyncio.gather(
                *(client.post(f"{envoy.url}/{n}", content=body) for n in range(50))
            )

        assert all(each.http_version == "HTTP/2" for each in answers)
        assert [each.headers["x-path"] for each in answers] == [f"/{n}" for n in range(50)]
        assert all(each.content == body for each in answers)
        assert origin.connections == 1
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
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        envoy = await through(port)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
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

    async with websockets.serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:  # type: ignore[list-item]
        envoy = await through(next(iter(server.sockets)).getsockname()[1])
        url = f"ws://127.0.0.1:{envoy.port}/ws"
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

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=inside)
    async with server:
        envoy = await through(server.sockets[0].getsockname()[1])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", envoy.port, ssl=outside, server_hostname="orders"
        )
        writer.write(b"GET /other HTTP/1.1\n")
        assert await reader.read() == b"GET /other HTTP/1.1\n"
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()


async def test_what_is_not_http_passes_untouched(through: Through) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        envoy = await through(server.sockets[0].getsockname()[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
        said = b"\x00\x03\x00\x00user\x00me\x00" + os.urandom(200_000)
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == said
        writer.close()


async def test_live_connections_meet_a_fault_and_are_well_again_after_it(tmp_path: Path) -> None:
    faults: list[Fault] = [an_http_fault("fails", abort={"status": 503})]
    async with (
        Http2Origin() as origin,
        EnvoyProcess(tmp_path, faults, [a_listener(origin.port)]) as envoy,
    ):
        async with httpx.AsyncClient(http1=False, http2=True) as client:
            before = await client.post(envoy.url, content=b"x")
            await envoy.order("fails")
            during = await client.post(envoy.url, content=b"x")
            await envoy.end("fails")
            after = await client.post(envoy.url, content=b"x")

        assert [each.status_code for each in (before, during, after)] == [200, 503, 200]
        assert origin.connections == 1
