"""A broker in memory, and one that is out of order, for tests of what is made of messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from seatrial_runner.scenario.brokers.interface import (
    Arrived,
    BrokerError,
    Outgoing,
    Place,
    Receiver,
)
from seatrial_runner.scenario.kinds import message
from seatrial_runner.scenario.world import World


class FakeBroker:
    """
    Delivers what is published to whoever has subscribed before.

    Attributes:
        subscribed: Places, in order.
        on_publish: Called with each receiver after a message has been delivered to it.
        refuses: Raised by ``start``.
        waiting: By queue, how many messages wait.
    """

    def __init__(self) -> None:
        self.subscribed: list[Place] = []
        self.published: list[tuple[Place, Outgoing]] = []
        self.receivers: list[tuple[Place, Receiver]] = []
        self.on_subscribe: Callable[[Receiver], None] = lambda receiver: None
        self.refuses: BrokerError | None = None
        self.waiting: dict[str, int] = {}
        self.closed = 0

    async def start(self) -> None:
        if self.refuses:
            raise self.refuses

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        self.subscribed.append(place)
        self.receivers.append((place, receiver))
        self.on_subscribe(receiver)

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        for number, each in enumerate(messages):
            self.published.append((place, each))
            more: dict[str, Any] = {"offset": number}
            if each.partition is not None:
                more["partition"] = each.partition
            arrived = Arrived(place.topic, each.body, 0.0, each.key, dict(each.headers), more)
            for subscribed, receiver in self.receivers:
                if subscribed.topic == place.topic:
                    receiver.deliver([arrived])

    async def backlog(self, place: Place) -> int:
        if place.queue not in self.waiting:
            raise BrokerError(f"there is no queue {place.queue!r}")
        return self.waiting[place.queue]

    async def close(self) -> None:
        self.closed += 1


def use(monkeypatch: pytest.MonkeyPatch, broker: FakeBroker) -> World:
    """Put it in place of the adapters; gives a world in which it is the service ``events``."""
    monkeypatch.setattr(message, "adapter", lambda url, tls: broker)
    return World(connections={"events": "kafka://u:s3cret-of-kafka@broker:9092"})


def to(topic: str = "orders", json_: Any = None, **more: Any) -> dict[str, Any]:
    """Write a step that publishes."""
    body = {} if json_ is None else {"json": json_}
    return {"message": {"to": "events", "topic": topic, **body, **more}}


def from_(topic: str = "orders", expect: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Write a step that waits."""
    step: dict[str, Any] = {"message": {"from": "events", "topic": topic, **more}}
    return step | ({"expect": list(expect)} if expect else {})


def body(value: Any) -> bytes:
    """Write JSON as a broker carries it."""
    return json.dumps(value).encode()
