"""Each http fault is seen from outside while it is on, and not a moment longer."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from h2.config import H2Configuration
from h2.connection import H2Connection
from hyperframe.frame import Frame, GoAwayFrame, PingFrame
from seatrial.api.names import CHECK_PORTS, PROBE_PORTS
from seatrial_runner.conductor.local_ports import connect_from

from tests.support.envoy_process import (
    EnvoyProcess,
    a_listener,
    an_http_fault,
    behind_envoy,
    until,
)
from tests.support.http2_origin import Http2Origin
from tests.support.http_origin import Came, exchange


async def quickest(client: httpx.AsyncClient) -> float:
    return min([await elapsed(client) for _ in range(5)])


async def elapsed(client: httpx.AsyncClient, path: str = "/") -> float:
    begun = time.monotonic()
    (await client.get(path)).raise_for_status()
    return time.monotonic() - begun


async def test_an_abort_answers_instead_of_the_service(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        begun = time.monotonic()
        assert (await client.get("/")).text == "hello"
        await envoy.order("fails")
        during = [(await client.get("/")).status_code for _ in range(5)]
        await envoy.end("fails")
        after = await client.get("/")

        assert during == [503] * 5
        assert (after.status_code, after.text) == (200, "hello")
        assert len(origin.came) == 2
        # The client's one connection, fault or not; Envoy closes what is idle for a second.
        assert origin.connections <= 1 + int(time.monotonic() - begun)
        assert await envoy.hits("fails") == 5


async def test_what_comes_from_a_port_of_checks_is_answered_and_not_counted(tmp_path: Path) -> None:
    """So does the gateway send a check on; what the request says of its client is not asked."""
    request = b"GET / HTTP/1.1\r\nhost: orders\r\nx-forwarded-for: 10.0.0.9\r\n\r\n"

    def ask(port: int, ports: range) -> bytes:
        with connect_from(ports, ("127.0.0.1", port), 30.0) as sock:
            sock.sendall(request)
            return sock.recv(12)

    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails")
        answers = [
            await asyncio.to_thread(ask, envoy.port, ports) for ports in (CHECK_PORTS, PROBE_PORTS)
        ]
        assert answers == [b"HTTP/1.1 503"] * 2
        assert await envoy.hits("fails") == 1
        await client.get("/")
        assert await envoy.hits("fails") == 2


async def test_a_grpc_abort_is_in_the_words_of_grpc(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"grpcStatus": 8})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails")
        answer = await client.post("/shop.Orders/Get", headers={"content-type": "application/grpc"})

        assert (answer.status_code, answer.headers["grpc-status"]) == (200, "8")


# In gRPC-Web the trailers are a part of the body.
TRAILERS = b"\x80\0\0\0\x10grpc-status:14\r\n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param("grpc-web", TRAILERS, id="binary"),
        pytest.param("grpc-web-text+proto", base64.b64encode(TRAILERS), id="text"),
    ],
)
async def test_a_grpc_abort_is_in_the_words_of_grpc_web(
    tmp_path: Path, kind: str, body: bytes
) -> None:
    fault = an_http_fault("fails", abort={"grpcStatus": 14})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        as_web = {"content-type": f"application/{kind}"}
        await client.post("/shop.Orders/Get", headers=as_web, content=b"\0" * 5)
        assert "application/grpc-web" in origin.came[0].head.decode()
        await envoy.order("fails")
        answer = await client.post("/shop.Orders/Get", headers=as_web, content=b"\0" * 5)

        assert (answer.status_code, answer.content) == (200, body)
        assert answer.headers["content-type"] == as_web["content-type"]
        assert await envoy.hits("fails") == 1
        assert len(origin.came) == 1


async def test_a_delay_holds_requests_up(tmp_path: Path) -> None:
    fault = an_http_fault("slow", delay="1s")
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        before = await quickest(client)
        await envoy.order("slow")
        during = await elapsed(client)
        await envoy.end("slow")
        after = await quickest(client)

        assert max(before, after) < 0.9
        assert during >= 1.0
        assert await envoy.hits("slow") == 1


async def test_a_request_that_is_held_up_goes_on_when_the_fault_ends(tmp_path: Path) -> None:
    fault = an_http_fault("slow", delay="1m")
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("slow", for_s=0.5)
        assert (await client.get("/")).text == "hello"


async def test_a_fault_that_is_over_before_envoy_has_seen_it_is_no_error(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails", for_s=0.0)
        await envoy.end("fails")
        assert (await client.get("/")).text == "hello"


async def test_the_service_is_not_asked_for_what_nobody_waits_for_any_more(tmp_path: Path) -> None:
    fault = an_http_fault("slow", delay="3s")
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        await envoy.order("slow")
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/", content=b"order", timeout=httpx.Timeout(30, read=0.2))
        # Held up as long, so that the time of the first is over when it is answered.
        (await client.post("/", content=b"again")).raise_for_status()

        assert [came.body for came in origin.came] == [b"again"]


async def test_the_service_is_not_asked_either_when_a_long_body_was_given_up(
    tmp_path: Path,
) -> None:
    fault = an_http_fault("slow", delay="2s")
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        await envoy.order("slow")
        _, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
        head = b"POST / HTTP/1.1\r\nHost: orders\r\nContent-Length: 2000000\r\n\r\n"
        writer.write(head + b"x" * 1_000_000)
        await until(lambda: envoy.has_hits("slow"))
        writer.transport.abort()
        # Held up as long, so that the time of the first is over when it is answered.
        (await client.post("/", content=b"again")).raise_for_status()

        assert origin.connections == 1


async def test_a_rate_makes_the_response_trickle_until_the_fault_ends(tmp_path: Path) -> None:
    fault = an_http_fault("slow", rate="10k")
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        body = b"x" * 10_000_000
        origin.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + body
        await envoy.order("slow")
        begun = time.monotonic()
        async with client.stream("GET", "/") as response:
            got, slow = 0, 0.0
            async for data in response.aiter_raw():
                got += len(data)
                if got >= 5_000 and not slow:
                    slow = time.monotonic() - begun
                    await envoy.end("slow")

        assert slow > 0.4
        assert got == 10_000_000  # at that rate it would take a quarter of an hour


LONG = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("size", [0, 2, 5_000_000], ids=["empty", "short", "long"])
async def test_a_body_is_replaced(tmp_path: Path, size: int) -> None:
    fault = an_http_fault("wrong", body={"replace": "<html>"})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        origin.answer = LONG % size + b"x" * size
        await envoy.order("wrong")
        during = await client.get("/")
        head = await client.head("/")
        await envoy.end("wrong")
        after = await client.get("/")

        assert (during.status_code, during.text) == (200, "<html>")
        assert head.text == ""
        assert len(after.content) == size


async def test_a_body_in_chunks_is_replaced(tmp_path: Path) -> None:
    fault = an_http_fault("wrong", body={"replace": "{}"})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):

        async def answer(_: Came, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                writer.write(b"5\r\nhello\r\n")
                await asyncio.sleep(0.02)
            writer.write(b"0\r\n\r\n")

        origin.answers["/"] = answer
        await envoy.order("wrong")
        assert (await client.get("/")).text == "{}"


@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_a_truncated_body_is_shorter_than_its_length_says(tmp_path: Path, size: int) -> None:
    fault = an_http_fault("cut", body={"truncate": 10})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        origin.answer = LONG % size + b"x" * size
        await envoy.order("cut")
        raw = await exchange(envoy.port, b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")
        await envoy.end("cut")

        head, _, body = raw.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % size in head
        assert body == b"x" * 10
        assert len((await client.get("/")).content) == size


async def test_a_body_that_was_none_is_replaced(tmp_path: Path) -> None:
    """Of HTTP/2 alone: its headers may end an answer, and need not say a length."""
    fault = an_http_fault("wrong", body={"replace": "<html>"})
    async with (
        Http2Origin(has_no_body=True) as origin,
        EnvoyProcess(tmp_path, [fault], [a_listener(origin.port)]) as envoy,
        httpx.AsyncClient(base_url=envoy.url, http1=False, http2=True, timeout=30) as client,
    ):
        assert (await client.get("/")).text == ""
        await envoy.order("wrong")
        assert (await client.get("/")).text == "<html>"


async def test_a_truncated_body_ends_no_connection_of_http_2(tmp_path: Path) -> None:
    """What is too short breaks its stream there; the others have nothing to do with it."""
    fault = an_http_fault("cut", body={"truncate": 2})
    async with (
        Http2Origin(more=[("content-length", "5")]) as origin,
        EnvoyProcess(tmp_path, [fault], [a_listener(origin.port)]) as envoy,
    ):
        await envoy.order("cut")
        client = H2Connection(H2Configuration(header_encoding="utf-8"))
        client.initiate_connection()
        head = [(":method", "POST"), (":scheme", "http"), (":authority", "orders"), (":path", "/")]
        for stream in (1, 3):
            client.send_headers(stream, head)
            client.send_data(stream, b"hello", end_stream=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
        writer.write(client.data_to_send())
        bodies: dict[int, bytes] = {}
        kinds = set()
        while len(bodies) < 2:
            frame, length = Frame.parse_frame_header(memoryview(await reader.readexactly(9)))
            body = await reader.readexactly(length)
            kinds.add(type(frame))
            if "END_STREAM" in frame.flags:
                bodies[frame.stream_id] = body
        # What comes for the connection's own sake comes before the answer to this.
        writer.write(PingFrame(0, opaque_data=b"the-last").serialize())
        while type(frame) is not PingFrame:
            frame, length = Frame.parse_frame_header(memoryview(await reader.readexactly(9)))
            await reader.readexactly(length)
            kinds.add(type(frame))
        writer.close()

        assert set(bodies.values()) <= {b"he", b""}
        assert GoAwayFrame not in kinds


@pytest.mark.parametrize("body", [{"replace": "<html>"}, {"truncate": 1}], ids=["replace", "cut"])
async def test_what_a_websocket_carries_is_no_body(tmp_path: Path, body: dict[str, Any]) -> None:
    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    fault = an_http_fault("wrong", body=body)
    async with (
        websockets.serve(echo, "127.0.0.1", 0) as server,
        EnvoyProcess(
            tmp_path, [fault], [a_listener(next(iter(server.sockets)).getsockname()[1])]
        ) as envoy,
    ):
        await envoy.order("wrong")
        async with websockets.connect(f"ws://127.0.0.1:{envoy.port}/") as connection:
            await connection.send("hello")
            async with asyncio.timeout(30):
                assert await connection.recv() == "hello"


async def test_a_content_type_is_changed_and_nothing_else(tmp_path: Path) -> None:
    fault = an_http_fault("odd", body={"contentType": "text/html"})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        origin.answer = LONG % 2 + b"{}"
        await envoy.order("odd")
        during = await client.get("/")

        assert (during.headers["content-type"], during.text) == ("text/html", "{}")


async def test_a_response_after_the_fault_is_not_changed(tmp_path: Path) -> None:
    fault = an_http_fault("wrong", body={"replace": "<html>"})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        go_on = asyncio.Event()

        async def answer(_: Came, writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            writer.write(origin.answer)

        origin.answers["/"] = answer
        await envoy.order("wrong")
        request = asyncio.create_task(client.get("/"))
        await until(lambda: bool(origin.came))
        await envoy.end("wrong")
        go_on.set()

        assert (await request).text == "hello"
        assert await envoy.hits("wrong") == 1


MATCHES: list[Any] = [
    pytest.param({"methods": ["post"]}, ("POST", "/a", {}), ("GET", "/a", {}), id="method"),
    pytest.param({"path": "/a"}, ("GET", "/a?x=1", {}), ("GET", "/a/b", {}), id="path"),
    pytest.param({"pathPrefix": "/a"}, ("GET", "/a/b", {}), ("GET", "/b/a", {}), id="prefix"),
    pytest.param(
        {"headers": {"X-Tenant": "7"}},
        ("GET", "/", {"x-tenant": "7"}),
        ("GET", "/", {"x-tenant": "77"}),
        id="header",
    ),
    pytest.param(
        {"headers": {"Host": "orders:8080"}},
        ("GET", "/", {"host": "orders:8080"}),
        ("GET", "/", {"host": "orders"}),
        id="host",
    ),
]


@pytest.mark.parametrize(("match", "met", "not_met"), MATCHES)
async def test_only_what_is_named_is_met(
    tmp_path: Path, match: dict[str, Any], met: tuple[Any, ...], not_met: tuple[Any, ...]
) -> None:
    fault = an_http_fault("fails", match=match, abort={"status": 500})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails")

        def ask(request: tuple[Any, ...]) -> Any:
            method, path, headers = request
            return client.request(method, path, headers=headers)

        assert (await ask(met)).status_code == 500
        assert (await ask(not_met)).status_code == 200
        assert await envoy.hits("fails") == 1


async def test_a_share_of_requests_is_met(tmp_path: Path) -> None:
    fault = an_http_fault("fails", share="25%", abort={"status": 500})
    rare = an_http_fault("rare", share="0.1%", abort={"status": 501})
    async with behind_envoy(tmp_path, fault, rare) as (_, envoy, client):
        await envoy.order("fails")
        answers = [(await client.get("/")).status_code for _ in range(400)]
        await envoy.end("fails")
        await envoy.order("rare")
        seldom = [(await client.get("/")).status_code for _ in range(400)]

        assert 60 <= answers.count(500) <= 140  # 100; five deviations are 43
        assert await envoy.hits("fails") == answers.count(500)
        assert seldom.count(501) <= 5  # 0.4


async def test_a_source_is_met_and_no_other(tmp_path: Path) -> None:
    fault = an_http_fault("fails", target={"from": ["shop"]}, abort={"status": 500})
    everyone = an_http_fault("gone", match={"path": "/gone"}, abort={"status": 410})
    async with behind_envoy(tmp_path, fault, everyone, sources=("shop",)) as (_, envoy, client):
        await envoy.order("fails")
        await envoy.order("gone")
        shop = f"http://127.0.0.1:{envoy.port_of('shop')}"

        assert (await client.get(f"{shop}/")).status_code == 500
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/gone")).status_code == 410


@pytest.mark.parametrize("kib", [10, 20, 60])
async def test_a_long_request_line_meets_it(tmp_path: Path, kib: int) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        await envoy.order("fails")
        answer = await client.get("/?" + "x" * kib * 1024)

        assert (answer.status_code, origin.came) == (503, [])
