"""The API client over loopback: kept connections, errors by class, outages waited out, watches."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from seatrial.api.errors import ClusterError, ConflictError, ForbiddenError, NotFoundError
from seatrial_runner.conductor import apiserver
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.connection import Address, Connection
from seatrial_runner.conductor.seen import PODS, Seen, keep_seen

from localcluster.ports import free_port

Answer = Callable[[str], bytes]


class Server:
    """Answers each request with the next of its answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.requests: list[str] = []
        self.connections = 0
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = 0
                for line in head.decode().split("\r\n"):
                    if line.lower().startswith("content-length:"):
                        length = int(line.partition(":")[2])
                body = await reader.readexactly(length)
                self.requests.append(head.decode() + body.decode())
                answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
                if answer is None:  # the connection breaks instead
                    writer.transport.abort()
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass


def answer(status: int, document: Any) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def chunked(*lines: Any) -> bytes:
    out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for line in lines:
        body = json.dumps(line).encode() + b"\n"
        half = len(body) // 2  # an event may come in pieces
        for part in (body[:half], body[half:]):
            out += b"%x\r\n%s\r\n" % (len(part), part)
    return out + b"0\r\n\r\n"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    result = Server()
    await result.start()
    yield result
    await result.stop()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[ApiServer]:
    result = ApiServer(Address("127.0.0.1", server.port, None), lambda: "t0ken", patience_s=30.0)
    yield result
    result.close()


async def test_one_connection_carries_one_request_after_another(
    server: Server, api: ApiServer
) -> None:
    server.answers = [answer(200, {"kind": "Pod"})]
    for _ in range(5):
        assert await api.get("/api/v1/pods") == {"kind": "Pod"}
    assert server.connections == 1
    assert "authorization: Bearer t0ken" in server.requests[0]


async def test_a_patch_is_a_merge_patch(server: Server, api: ApiServer) -> None:
    server.answers = [answer(200, {})]
    await api.patch("/x", {"data": {"a": "b"}})
    assert server.requests[0].startswith("PATCH /x HTTP/1.1")
    assert "content-type: application/merge-patch+json" in server.requests[0]
    assert server.requests[0].endswith('{"data":{"a":"b"}}')


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, ClusterError),
    ],
)
async def test_a_refusal_has_its_class_and_the_servers_words(
    server: Server, api: ApiServer, status: int, kind: type[ClusterError]
) -> None:
    server.answers = [answer(status, {"message": "because"})]
    with pytest.raises(kind, match=f"GET /x: {status} because") as error:
        await api.get("/x")
    assert error.value.status == status
    assert len(server.requests) == 1


async def test_an_admission_rule_stays_whatever_it_says(server: Server, api: ApiServer) -> None:
    server.answers = [answer(403, {"message": "denied the request: pods cannot be deleted by us"})]
    with pytest.raises(ForbiddenError):
        await api.get("/x")
    assert len(server.requests) == 1


async def test_a_right_that_comes_late_is_waited_for(server: Server, api: ApiServer) -> None:
    refused = {"message": 'pods "x" is forbidden: User "u" cannot delete resource "pods"'}
    server.answers = [answer(403, refused), answer(403, refused), answer(200, {"kind": "Pod"})]
    assert await api.get("/x") == {"kind": "Pod"}


async def test_a_right_that_never_comes_is_told_of(
    server: Server, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apiserver, "RIGHTS_PATIENCE_S", 0.2)
    server.answers = [answer(403, {"message": 'User "u" cannot get resource "pods"'})]
    with pytest.raises(ForbiddenError, match="cannot get resource"):
        await api.get("/x")


@pytest.mark.parametrize("passing", [429, 500, 503, 504])
async def test_what_may_pass_is_tried_again(server: Server, api: ApiServer, passing: int) -> None:
    server.answers = [answer(passing, {}), answer(200, {"kind": "Pod"})]
    assert await api.get("/x") == {"kind": "Pod"}


async def test_a_connection_that_breaks_is_replaced(server: Server, api: ApiServer) -> None:
    server.answers = [answer(200, {}), None, answer(200, {"kind": "Pod"})]
    await api.get("/x")
    assert await api.get("/x") == {"kind": "Pod"}


async def test_a_server_that_comes_back_finds_the_request_again(
    server: Server, api: ApiServer
) -> None:
    server.answers = [answer(200, {})]
    await api.get("/x")
    await server.stop()
    waiting = asyncio.create_task(api.get("/x"))
    await asyncio.sleep(0.2)
    await server.start()
    assert await waiting == {}


async def test_patience_ends(server: Server) -> None:
    await server.stop()
    api = ApiServer(Address("127.0.0.1", server.port, None), lambda: "t", patience_s=0.0)
    with pytest.raises(ClusterError, match="does not answer"):
        await api.get("/x")
    await server.start()


async def test_what_is_no_http_is_an_error_of_the_cluster(server: Server, api: ApiServer) -> None:
    server.answers = [b"this is no HTTP\r\n\r\n"]
    with pytest.raises(ClusterError, match="no answer"):
        await api.text("/x", {}, patience_s=0)


async def test_a_watch_gives_its_events_until_it_ends(server: Server, api: ApiServer) -> None:
    events = [{"type": "ADDED", "object": {"n": n}} for n in range(3)]
    server.answers = [chunked(*events)]
    assert [event async for event in api.watch("/x", {"timeoutSeconds": "9"})] == events


async def test_a_watch_that_is_too_old_says_so(server: Server, api: ApiServer) -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
    server.answers = [chunked(gone)]
    with pytest.raises(ClusterError, match="too old") as error:
        _ = [event async for event in api.watch("/x", {"timeoutSeconds": "9"})]
    assert error.value.status == 410


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD], ids=["no-answer", "no-event-and-no-end"])
async def test_a_watch_at_a_server_that_is_silent_ends(
    server: Server, api: ApiServer, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(apiserver, "REQUEST_TIMEOUT_S", 5.0 if sent else 0.1)
    monkeypatch.setattr(apiserver, "WATCH_MARGIN_S", 0.1)
    server.answers = [sent]
    async with asyncio.timeout(60):
        with pytest.raises(ClusterError, match="watch of /x broke: out of time"):
            _ = [event async for event in api.watch("/x", {"timeoutSeconds": "0"})]


async def test_the_time_of_a_watch_is_not_that_of_who_reads_it(
    server: Server, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apiserver, "WATCH_MARGIN_S", 1.0)
    server.answers = [HEAD + chunked({"type": "ADDED", "object": {}}).removeprefix(HEAD)[:-5]]
    watch = api.watch("/x", {"timeoutSeconds": "0"})
    assert await anext(watch) == {"type": "ADDED", "object": {}}
    await asyncio.sleep(1.1)  # longer than the watch has left
    with pytest.raises(ClusterError, match="out of time"):
        await anext(watch)


async def test_a_peer_that_is_gone_without_a_word_is_found_out(server: Server) -> None:
    connection = await Connection.open(Address("127.0.0.1", server.port, None))
    ours = connection._writer.get_extra_info("socket")
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, every, times = (
        ours.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + every * times <= 30  # the kernel's own: more than two hours
    connection.close()


NO_OBJECTS = [b"<html>", b"[1]", b'"text"', b"", b"[" * 100_000, b"\xff"]


@pytest.mark.parametrize("body", NO_OBJECTS)
async def test_what_is_no_json_object_is_an_error_of_the_cluster(
    server: Server, api: ApiServer, body: bytes
) -> None:
    server.answers = [b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)]
    with pytest.raises(ClusterError, match="GET /x: the answer is no JSON object"):
        await api.get("/x")


@pytest.mark.parametrize("line", [1, [], {"type": "ADDED"}, {"type": "ERROR", "object": 1}])
async def test_an_event_that_is_none_breaks_the_watch(
    server: Server, api: ApiServer, line: Any
) -> None:
    server.answers = [chunked(line)]
    with pytest.raises(ClusterError, match="watch of /x broke"):
        _ = [event async for event in api.watch("/x", {"timeoutSeconds": "9"})]


def a_pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def a_list(version: int, *items: dict[str, Any], more: str = "") -> bytes:
    metadata = {"resourceVersion": str(version), "continue": more}
    return answer(200, {"items": list(items), "metadata": metadata})


async def test_what_is_seen_follows_lists_pages_and_events(server: Server, api: ApiServer) -> None:
    server.answers = [
        a_list(5, a_pod("a", 1), more="next"),
        a_list(5, a_pod("b", 2)),
        chunked(
            {"type": "DELETED", "object": a_pod("a", 6)},
            {"type": "BOOKMARK", "object": a_pod("", 7)},
        ),
        chunked({"type": "ERROR", "object": {"code": 410, "message": "too old"}}),
        a_list(9, a_pod("c", 8)),
        answer(404, {}),
    ]
    seen = Seen()
    follower = asyncio.create_task(keep_seen(api, "ns", PODS, seen))
    async with asyncio.timeout(60):
        while [each["metadata"]["name"] for each in seen.all(PODS)] != ["c"]:
            await seen.wait(1.0)
    follower.cancel()
    targets = [request.split(" ")[1] for request in server.requests]
    assert "continue=next" in targets[1]
    assert "resourceVersion=5" in targets[2]
    assert "resourceVersion=7" in targets[3]  # goes on from the bookmark
    assert "resourceVersion" not in targets[4]  # begins anew


@pytest.mark.parametrize(
    ("refusal", "version"),
    [
        pytest.param(answer(504, {"message": "Too large resource version: 5"}), None, id="unknown"),
        pytest.param(answer(400, {"message": "no such version"}), None, id="refused"),
        pytest.param(answer(429, {"message": "later"}), "5", id="busy"),
        pytest.param(None, "5", id="gone"),
    ],
)
async def test_a_version_that_the_server_does_not_take_is_not_asked_for_for_ever(
    server: Server, api: ApiServer, refusal: bytes | None, version: str | None
) -> None:
    news = (
        chunked({"type": "ADDED", "object": a_pod("c", 6)}) if version else a_list(9, a_pod("c", 8))
    )
    server.answers = [a_list(5), refusal, news, chunked()]
    seen = Seen()
    follower = asyncio.create_task(keep_seen(api, "ns", PODS, seen))
    async with asyncio.timeout(60):
        while not seen.all(PODS):
            await seen.wait(1.0)
    follower.cancel()
    target = server.requests[2].split(" ")[1]
    assert (f"resourceVersion={version}" in target) if version else ("watch=" not in target)
