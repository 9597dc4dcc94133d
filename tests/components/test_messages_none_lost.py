"""The tester loses no message: subscribed is subscribed, and full speed is not too fast."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from seatrial_runner.scenario import World
from seatrial_runner.scenario.brokers import adapter
from seatrial_runner.scenario.brokers.interface import Broker, Outgoing

from tests.support import publisher
from tests.support.broker_admin import prepare
from tests.support.message_cases import CASES, Way
from tests.support.publisher import place_of
from tests.support.scenarios import run_steps


class Hot:
    """
    A system under test that publishes when it is told to, which is the scenario's action.

    It has connected long before, so that nothing gives a subscription more time.
    """

    def __init__(self, way: Way) -> None:
        self._place = place_of(way.target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._broker = self._do(self._connected(way.broker.url))
        if "queue" not in way.source:  # it would wait there for the first tester
            self.start("n0")

    def start(self, name: str) -> None:
        body = json.dumps({"n": int(name.removeprefix("n"))}).encode()
        self._do(self._broker.publish(self._place, [Outgoing(body)]))

    def stop(self, name: str) -> None:
        raise AssertionError(name)

    def status(self, name: str) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self._do(self._broker.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connected(self, url: str) -> Broker:
        broker = adapter(url)
        await broker.start()
        return broker

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


def miss_none(ways: list[Way], runs: int) -> None:
    """Run scenarios whose first step makes the system publish, each a tester of its own."""

    def some(way: Way, share: int) -> list[str]:
        failed = []
        with contextlib.closing(Hot(way)) as hot:
            for number in range(1, share + 1):
                steps = [
                    {"fault": {"start": f"n{number}"}},
                    way.from_(count=1, within="30s"),
                    {"expect": [f"messages.map(m, m.json.n) == [{number}.0]"]},
                ]
                result = way.run(*steps, faults=hot)
                if result.outcome != "passed":
                    failed.append(f"run {number} of {share}: {result.message}")
        return failed

    share = -(-runs // len(ways))
    with ThreadPoolExecutor(len(ways)) as threads:
        told = list(threads.map(lambda way: some(way, share), ways))
    assert [each for some_told in told for each in some_told] == []


@pytest.fixture(params=CASES)
def ways(request):
    """A few places of a kind, at which testers are busy at the same time."""
    case = CASES[request.param]
    made = [Way(case, request.getfixturevalue(case.fixture)) for _ in range(4)]
    for each in made:
        prepare(each)
    return made


def test_what_the_first_step_sets_off_is_seen_a_thousand_times_by_all_brokers_together(ways):
    miss_none(ways, -(-1000 // len(CASES)))


@pytest.mark.slow
def test_it_is_seen_a_thousand_times_by_each(ways):
    miss_none(ways, 1000)


def all_seen(way: Way, count: int) -> None:
    class Publishing:
        """A fault that is a system under test: it publishes when it is started."""

        process = None

        def start(self, name):
            self.process = publisher.started(way.broker.url, way.target, count, 100)

        def stop(self, name):
            assert self.process.wait(timeout=300) == 0

        def status(self, name):
            return {}

    receive = way.from_(
        count=count, unique="message.json.n", ordered={"by": "message.json.n"}, within="5m"
    )
    # Order is checked where a place has one: these have one partition, one publisher.
    steps = [{"fault": {"start": "go"}}, receive, {"fault": {"stop": "go"}}]
    world = World(connections={"events": way.broker.url}, faults=Publishing())
    result = run_steps(steps, world, timeout="10m")
    assert result.outcome == "passed", result.details


def test_a_hundred_thousand_at_full_speed_are_all_seen(way):
    all_seen(way, 100_000)
