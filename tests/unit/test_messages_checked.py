"""Every check among messages fails where it should, and shows the messages."""

from __future__ import annotations

import pytest

from tests.support.fake_broker import FakeBroker, from_, to, use
from tests.support.scenarios import run_steps

SCHEMA = {"type": "object", "required": ["id"], "properties": {"total": {"type": "number"}}}


@pytest.fixture
def run(monkeypatch):
    world = use(monkeypatch, FakeBroker())
    return lambda *steps: run_steps(list(steps), world)


def published(*values, **more):
    return [to(json_=value, **more) for value in values]


def test_duplicates_are_found(run):
    step = from_(unique="message.json.id", settle="0s", atLeast=3)
    assert run(*published({"id": 1}, {"id": 2}, {"id": 3}), step).outcome == "passed"
    result = run(*published({"id": 1}, {"id": 2}, {"id": 1.0}), step)
    assert (
        "duplicates among 3 messages from topic orders of events: message.json.id is 1 in messages"
        " 1 and 3"
    ) in result.message
    shown = result.details.partition("Steps:")[0]
    assert "message 1:" in shown
    assert "message 2:" not in shown


def test_a_message_without_the_value_is_no_proof(run):
    result = run(*published({"id": 1}, {"no": 1}), from_(unique="message.json.id", atLeast=2))
    assert "message 2 has no message.json.id: no such key 'id'; keys are: no" in result.message


def test_the_wrong_order_is_found(run):
    step = from_(ordered={"by": "message.json.seq"}, settle="0s", atLeast=3)
    assert run(*published({"seq": 1}, {"seq": 1}, {"seq": 2}), step).outcome == "passed"
    result = run(*published({"seq": 1}, {"seq": 3}, {"seq": 2}), step)
    assert (
        "wrong order among 3 messages from topic orders of events: message.json.seq falls from 3"
        " to 2 (messages 2 and 3)"
    ) in result.message
    shown = result.details.partition("Steps:")[0]
    assert '"seq": 3' in shown
    assert '"seq": 1' not in shown


def test_order_can_be_asked_for_within_a_key(run):
    steps = [
        to(json_={"seq": 1}, key="a"), to(json_={"seq": 5}, key="b"), to(json_={"seq": 2}, key="a"),
    ]  # fmt: skip
    step = from_(
        ordered={"by": "message.json.seq", "within": "message.key"}, settle="0s", atLeast=3
    )
    assert run(*steps, step).outcome == "passed"
    step["message"]["atLeast"] = 4
    result = run(*steps, to(json_={"seq": 4}, key="b"), step)
    assert 'falls from 5 to 4 where message.key is "b" (messages 2 and 4)' in result.message


def test_values_that_cannot_be_compared_have_no_order(run):
    step = from_(ordered={"by": "message.json.seq"}, atLeast=2, settle="0s")
    result = run(*published({"seq": 1}, {"seq": "2"}), step)
    assert 'cannot be compared: 1 and "2"' in result.message


def test_a_schema_is_checked_in_every_message(run):
    step = from_(schema=SCHEMA, count=2, settle="0s")
    assert run(*published({"id": 1}, {"id": 2, "total": 1.5}), step).outcome == "passed"
    result = run(*published({"id": 1}, {"total": "x"}), step)
    assert (
        "schema not met among 2 messages from topic orders of events: message 2:"
    ) in result.message
    assert "(and 1 more)" in result.message
    assert '"total": "x"' in result.details


def test_a_schema_says_where(run):
    result = run(*published({"id": 1, "total": "x"}), from_(schema=SCHEMA))
    assert 'message 1: message.json.total: "x" is not of type "number"' in result.message


def test_what_is_no_json_does_not_meet_a_schema(run):
    result = run(to(text="x"), from_(schema=SCHEMA))
    assert "message 1: the message is no JSON" in result.message


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "strin"}, "schema: the schema is none"),
        ({"$ref": "http://example.com/schema.json"}, "a schema must hold all that it refers to"),
    ],
)
def test_a_schema_that_is_none_is_refused(run, schema, told):
    assert told in run(to(json_=1), from_(schema=schema)).message


def test_many_offences_are_counted(run):
    result = run(*published(*[{"id": 1}] * 6), from_(unique="message.json.id", atLeast=6))
    assert result.message.endswith("; and 2 more")
