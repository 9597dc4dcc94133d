"""The same scenarios for every broker: where messages go there, and how each is asked for them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seatrial_runner.scenario import InstanceResult, World

from tests.support.brokers import BrokerProcess
from tests.support.scenarios import run_steps

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Case:
    """
    A way of messages.

    Attributes:
        fixture: That gives the broker.
        target: Where to publish; ``{}`` stands for a name that no other test has.
        source: Where to read.
        keeps: What is published while the tester is cut off is delivered afterwards.
        prepare: An admin's steps before the scenario, for ``prepared``.
    """

    fixture: str
    target: dict[str, Any]
    source: dict[str, Any]
    keeps: bool = True


CASES = {
    "kafka": Case("kafka", {"topic": "orders-{}"}, {"topic": "orders-{}"}),
    "rabbitmq-exchange": Case(
        "rabbitmq",
        {"exchange": "amq.topic", "routingKey": "{}.created"},
        {"exchange": "amq.topic", "routingKey": "{}.*"},
    ),
    "rabbitmq-queue": Case("rabbitmq", {"queue": "orders-{}"}, {"queue": "orders-{}"}),
    "nats": Case("nats", {"subject": "{}.created"}, {"subject": "{}.*"}, keeps=False),
    "jetstream": Case(
        "nats", {"stream": "orders-{}", "subject": "{}.created"}, {"stream": "orders-{}"}
    ),
    "redis": Case("redis", {"stream": "orders-{}"}, {"stream": "orders-{}"}),
    "mqtt": Case("mosquitto", {"topic": "{}/created"}, {"topic": "{}/+"}),
}

# And those that read as one of a group, which have a memory of their own to lose.
WITH_GROUPS = {
    **CASES,
    "redis-group": Case(
        "redis", {"stream": "orders-{}"}, {"stream": "orders-{}", "group": "packing"}
    ),
}


class Way:
    """A case, with a broker and names of its own."""

    def __init__(self, case: Case, broker: BrokerProcess) -> None:
        self.case = case
        self.broker = broker
        self.name = f"t{next(_NUMBERS)}"
        self.target = self._named(case.target)
        self.source = self._named(case.source)

    def _named(self, place: dict[str, Any]) -> dict[str, Any]:
        return {key: value.replace("{}", self.name) for key, value in place.items()}

    def to(self, json: Any = None, **more: Any) -> dict[str, Any]:
        body = {} if json is None else {"json": json}
        return {"message": {"to": "events", **self.target, **body, **more}}

    def from_(self, expect: Sequence[str] = (), **more: Any) -> dict[str, Any]:
        # Patience with a busy machine; who waits for none waits to the end.
        patience = {} if more.get("count") == 0 else {"within": "30s"}
        step: dict[str, Any] = {"message": {"from": "events", **self.source, **patience, **more}}
        return step | ({"expect": list(expect)} if expect else {})

    def run(
        self, *steps: dict[str, Any], url: str = "", faults: Any = None, **test: Any
    ) -> InstanceResult:
        """Run a scenario; ``faults`` may do things between its steps."""
        more = {"faults": faults} if faults else {}
        world = World(connections={"events": url or self.broker.url}, **more)
        return run_steps(list(steps), world, **test)
