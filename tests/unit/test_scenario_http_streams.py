"""Responses that are read as they come: server-sent events and lines, from a real server."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from seatrial_runner.scenario import exchange, streaming

from tests.support.loopback import Loopback
from tests.support.scenarios import a_world, get, run_steps

SSE = {"Content-Type": "text/event-stream"}


@pytest.fixture
def system() -> Iterator[Loopback]:
    with Loopback() as each:
        yield each


class Feed(Loopback):
    """Sends pieces, and holds the connection open until its client goes; or ends it."""

    def __init__(self, *pieces: bytes, kind: str = "text/event-stream", open_end: bool = True):
        super().__init__()
        self.pieces, self.kind, self.open_end = pieces, kind, open_end

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", self.kind)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        for piece in self.pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()
        if self.open_end:
            handler.connection.recv(1)  # until the client is gone


def read(feed: Loopback, stream: dict[str, Any], *expect: str, **http: Any) -> Any:
    step = {"http": get(stream=stream, timeout="20s", **http), "expect": list(expect)}
    return run_steps([step], a_world(feed.url))


ORDERS = (
    b': a comment\n\nevent: created\nid: 7\ndata: {"id": 1}\n\n',
    b"data: first\r\ndata: second\r\n\r\ndata",
    b': {"id": 2}\n\n',
)


def test_events_are_taken_until_there_are_enough() -> None:
    with Feed(*ORDERS) as feed:
        result = read(
            feed,
            {"count": 3},
            "response.events[0] == {'event': 'created', 'id': '7', 'data': '{\"id\": 1}',"
            " 'json': {'id': 1}}",
            "response.events[1].data == 'first\\nsecond'",
            "response.events[1].event == 'message'",
            "response.event.json.id == 2",
            "size(response.events) == 3",
        )
    assert result.outcome == "passed", result.details


def test_events_are_taken_until_a_condition_holds() -> None:
    with Feed(*ORDERS) as feed:
        until = "response.event.json.id == 2 && size(response.events) > 2"
        assert read(feed, {"until": until}, "size(response.events) == 3").outcome == "passed"


def test_an_expectation_on_events_can_fail() -> None:
    with Feed(*ORDERS) as feed:
        result = read(feed, {"count": 1}, "response.event.json.id == 2")
    assert "but response.event.json.id is 1" in result.message


def test_events_are_taken_for_a_time() -> None:
    with Feed(*ORDERS) as feed:
        read(feed, {"count": 1})  # so that all is imported when the time begins
        # At the end of the request's time it would fail.
        result = read(feed, {"for": "3s"}, "size(response.events) == 3")
    assert result.outcome == "passed", result.details


def test_a_time_that_was_cut_short_is_told() -> None:
    with Feed(*ORDERS) as feed:
        read(feed, {"count": 1})  # so that all is imported when the time begins
        step = {"http": get(stream={"for": "20s"}), "eventually": {"within": "100ms"}}
        result = run_steps([step], a_world(feed.url))
    assert result.outcome == "failed"
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 20 s")


def test_lines_are_taken_where_there_are_no_events() -> None:
    pieces = (b'{"n": 1}\r', b'\n{"n": 2}\nno json')
    with Feed(*pieces, kind="application/x-ndjson", open_end=False) as feed:
        result = read(
            feed,
            {},
            "response.events.map(e, e.data) == ['{\"n\": 1}', '{\"n\": 2}', 'no json']",
            "response.events[1].json.n == 2",
            "response.event.json == null",
        )
    assert result.outcome == "passed", result.details


def test_a_stream_that_ends_too_early_is_told() -> None:
    with Feed(*ORDERS, open_end=False) as feed:
        result = read(feed, {"count": 4})
    assert result.message.endswith("the stream ended after 3 events, before 4")


def test_a_stream_in_which_nothing_comes_in_time_is_told() -> None:
    with Feed(*ORDERS) as feed:
        read(feed, {"count": 1})  # so that all is imported when the time begins
        step = {"http": get(stream={"until": "response.event.json.id == 9"}, timeout="3s")}
        result = run_steps([step], a_world(feed.url))
    assert "3 events within 3 s, and not response.event.json.id == 9" in result.message


def test_a_condition_that_cannot_be_read_is_told_at_once() -> None:
    with Feed(*ORDERS) as feed:
        result = read(feed, {"until": "response.nothing == 1"})
    assert "stream.until: response.nothing == 1: response has no field 'nothing'" in result.message


def test_a_refusal_is_an_answer_with_no_events(system: Loopback) -> None:
    system.answer("GET /orders/1", status=401, json={"error": "who?"})
    result = read(system, {"count": 1}, "response.status == 401", "response.events.size() == 1")
    assert result.outcome == "passed", result.message


def test_a_line_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_LINE", 2**20)
    with Feed(*[b"data: " + b"x" * 2**16] * 20) as feed:
        result = read(feed, {"count": 1})
    assert result.message.endswith("a line is longer than 1 MiB, the most a scenario reads")


def test_an_event_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_LINE", 2**16)
    with Feed(*[b"data: " + b"x" * 2**10 + b"\n"] * 100) as feed:
        result = read(feed, {"count": 1})
    assert "an event is longer than" in result.message


def test_events_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_EVENTS", 100)
    with Feed(b"data: x\n\n" * 200) as feed:
        result = read(feed, {"for": "5s"})
    assert "more than 100 events came, the most a scenario reads" in result.message


def test_a_stream_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_RESPONSE_BYTES", 2**20)
    monkeypatch.setattr(
        "seatrial_runner.scenario.kinds.http_stream.MAX_RESPONSE_BYTES", 2**20, raising=False
    )
    with Feed(*[b": " + b"x" * 2**16 + b"\n\n"] * 40) as feed:
        result = read(feed, {"count": 1})
    assert "the stream is larger than 1 MiB, the most a scenario reads" in result.message
