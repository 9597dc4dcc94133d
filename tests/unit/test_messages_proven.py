"""What may have been missed, and what was not kept, is no proof of a number, nor of uniqueness."""

from __future__ import annotations

import asyncio

import pytest
from seatrial_runner.scenario.brokers.interface import Arrived
from seatrial_runner.scenario.kinds import message
from seatrial_runner.scenario.messages.tape import Tape

from tests.support.fake_broker import FakeBroker, from_, to, use
from tests.support.scenarios import run_steps


@pytest.fixture
def broker():
    return FakeBroker()


@pytest.fixture
def run(broker, monkeypatch):
    world = use(monkeypatch, broker)
    return lambda *steps: run_steps(list(steps), world)


@pytest.mark.parametrize("step", [from_(count=0, within="10ms"), from_(count=1, settle="0s")])
def test_a_number_proves_nothing_where_messages_may_have_been_missed(run, broker, step):
    def doubtful(receiver):
        receiver.missed("the connection was lost")
        if step["message"]["count"]:
            receiver.deliver([Arrived("orders", b"{}")])

    broker.on_subscribe = doubtful
    result = run(step)
    assert result.outcome == "error"
    assert "there were: the connection was lost" in result.message


@pytest.fixture
def no_room(monkeypatch):
    """Keep only the first body."""
    monkeypatch.setattr(message, "Tape", lambda max_bytes: Tape(block_bytes=10, max_bytes=1))


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize(
    "where",
    [
        "message.json.id == 2",
        "message.text.contains('2')",
        "message.text == '2'",
        "message.base64 == 'Mg=='",
        "message.json == null",
        "message.json.is_meant",
        "message.headers.kind == 'order' && message.json.id == 2",
    ],
)
@pytest.mark.parametrize("count", [0, 1])
def test_a_number_proves_nothing_where_bodies_were_dropped(run, where, count):
    published = [to(json_={"id": n}, headers={"kind": "order"}) for n in (1, 2)]
    if count:
        published[0]["message"]["key"] = "meant"
        where = f"message.key == 'meant' || {where}"
    result = run(*published, from_(where=where, count=count, within="10ms", settle="1ms"))
    assert result.outcome == "error", result.message
    assert "there were: of 1 message the body was not kept: too many came" in result.message


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("message.headers.kind == 'other' && message.json.id == 2", 0),
        ("message.headers.other == 'x'", 0),
        ("message.headers.kind == 'order'", 2),
    ],
)
def test_a_number_that_needs_no_body_is_proved_without(run, where, count):
    published = [to(json_={"id": n}, headers={"kind": "order"}) for n in (1, 2)]
    result = run(*published, from_(where=where, count=count, within="10ms"))
    assert result.outcome == "passed", result.message


@pytest.mark.usefixtures("no_room")
def test_who_waited_in_vain_is_told_that_bodies_were_dropped(run):
    step = from_(where="message.json.id == 2", within="10ms")
    message = run(to(json_={"id": 1}), to(json_={"id": 2}), step).message
    assert "(of 1 message the body was not kept: too many came)" in message


@pytest.mark.usefixtures("no_room")
def test_messages_without_bodies_are_no_duplicates(run):
    step = from_(atLeast=3, unique="message.text")
    message = run(*[to(json_=n) for n in range(3)], step).message
    assert "message 2 has no message.text: the message's body was not kept" in message


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("body", ["text != 'bad'", "json != 'bad'", "base64 != 'YmFk'"])
@pytest.mark.parametrize(
    ("step", "expect"),
    [
        (from_(count=2), "messages.all(m, m.{})"),
        (from_(atLeast=2), "!messages.exists(m, !(m.{}))"),
        (from_(count=2), "message.{}"),
        (from_(where="message.key == 'second'"), "message.{}"),
        (from_(where="message.key == 'second'"), "messages[0].{}"),
        (from_(), "message.key == 'second' && message.{}"),
        (from_(), "message.key == 'second' && messages.all(m, m.{})"),
    ],
)
def test_no_expectation_holds_of_a_body_that_was_dropped(run, body, step, expect):
    published = [to(text="good", key="first"), to(text="bad", key="second")]
    step = {"message": {"within": "10ms", **step["message"]}, "expect": [expect.format(body)]}
    result = run(*published, step)
    assert result.outcome == "failed", result.details
    assert "body was not kept: too many came" in result.message


@pytest.mark.usefixtures("no_room")
def test_what_needs_no_body_holds_without(run):
    expect = ["messages.map(m, m.key) == ['1', '2']", "message.key == '2' || message.text == ''"]
    published = [to(json_=1, key="1"), to(json_=2, key="2")]
    result = run(*published, from_(count=2, expect=expect), {"expect": ["message.key == '2'"]})
    assert result.outcome == "passed", result.details


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize(
    "step",
    [
        {"capture": {"seen": "message.json"}},
        {"set": {"seen": "messages[1].json"}},
        to(text="{{ message.text }}"),
        to(text="{{ messages[1].text }}"),
    ],
)
def test_a_body_that_was_dropped_is_no_value(run, step):
    published = [to(json_=1), to(json_=2)]
    wait = from_(count=2)
    steps = [wait | step] if "capture" in step else [wait, step]
    assert run(*published, *steps).outcome == "failed"


@pytest.mark.parametrize(
    "wanted", [{"unique": "message.text"}, {"ordered": {"by": "message.text"}}]
)
@pytest.mark.parametrize("doubt", ["the connection was lost", "1 more came than can be recorded"])
def test_what_was_missed_may_be_a_duplicate_or_out_of_order(
    run, broker, monkeypatch, wanted, doubt
):
    if "lost" in doubt:
        broker.on_subscribe = lambda receiver: receiver.missed(doubt)
    else:
        monkeypatch.setattr(message, "Tape", lambda max_bytes: Tape(max_messages=2))
    published = [to(text="1"), to(text="2"), *([] if "lost" in doubt else [to(text="1")])]
    result = run(*published, from_(atLeast=2, settle="1ms", **wanted))
    assert result.outcome == "error", result.message
    assert f"nobody can say which messages from topic orders of events there were: {doubt}" in (
        result.message
    )


@pytest.mark.usefixtures("no_room")
def test_a_message_that_may_be_meant_may_be_a_duplicate(run):
    published = [to(json_=1, key="a"), to(json_=1, key="a")]
    result = run(*published, from_(where="message.json == 1", unique="message.key"))
    assert result.outcome == "error", result.message
    assert "there were: of 1 message the body was not kept: too many came" in result.message


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"unique": "message.text", "count": 2}, "duplicates among 2"),
        ({"ordered": {"by": "message.headers.n"}, "atLeast": 2}, "wrong order among 2"),
    ],
)
def test_a_duplicate_that_was_seen_is_one_whatever_was_missed(run, broker, wanted, told):
    broker.on_subscribe = lambda receiver: receiver.missed("the connection was lost")
    published = [to(text="x", headers={"n": "2"}), to(text="x", headers={"n": "1"})]
    result = run(*published, from_(settle="1ms", **wanted))
    assert result.outcome == "failed", result.message
    assert told in result.message


def test_that_there_are_enough_is_true_whatever_was_missed(run, broker):
    broker.on_subscribe = lambda receiver: receiver.missed("the connection was lost")
    assert run(to(text="1"), to(text="1"), from_(atLeast=2)).outcome == "passed"


def test_a_number_waits_for_a_broker_that_is_away_for_a_while(run, broker):
    def away(receiver):
        receiver.deliver([Arrived("orders", b"1"), Arrived("orders", b"2")])
        receiver.waiting("the broker restarts", away=True)
        asyncio.get_running_loop().call_later(0.1, receiver.waiting, "")

    broker.on_subscribe = away
    result = run(from_(count=2, settle="1ms"))
    assert result.outcome == "passed", result.message


def test_one_too_many_that_comes_when_the_broker_is_back_is_seen(run, broker):
    def away(receiver):
        receiver.deliver([Arrived("orders", b"1")])
        receiver.waiting("the broker restarts", away=True)

        def back():
            receiver.waiting("")
            receiver.deliver([Arrived("orders", b"2")])

        asyncio.get_running_loop().call_later(0.1, back)

    broker.on_subscribe = away
    assert "expected 1" in run(from_(count=1, settle="10s")).message


def test_who_waited_in_vain_is_told_what_may_have_been_missed(run, broker):
    broker.on_subscribe = lambda receiver: receiver.missed("the connection was lost")
    assert "(the connection was lost)" in run(from_(within="10ms")).message


def test_what_is_not_there_yet_is_told(run, broker):
    broker.on_subscribe = lambda receiver: receiver.waiting("Kafka has no topic orders yet")
    assert "(Kafka has no topic orders yet)" in run(from_(within="10ms")).message
