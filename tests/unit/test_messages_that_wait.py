"""How many messages wait is asked for, and none of them is read."""

from __future__ import annotations

import pytest

from tests.support.fake_broker import FakeBroker, use
from tests.support.scenarios import run_steps


@pytest.fixture
def broker() -> FakeBroker:
    broker = FakeBroker()
    broker.waiting = {"packing": 3}
    return broker


@pytest.fixture
def run(monkeypatch, broker):
    world = use(monkeypatch, broker)
    return lambda *steps: run_steps(list(steps), world)


def backlog(expect: str, queue: str = "packing") -> dict:
    step = {"message": {"from": "events", "queue": queue, "backlog": True}}
    return {**step, "expect": [expect]}


def test_what_waits_is_a_number(run, broker):
    result = run(backlog("backlog == 3"), backlog("backlog > 2"))
    assert result.outcome == "passed", result.details
    assert broker.subscribed == []
    assert result.recorded == {}


def test_one_that_waits_is_not_none(run):
    result = run(backlog("backlog == 0"))
    assert result.outcome == "failed"
    assert "(backlog of queue packing): expected backlog == 0" in result.message
    assert "but backlog is 3" in result.message
    assert "Waiting in queue packing of events: 3" in result.details


def test_a_queue_that_is_not_there_is_told(run):
    result = run(backlog("backlog == 0", queue="packer"))
    assert "there is no queue 'packer'" in result.message


def test_it_is_asked_again_until_nothing_waits(run, broker):
    class Emptying(dict):
        def __getitem__(self, name: str) -> int:
            number: int = super().__getitem__(name)
            self[name] = max(0, number - 1)
            return number

    broker.waiting = Emptying(packing=2)
    result = run({**backlog("backlog == 0"), "eventually": {"within": "30s", "every": "1ms"}})
    assert result.outcome == "passed", result.details
    assert result.steps[0].tries == 3
