"""Which message a step takes, how many it asks for, and what it says when they do not come."""

from __future__ import annotations

import asyncio
import time
from array import array
from datetime import UTC, datetime

import pytest
from seatrial_runner.scenario.brokers.interface import Arrived, BrokerError
from seatrial_runner.scenario.kinds import message
from seatrial_runner.scenario.messages.feed import Feed
from seatrial_runner.scenario.messages.tape import Tape

from tests.support.fake_broker import FakeBroker, body, from_, to, use
from tests.support.scenarios import run_steps


@pytest.fixture
def broker():
    return FakeBroker()


@pytest.fixture
def run(broker, monkeypatch):
    world = use(monkeypatch, broker)
    return lambda *steps: run_steps(list(steps), world)


def test_a_message_is_seen_with_all_that_the_broker_says_of_it(run, broker):
    expect = [
        "message.json.orderId == 7",
        "message.text.startsWith('{')",
        "message.base64 == 'eyJvcmRlcklkIjogN30='",
        "message.headers.trace == 'abc'",
        "message.key == 'k'",
        "message.topic == 'orders'",
        "message.partition == 3",
        "message.offset == 0",
        "!message.redelivered && !message.retained",
        "message.deadLetter == null",
        "message.timestamp > timestamp('2024-01-01T00:00:00Z')",
        "message.elapsed >= duration('0s')",
        "size(messages) == 1 && messages[0].json == message.json",
    ]
    steps = [
        to(json_={"orderId": 7}, key="k", partition=3, headers={"trace": "abc"}),
        from_(expect=expect),
    ]
    result = run(*steps)
    assert result.outcome == "passed", result.details
    assert broker.closed == 1


def test_the_subscription_is_open_before_the_first_step(run, broker):
    assert run({"expect": ["true"]}, to(json_=1), from_()).outcome == "passed"
    assert [place.topic for place in broker.subscribed] == ["orders"]


def test_steps_with_the_same_source_share_one_subscription(run, broker):
    steps = [to(json_=1), from_(), to(json_=2), from_(expect=["message.json == 2"])]
    assert run(*steps).outcome == "passed"
    assert len(broker.subscribed) == 1


def test_each_message_is_taken_once(run):
    result = run(to(json_=1), from_(), from_(within="10ms"))
    assert "step 3 of 3" in result.message
    assert "no message from topic orders of events within 0.01 s" in result.message


class TakenMeanwhile(Feed):
    """Another step takes the first message between this one's look and its taking."""

    def take(self, indices):
        if not self._first:
            super().take([0])
        return super().take(indices)


@pytest.mark.parametrize(
    "step",
    [
        from_(where="true", expect=["message.json == 2"]),
        from_(atLeast=1, expect=["messages.map(m, m.json) == [2]"]),
    ],
)
def test_what_another_has_taken_meanwhile_is_not_taken_again(run, monkeypatch, step):
    monkeypatch.setattr(message, "Feed", TakenMeanwhile)
    result = run(to(json_=1), to(json_=2), step)
    assert result.outcome == "passed", result.message


@pytest.mark.parametrize("step", [from_(within="10ms"), from_(count=1, settle="0s", within="10ms")])
def test_who_has_lost_the_only_message_to_another_waits_for_its_own(run, monkeypatch, step):
    monkeypatch.setattr(message, "Feed", TakenMeanwhile)
    result = run(to(json_=1), step)
    assert "no message from topic orders of events within" in result.message


def test_without_where_the_message_that_meets_the_expectations_is_taken(run):
    steps = [
        to(json_={"id": 1}), to(json_={"id": 2}),
        from_(expect=["message.json.id == 2"]), from_(expect=["message.json.id == 1"]),
    ]  # fmt: skip
    assert run(*steps).outcome == "passed"


def test_when_none_meets_the_expectations_the_nearest_is_shown(run):
    expect = ["message.json.id == 3", "message.json.status == 'paid'"]
    steps = [
        to(json_={"id": 1, "status": "new"}),
        to(json_={"id": 3, "status": "new"}),
        to(json_={"id": 2, "status": "new"}),
        from_(expect=expect, within="10ms"),
    ]
    result = run(*steps)
    assert (
        "no message from topic orders of events met the expectations within 0.01 s; of the nearest"
        " of 3 that came: expected message.json.status == 'paid', but message.json.status is"
        ' "new"'
    ) in result.message
    assert "The nearest message:\n  message 2: orders" in result.details


def test_with_where_its_message_must_meet_the_expectations_at_once(run):
    steps = [
        to(json_={"id": 1, "status": "paid"}),
        to(json_={"id": 2, "status": "new"}),
        from_(where="message.json.id == 2", expect=["message.json.status == 'paid'"], within="1h"),
    ]
    message = run(*steps).message
    assert "expected message.json.status == 'paid', but message.json.status is \"new\"" in message


def test_messages_of_another_shape_do_not_match_where(run):
    steps = [to(text="ping"), to(json_={"id": 2}), from_(where="message.json.id == 2")]
    assert run(*steps).outcome == "passed"
    result = run(to(text="ping"), from_(where="message.json.id == 2", within="10ms"))
    assert "1 message came that did not match (message 1: the message is no JSON" in result.message


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("message.json.id = 2", "where: message.json.id = 2: a single = is no operator"),
        ("message.jsn.id == 2", "message has no field 'jsn.id'; its fields are"),
        ("message.json.id + 1", "where: message.json.id + 1 is not true or false"),
        ("ordr == 2", "nothing is named 'ordr'"),
    ],
)
def test_a_where_that_cannot_work_says_so_at_once(run, where, told):
    assert told in run(to(json_={"id": 2}), from_(where=where, within="1h")).message


def test_where_sees_what_was_captured(run):
    steps = [{"set": {"order": "7"}}, to(json_={"id": 7}), from_(where="message.json.id == order")]
    assert run(*steps).outcome == "passed"


def test_a_count_is_exact(run):
    published = [to(json_={"id": 1}), to(json_={"id": 2})]
    assert run(*published, from_(count=2, settle="0s")).outcome == "passed"
    few = run(*published, from_(count=3, within="10ms"))
    assert "only 2 of 3 messages from topic orders of events within 0.01 s" in few.message
    many = run(*published, from_(count=1, settle="1ms"))
    assert "2 messages from topic orders of events, expected 1" in many.message
    assert '"id": 2' in many.details


def test_one_that_follows_while_it_settles_is_one_too_many(run, broker):
    def late(receiver):
        import threading

        timer = threading.Timer(0.05, lambda: receiver.deliver([Arrived("orders", b"{}")]))
        timer.start()

    broker.on_subscribe = late
    result = run(to(json_=1), from_(count=1, settle="10s"))
    assert "2 messages from topic orders of events, expected 1" in result.message


def test_at_least_takes_what_is_there(run):
    published = [to(json_=each) for each in (1, 2, 3)]
    assert run(*published, from_(atLeast=2, expect=["size(messages) == 3"])).outcome == "passed"
    assert "only 3 of 4 messages" in run(*published, from_(atLeast=4, within="10ms")).message


def test_what_follows_while_it_settles_is_taken_too(run, broker):
    def late(receiver):
        asyncio.get_running_loop().call_later(0.05, receiver.deliver, [Arrived("orders", b"2")])

    broker.on_subscribe = late
    two = ["size(messages) == 2", "message.json == 2"]
    result = run(to(json_=1), from_(atLeast=1, settle="1s", expect=two))
    assert result.outcome == "passed", result.message


def test_none_may_come(run):
    assert run(to(json_=1), from_(), from_(count=0, within="20ms")).outcome == "passed"
    result = run(to(json_={"id": 1}), from_(where="message.json.id == 1", count=0, within="1h"))
    assert (
        "1 message from topic orders of events where message.json.id == 1, expected none"
    ) in result.message
    assert '"id": 1' in result.details


SILENT = [
    pytest.param([from_(count=0, within="20s")], "it was watched for 0", id="none-may-come"),
    pytest.param(
        [to(json_=1), from_(count=1, settle="20s")],
        "after the last message it was watched for 0",
        id="none-may-follow",
    ),
    pytest.param(
        [to(json_=1), from_(atLeast=1, settle="20s")],
        "after the last message it was watched for 0",
        id="until-none-follows",
    ),
]


@pytest.mark.parametrize(("steps", "told"), SILENT)
def test_silence_that_was_cut_short_is_no_proof(broker, monkeypatch, steps, told):
    result = run_steps(steps, use(monkeypatch, broker), timeout="300ms")
    assert result.outcome == "failed"
    assert told in result.message
    assert result.message.endswith(" s of 20 s")


def test_silence_is_no_shorter_where_it_is_tried_again(run):
    result = run({**from_(count=0, within="20s"), "eventually": {"within": "100ms"}})
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 20 s")


def test_what_follows_is_told_although_the_time_was_cut_short(broker, monkeypatch):
    steps = [to(json_={"id": 1}), to(json_={"id": 1}), from_(unique="message.json.id", settle="1h")]
    result = run_steps(steps, use(monkeypatch, broker), timeout="300ms")
    assert "duplicates among 2 messages" in result.message


def test_a_subscription_that_broke_ends_the_wait(run, broker):
    broker.on_subscribe = lambda receiver: receiver.broken("the topic may not be read")
    result = run(from_(within="1h"))
    assert result.outcome == "error"
    assert "the topic may not be read" in result.message


class Over(Feed):
    """No more can come, and nobody waits for more."""

    def wait(self, *arguments):
        raise AssertionError("no more can come")

    wait_until_back = wait


@pytest.mark.parametrize("wanted", [{}, {"count": 0}, {"count": 2}, {"atLeast": 2}])
def test_none_is_waited_for_where_there_is_no_room_for_more(run, monkeypatch, wanted):
    monkeypatch.setattr(message, "Feed", Over)
    monkeypatch.setattr(message, "Tape", lambda max_bytes: Tape(max_messages=1))
    where = "message.json == 2" if wanted.get("count") == 0 or not wanted else "true"
    result = run(to(json_=1), to(json_=2), from_(where=where, **wanted))
    assert result.outcome == "error", result.message
    assert "1 more came than can be recorded" in result.message


def test_what_there_is_room_for_is_there(run, monkeypatch):
    monkeypatch.setattr(message, "Feed", Over)
    monkeypatch.setattr(message, "Tape", lambda max_bytes: Tape(max_messages=1))
    assert run(to(json_=1), to(json_=2), from_(atLeast=1, settle="1h")).outcome == "passed"


def test_nobody_waits_for_the_return_of_what_broke(run, broker, monkeypatch):
    def away(receiver):
        receiver.deliver([Arrived("orders", b"1")])
        receiver.waiting("the broker restarts", away=True)
        receiver.broken("the password is wrong now")

    monkeypatch.setattr(message, "Feed", Over)
    broker.on_subscribe = away
    assert "there were: the password is wrong now" in run(from_(count=1, settle="1s")).message


def test_a_source_that_a_step_names_is_subscribed_by_a_step(run, broker):
    steps = [
        {"set": {"tenant": "'a'"}},
        from_("orders-{{ tenant }}", subscribe=True),
        to("orders-a", json_=1),
        from_("orders-{{ tenant }}"),
    ]
    result = run(*steps)
    assert result.outcome == "passed", result.details
    assert result.steps[1].name == "subscribe to topic orders-{{ tenant }}"
    assert [place.topic for place in broker.subscribed] == ["orders-a"]


def test_one_that_is_opened_too_late_says_so(run):
    steps = [
        {"set": {"tenant": "'a'"}},
        to("orders-a", json_=1),
        from_("orders-{{ tenant }}", within="10ms"),
    ]
    assert "the subscription was opened with this step" in run(*steps).message


def test_one_of_the_matrix_is_known_from_the_beginning(broker, monkeypatch):
    steps = [to("orders-a", json_=1), from_("orders-{{ tenant }}")]
    result = run_steps(steps, use(monkeypatch, broker), matrix={"tenant": ["a"]})
    assert result.outcome == "passed", result.details


def test_a_broker_that_refuses_ends_the_scenario_before_its_first_step(run, broker):
    broker.refuses = BrokerError("Kafka at broker:9092 refuses user 'u'", permanent=True)
    result = run({"expect": ["true"]}, from_())
    assert result.message == "before the first step: Kafka at broker:9092 refuses user 'u'"


def test_publishing_can_be_tried_again(run, broker):
    broker.refuses = BrokerError("Kafka at broker:9092 cannot be reached")
    result = run({**to(json_=1), "eventually": {"within": "50ms", "every": "10ms"}})
    assert "not within 50ms (" in result.message
    assert "Kafka at broker:9092 cannot be reached" in result.message


def test_many_are_published_with_their_numbers(run, broker):
    steps = [to(json_={"n": "{{ number }}"}, key="k{{ number % 2 }}", count=3)]
    assert run(*steps).outcome == "passed"
    assert [each.body for _, each in broker.published] == [body({"n": n}) for n in (1, 2, 3)]
    assert [each.key for _, each in broker.published] == [b"k1", b"k0", b"k1"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [({"text": "a {{ 1 + 1 }}"}, b"a 2"), ({"base64": "AP8="}, b"\0\xff"), ({}, b"")],
)
def test_what_is_published_as_it_is(run, broker, given, sent):
    assert run(to(**given)).outcome == "passed"
    assert broker.published[0][1].body == sent


def test_base64_that_is_none_is_refused(run):
    assert "base64: it is none" in run(to(base64="&")).message


def test_bytes_that_are_no_text_are_read_as_base64(run):
    steps = [to(base64="AP8="), from_(expect=["message.base64 == 'AP8='", "message.text == null"])]
    assert run(*steps).outcome == "passed"
    result = run(to(base64="AP8="), from_(where="true", expect=["message.json.id == 1"]))
    assert "(the message is no text: see message.base64)" in result.message


def test_why_there_is_no_dead_letter_is_told(run):
    result = run(
        to(json_=1), from_(where="true", expect=["message.deadLetter.reason == 'rejected'"])
    )
    assert "no header says that it was dead-lettered" in result.message


def test_messages_beyond_a_thousand_are_counted_and_not_shown(run):
    steps = [to(json_={"n": "{{ number }}"}, count=1001), from_(count=1001, settle="0s")]
    assert run(*steps, {"expect": ["size(messages) == 1000"]}).outcome == "passed"
    result = run(steps[0], {**steps[1], "expect": ["size(messages) == 1001"]})
    assert "(messages holds the first 1000 of 1001)" in result.message


def test_a_password_is_masked(run, broker):
    broker.refuses = BrokerError("cannot log in with s3cret-of-kafka")
    assert "s3cret" not in run(from_()).message


def test_who_reads_while_a_message_is_recorded_sees_a_whole_one():
    feed = Feed("orders", 0, Tape(), time.monotonic, lambda: datetime.now(UTC))

    class ReadMeanwhile(array):
        def append(self, number):
            super().append(number)
            seen.append(feed.untaken(0, len(self)))

    seen = []
    feed._numbers = ReadMeanwhile("Q")
    feed.deliver([Arrived("orders", b"1"), Arrived("orders", b"2")])
    assert seen == [[0], [0, 1]]
