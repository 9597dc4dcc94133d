"""A broker is restarted under a subscription: nothing is lost that it keeps, and loss is told."""

from __future__ import annotations

from seatrial_runner.scenario import World

from tests.support.message_cases import Way
from tests.support.scenarios import run_steps


class Restart:
    """A fault: the broker goes and comes back, and someone publishes before the tester is back."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def start(self, name: str) -> None:
        self._way.broker.stop()
        self._way.broker.start()
        step = self._way.to({"n": 2})
        done = self._way.run({**step, "eventually": {"within": "60s"}})
        assert done.outcome == "passed", done.message

    def stop(self, name: str) -> None:
        raise NotImplementedError

    def status(self, name: str) -> dict[str, str]:
        raise NotImplementedError


def test_nothing_is_lost_that_the_broker_keeps(way):
    steps = [
        way.to({"n": 1}),
        {"fault": {"start": "restart"}},
        {**way.to({"n": 3}), "eventually": {"within": "60s"}},
        way.from_(where="message.json.n == 3", within="60s"),
        way.from_(count=2, unique="message.json.n", ordered={"by": "message.json.n"}, within="60s"),
    ]
    if not way.case.keeps:
        steps[4] = way.from_(count=2, within="500ms")
    world = World(connections={"events": way.broker.url}, faults=Restart(way))
    result = run_steps(steps, world)
    if way.case.keeps:
        assert result.outcome == "passed", result.details
    else:
        assert result.outcome != "passed"
        assert "NATS keeps no message of a subject: some may have been missed" in result.message
