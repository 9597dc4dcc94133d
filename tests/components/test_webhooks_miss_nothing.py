"""A webhook is open before anything can call it: many scenarios, and no call is missed."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator

import pytest
from seatrial_runner.scenario import World

from tests.support.loopback import Answer, Asked, Loopback
from tests.support.scenarios import run_steps

RUNS = 1000


class Hasty(Loopback):
    """Calls back before it answers: sooner than any step could begin to listen."""

    def respond(self, asked: Asked) -> Answer:
        body = asked.json()
        request = urllib.request.Request(body["url"], json.dumps({"id": body["id"]}).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Answer(202, json={"told": answer.status})


@pytest.fixture
def hasty() -> Iterator[Hasty]:
    with Hasty() as each:
        yield each


def test_no_call_is_missed(hasty: Hasty) -> None:
    world = World(base_urls={"orders": hasty.url})
    failed: list[str] = []

    def some(first: int) -> None:
        for number in range(first, RUNS, 4):
            wish = {"url": "{{ webhooks.paid }}", "id": number}
            steps = [
                {"http": {"post": "http://orders:8080/pay", "json": wish}},
                {"webhook": {"name": "paid", "where": [f"request.json.id == {number}"]}},
            ]
            result = run_steps(steps, world)
            if result.outcome != "passed":
                failed.append(result.message)

    threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(hasty.asked) == RUNS
