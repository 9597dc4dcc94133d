"""Connections are cut while messages are on their way: each is delivered, once, or loss is told."""

from __future__ import annotations

from typing import Any

from tests.support import publisher
from tests.support.cut_connections import cutting
from tests.support.message_cases import Way

COUNT = 20_000
EVERY, TIMES = 200_000, 5  # all messages together are some 2,600,000 bytes


class Publishing:
    """A fault that is a system under test: it publishes at full speed, by a way of its own."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._process: Any = None

    def __enter__(self) -> Publishing:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self, name: str) -> None:
        self._process = publisher.started(self._way.broker.url, self._way.target, COUNT, 100)

    def stop(self, name: str) -> None:
        assert self._process.wait(timeout=300) == 0

    def status(self, name: str) -> dict[str, Any]:
        return {}


def test_what_was_on_its_way_is_delivered_once_or_loss_is_told(way):
    go, end = {"fault": {"start": "go"}}, {"fault": {"stop": "go"}}
    all_of_them = way.from_(
        count=COUNT, unique="message.json.n", ordered={"by": "message.json.n"}, within="5m"
    )
    back = [
        {**way.to({"n": COUNT + 1}), "eventually": {"within": "60s"}},
        way.from_(where=f"message.json.n == {COUNT + 1}", within="60s"),
        way.from_(count=COUNT, within="100ms"),
    ]
    steps = [go, all_of_them, end] if way.case.keeps else [go, end, *back]
    broker = way.broker
    with (
        Publishing(way) as publishing,
        cutting(broker.far_port, broker.near_port, every=EVERY, times=TIMES) as cut,
    ):
        result = way.run(*steps, url=broker.near_url(cut.port), faults=publishing, timeout="10m")
    if way.case.keeps:
        assert result.outcome == "passed", result.details
        assert cut.cuts == TIMES
    else:
        assert result.outcome != "passed"
        assert "NATS keeps no message of a subject: some may have been missed" in result.message
        assert cut.cuts > 0
