"""Streams that are open when a fault begins: gRPC, HTTP/2 and WebSocket meet it, and outlive it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
import websockets

from localcluster.ports import free_port
from tests.support.envoy_process import an_http_fault
from tests.support.gateway_process import eventually
from tests.support.http2_origin import Http2Origin
from tests.support.whole import Json, Whole, whole

EXHAUSTED = an_http_fault("exhausted", abort={"grpcStatus": 8})
LATE = an_http_fault("late", delay="400ms")
FAILS = an_http_fault("fails", abort={"status": 503})
WAYS = ["layer-4", "gateway-and-envoy"]
HELD_S = 2.0  # seconds, longer than a busy machine stops a thread before it has sent anything


@pytest.fixture(scope="module")
def _ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Whole]]:
    places = [tmp_path_factory.mktemp(name) for name in WAYS]
    with (
        whole(places[0], free_port(), with_envoy=False) as short,
        whole(places[1], free_port(), EXHAUSTED, LATE, FAILS) as long,
    ):
        yield dict(zip(WAYS, (short, long), strict=True))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, _ways: dict[str, Whole]) -> Iterator[Whole]:
    """Lead to a service by layer 4 alone, and also through Envoy."""
    yield _ways[request.param]
    assert _ways[request.param].gateway.client.delete("/v1/faults").status_code == 200


@pytest.fixture
def http_way(_ways: dict[str, Whole]) -> Iterator[Whole]:
    """Lead to a service through Envoy."""
    yield _ways["gateway-and-envoy"]
    assert _ways["gateway-and-envoy"].gateway.client.delete("/v1/faults").status_code == 200


# gRPC --------------------------------------------------------------------------------------------


class Orders:
    """A gRPC service with a method of each kind, and how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    async def unary(self, request: bytes, _: Any) -> bytes:
        self.calls += 1
        return request[::-1]

    async def to_client(self, request: bytes, _: Any) -> AsyncIterator[bytes]:
        self.calls += 1
        for number in range(100):
            yield request + str(number).encode()

    async def from_client(self, requests: AsyncIterator[bytes], _: Any) -> bytes:
        self.calls += 1
        return b"".join([each async for each in requests])

    async def both(self, requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        self.calls += 1
        async for each in requests:
            yield each.upper()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        return {
            "unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "toClient": grpc.unary_stream_rpc_method_handler(self.to_client),
            "fromClient": grpc.stream_unary_rpc_method_handler(self.from_client),
            "both": grpc.stream_stream_rpc_method_handler(self.both),
        }


@asynccontextmanager
async def orders(way: Whole) -> AsyncIterator[tuple[Orders, grpc.aio.Channel]]:
    """A service behind the gateway, and a client's channel to it."""
    service = Orders()
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("shop.Orders", service.handlers())
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{way.upstream}")
    await server.start()
    try:
        # Else the channels of all tests to this port share a connection.
        own = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{way.port}", options=own) as channel:
            yield service, channel
    finally:
        await server.stop(None)


async def unary(channel: grpc.aio.Channel) -> None:
    assert await channel.unary_unary("/shop.Orders/unary")(b"abc") == b"cba"


async def to_client(channel: grpc.aio.Channel) -> None:
    stream = channel.unary_stream("/shop.Orders/toClient")(b"n")
    assert [each async for each in stream] == [b"n%d" % number for number in range(100)]


async def from_client(channel: grpc.aio.Channel) -> None:
    assert await channel.stream_unary("/shop.Orders/fromClient")(iter([b"a", b"b"])) == b"ab"


async def both(channel: grpc.aio.Channel) -> None:
    talk = channel.stream_stream("/shop.Orders/both")()
    await says(talk, b"one")
    await talk.done_writing()
    assert await talk.code() is grpc.StatusCode.OK


async def says(talk: Any, word: bytes) -> float:
    """Say a word on an open stream; how long the answer took."""
    begun = time.monotonic()
    await talk.write(word)
    assert await talk.read() == word.upper()
    return time.monotonic() - begun


CALLS = [unary, to_client, from_client, both]


async def test_a_grpc_client_is_told_the_status_of_an_abort_and_is_served_after_it(
    http_way: Whole,
) -> None:
    async with orders(http_way) as (service, channel):
        for call in CALLS:
            await call(channel)
        http_way.put_http("exhausted")
        codes = []
        for call in CALLS:
            with pytest.raises(grpc.aio.AioRpcError) as aborted:
                await call(channel)
            codes.append(aborted.value.code())
        report = http_way.gateway.delete("exhausted")
        for call in CALLS:
            await call(channel)

        assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 4
        assert report["hits"] == 4
        assert service.calls == 8  # the service was not asked meanwhile


@pytest.mark.parametrize("call", CALLS)
async def test_a_grpc_call_is_held_up_by_a_delay_and_nothing_else_happens_to_it(
    http_way: Whole, call: Any
) -> None:
    async with orders(http_way) as (_, channel):
        await call(channel)
        http_way.put_http("late")
        begun = time.monotonic()
        await call(channel)
        took = time.monotonic() - begun
        report = http_way.gateway.delete("late")

        assert took >= 0.4
        assert report["hits"] == 1


async def test_a_grpc_stream_open_when_an_abort_begins_goes_on_to_its_end(http_way: Whole) -> None:
    """A fault of HTTP meets requests; this one was made before."""
    async with orders(http_way) as (_, channel):
        talk = channel.stream_stream("/shop.Orders/both")()
        await says(talk, b"one")
        http_way.put_http("exhausted")
        http_way.put_http("late")
        with pytest.raises(grpc.aio.AioRpcError):
            await unary(channel)
        for word in (b"two", b"three"):
            await says(talk, word)
        await talk.done_writing()

        assert await talk.code() is grpc.StatusCode.OK
        assert http_way.gateway.delete("exhausted")["hits"] == 1


async def test_an_open_grpc_stream_is_slowed_in_order_and_no_longer_than_the_fault(
    way: Whole,
) -> None:
    async with orders(way) as (_, channel):
        talk = channel.stream_stream("/shop.Orders/both")()
        before = min([await says(talk, b"one") for _ in range(5)])
        way.gateway.put("slow", "latency", params={"delay": "200ms", "jitter": "50ms"})
        during = await says(talk, b"two")
        words = [b"n%d" % number for number in range(20)]
        for word in words:
            await talk.write(word)
        came = [await talk.read() for _ in words]
        report = way.gateway.delete("slow")
        after = min([await says(talk, b"three") for _ in range(5)])
        await talk.done_writing()

        assert max(before, after) < 0.3 <= during
        assert came == [word.upper() for word in words]
        assert report["hits"] == 1
        assert await talk.code() is grpc.StatusCode.OK


async def test_an_open_grpc_stream_waits_for_the_end_of_a_partition(way: Whole) -> None:
    async with orders(way) as (_, channel):
        talk = channel.stream_stream("/shop.Orders/both")()
        await says(talk, b"one")
        begun = time.monotonic()
        way.gateway.put("cut", "partition", HELD_S)
        await says(talk, b"two")
        took = time.monotonic() - begun
        await talk.done_writing()
        eventually(lambda: way.gateway.report("cut")["state"] == "ended")
        report = way.gateway.report("cut")

        assert took >= HELD_S
        assert (report["endedBy"], report["hits"]) == ("deadline", 1)
        assert await talk.code() is grpc.StatusCode.OK


async def test_an_open_grpc_stream_breaks_by_a_reset_and_its_channel_recovers(way: Whole) -> None:
    async with orders(way) as (_, channel):
        talk = channel.stream_stream("/shop.Orders/both")()
        await says(talk, b"one")
        way.gateway.put("broken", "reset", params={})
        with pytest.raises(grpc.aio.AioRpcError):
            await talk.read()
        code = await talk.code()
        way.gateway.delete("broken")
        again = await channel.unary_unary("/shop.Orders/unary")(b"ab", wait_for_ready=True)

        assert code is grpc.StatusCode.UNAVAILABLE
        assert again == b"ba"


def most_connections(way: Whole, since: float) -> int:
    """To a service, for one client: Envoy closes its own when it has been idle for a second."""
    return 1 + int(time.monotonic() - since) if way.beside else 1


# HTTP/2 and WebSocket ----------------------------------------------------------------------------

HOLDS: list[Any] = [
    pytest.param("latency", {"delay": "300ms"}, 30.0, 0.3, id="latency"),
    pytest.param("partition", {}, HELD_S, HELD_S, id="partition"),
]


async def test_an_http_2_connection_meets_an_abort_and_is_well_again_after_it(
    http_way: Whole,
) -> None:
    async with (
        Http2Origin(port=http_way.upstream) as origin,
        httpx.AsyncClient(http1=False, http2=True, timeout=30) as client,
    ):
        begun = time.monotonic()
        before = await client.post(http_way.url, content=b"x")
        http_way.put_http("fails")
        during = await client.post(http_way.url, content=b"x")
        http_way.gateway.delete("fails")
        after = await client.post(http_way.url, content=b"x")

        assert [each.status_code for each in (before, during, after)] == [200, 503, 200]
        assert origin.connections <= most_connections(http_way, begun)


@pytest.mark.parametrize(("kind", "params", "for_s", "least_s"), HOLDS)
async def test_all_streams_of_an_http_2_connection_are_held_and_arrive_whole(
    way: Whole, kind: str, params: Json, for_s: float, least_s: float
) -> None:
    async with (
        Http2Origin(port=way.upstream) as origin,
        httpx.AsyncClient(http1=False, http2=True, timeout=30) as client,
    ):
        bodies = [b"%d" % number * 20_000 for number in range(10)]
        connected = time.monotonic()
        (await client.post(way.url)).raise_for_status()
        begun = time.monotonic()
        way.gateway.put("held", kind, for_s, params=params)
        answers = await asyncio.gather(*(client.post(way.url, content=each) for each in bodies))
        took = time.monotonic() - begun

        assert [each.content for each in answers] == bodies
        assert took >= least_s
        assert way.gateway.delete("held")["hits"] == 1
        assert origin.connections <= most_connections(way, connected)


@pytest.mark.parametrize(("kind", "params", "for_s", "least_s"), HOLDS)
async def test_an_open_websocket_is_held_and_its_messages_arrive_in_order(
    way: Whole, kind: str, params: Json, for_s: float, least_s: float
) -> None:
    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async with (
        websockets.serve(echo, "127.0.0.1", way.upstream),
        websockets.connect(f"ws://127.0.0.1:{way.port}/ws") as connection,
    ):
        await connection.send("hello")
        assert await connection.recv() == "hello"
        if way.beside:
            way.put_http("fails")  # of requests; this one was made before
        begun = time.monotonic()
        way.gateway.put("held", kind, for_s, params=params)
        said = [f"{number}" * 5000 for number in range(10)]
        for message in said:
            await connection.send(message)
        came = [await connection.recv() for _ in said]
        took = time.monotonic() - begun
        await (await connection.ping())

        assert came == said
        assert took >= least_s
        assert way.gateway.delete("held")["hits"] == 1
        if way.beside:
            assert way.gateway.delete("fails")["hits"] == 0
