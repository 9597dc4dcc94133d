"""A result has a record of all messages of its scenario: bounded, counted, without secrets."""

from __future__ import annotations

import json

import pytest
from seatrial_runner.scenario.brokers.interface import Arrived
from seatrial_runner.scenario.messages.feed import Feed
from seatrial_runner.scenario.messages.recording import MAX_BYTES, MAX_SHOWN, recorded
from seatrial_runner.scenario.messages.tape import Tape
from seatrial_runner.scenario.redaction import Redactor

from tests.support.fake_broker import FakeBroker, from_, to, use
from tests.support.scenarios import run_steps


@pytest.fixture
def run(monkeypatch):
    world = use(monkeypatch, FakeBroker())
    return lambda *steps: run_steps(list(steps), world)


def test_all_messages_are_in_the_result_also_of_a_scenario_that_passed(run):
    result = run(
        to(json_={"id": 1}, key="k", headers={"trace": "a", "authorization": "Bearer abcdef"}),
        to(json_={"id": 2}),
        from_(),
        from_("others", count=0, within="1ms"),
    )
    assert result.outcome == "passed", result.details
    record = json.loads(json.dumps(result.to_json()))["recorded"]["messages"]
    assert (record["total"], record["leftOut"]) == (2, 0)
    assert record["subscriptions"] == [
        {"name": "topic orders of events", "messages": 2, "missed": []},
        {"name": "topic others of events", "messages": 0, "missed": []},
    ]
    first = record["messages"][0]
    assert first["from"] == "topic orders of events"
    assert (first["topic"], first["key"], first["text"]) == ("orders", "k", '{"id": 1}')
    assert first["headers"] == {"trace": "a", "authorization": "***"}
    properties = result.to_case()["properties"]
    assert properties["messages: topic orders of events"] == "2"


def test_a_failure_ends_with_the_messages_that_came(run):
    result = run(to(json_={"id": 1}), from_(where="message.json.id == 2", within="1ms"))
    tail = result.details[result.details.index("Messages recorded: 1") :]
    assert "1  topic orders of events" in tail
    assert 'orders, offset 0: {"id": 1}' in tail


def test_a_scenario_without_messages_has_no_record(run):
    assert run({"expect": ["true"]}).recorded == {}


def test_of_many_the_first_and_the_last_are_shown():
    tape = Tape()
    feed = Feed("topic t", 0, tape)
    feed.deliver([Arrived("t", b"%d" % n) for n in range(1000)])
    record = recorded(tape, [feed], Redactor())
    numbers = [each["number"] for each in record["messages"]]
    assert numbers == [*range(1, 101), *range(901, 1001)]
    assert (record["total"], record["leftOut"]) == (1000, 1000 - MAX_SHOWN)


def test_large_ones_are_cut_and_left_out_with_a_count():
    tape = Tape()
    feed = Feed("topic t", 0, tape)
    feed.deliver([Arrived("t", b"x" * 5000) for _ in range(300)])
    record = recorded(tape, [feed], Redactor())
    assert len(json.dumps(record)) < 1.1 * MAX_BYTES
    assert record["messages"][0]["bytes"] == 5000
    assert record["leftOut"] == 300 - len(record["messages"]) > 0
    assert record["messages"][-1]["number"] == 300


def test_what_the_tape_had_no_room_for_is_told():
    tape = Tape(block_bytes=10, max_bytes=1, max_messages=2)
    feed = Feed("topic t", 0, tape)
    feed.deliver([Arrived("t", b"x")] * 3)
    record = recorded(tape, [feed], Redactor())
    assert (record["withoutBody"], record["dropped"]) == (1, 1)
    assert record["subscriptions"][0]["missed"] == ["1 more came than can be recorded"]
