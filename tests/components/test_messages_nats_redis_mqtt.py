"""What is special of NATS, Redis streams and MQTT."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis as RedisClient

from tests.support.broker_admin import jetstream, prepare
from tests.support.brokers import PASSWORD
from tests.support.message_cases import CASES, Way


@pytest.fixture
def subject(nats):
    return Way(CASES["nats"], nats)


@pytest.fixture
def stream(nats):
    made = Way(CASES["jetstream"], nats)
    prepare(made)
    return made


@pytest.fixture
def redis_stream(redis):
    return Way(CASES["redis"], redis)


@pytest.fixture
def topic(mosquitto):
    return Way(CASES["mqtt"], mosquitto)


def test_a_stream_can_be_read_by_subject(stream):
    name = f"two-{stream.name}"
    subjects = [f"{name}.a", f"{name}.b"]
    jetstream(stream.broker.url, lambda js: js.add_stream(name=name, subjects=subjects))
    steps = [
        {"message": {"to": "events", "stream": name, "subject": subjects[0], "json": 1}},
        {"message": {"to": "events", "stream": name, "subject": subjects[1], "json": 2}},
        {
            "message": {"from": "events", "stream": name, "subject": subjects[1], "count": 1},
            "expect": ["message.json == 2", "message.offset == 2"],
        },
    ]
    result = stream.run(*steps)
    assert result.outcome == "passed", result.details


def test_a_stream_that_comes_to_be_later_is_read(stream):
    late = Way(CASES["jetstream"], stream.broker)
    assert f"has no stream '{late.source['stream']}' yet" in (
        late.run(late.from_(within="300ms")).message
    )

    class Creating:
        def start(self, name):
            prepare(late)

    steps = [{"fault": {"start": "create"}}, late.to({"n": 1}), late.from_(["message.json.n == 1"])]
    result = late.run(*steps, faults=Creating())
    assert result.outcome == "passed", result.details


def test_a_subject_that_no_stream_takes_is_told(stream):
    step = {"message": {"to": "events", "stream": "nowhere", "subject": "nowhere.x", "json": 1}}
    assert "no stream takes subject 'nowhere.x'" in stream.run(step).message


def test_earlier_messages_of_a_stream(stream):
    assert stream.run(stream.to({"n": 1}), stream.to({"n": 2})).outcome == "passed"
    result = stream.run(stream.from_(earlier=True, count=2, ordered={"by": "message.json.n"}))
    assert result.outcome == "passed", result.details


def test_a_subject_that_is_none_is_told(subject):
    assert "NATS at" in subject.run({"message": {"from": "events", "subject": "a..b"}}).message


def test_an_entry_of_several_fields_is_read_as_a_map(redis_stream):
    name = redis_stream.source["stream"]

    class Adding:
        def start(self, _):
            client = RedisClient.from_url(redis_stream.broker.url)
            client.xadd(name, {"orderId": "7", "status": "paid"})
            client.close()

    expect = ["message.json == {'orderId': '7', 'status': 'paid'}", "message.offset.contains('-')"]
    result = redis_stream.run(
        {"fault": {"start": "add"}}, redis_stream.from_(expect), faults=Adding()
    )
    assert result.outcome == "passed", result.details


def test_the_field_of_the_message_can_be_named(redis_stream):
    steps = [
        redis_stream.to({"n": 1}, field="payload", headers={"type": "created"}),
        redis_stream.from_(
            ["message.json.n == 1", "message.headers == {'type': 'created'}"], field="payload"
        ),
    ]
    result = redis_stream.run(*steps)
    assert result.outcome == "passed", result.details


def test_a_consumer_of_a_group_shares_with_the_others(redis_stream):
    name = redis_stream.source["stream"]
    steps = [
        redis_stream.to({"n": 1}),
        redis_stream.from_(["message.json.n == 1"], group="billing"),
    ]
    result = redis_stream.run(*steps)
    assert result.outcome == "passed", result.details
    client = RedisClient.from_url(redis_stream.broker.url)
    [group] = client.xinfo_groups(name)
    client.close()
    assert (group["pending"], group["consumers"]) == (0, 0)


class LostAnswers:
    """A fault: entries are given to the tester's consumer in an answer that does not reach it."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def start(self, name: str) -> None:
        stream = self._way.source["stream"]
        with RedisClient.from_url(self._way.broker.url) as client:
            [consumer] = client.xinfo_consumers(stream, "billing")
            with client.pipeline(transaction=True) as at_once:
                at_once.xadd(stream, {"data": '{"n": 2}'})
                at_once.xreadgroup("billing", consumer["name"], {stream: ">"})
                [identifier, _] = at_once.execute()
            if name == "removed":
                client.xdel(stream, identifier)
                for each in client.client_list():
                    if each["name"] == "seatrial":
                        client.client_kill_filter(_id=each["id"])

    def stop(self, name: str) -> None:
        raise AssertionError(name)

    def status(self, name: str) -> dict[str, Any]:
        return {}


def test_what_a_group_gave_in_an_answer_that_was_lost_is_read(redis_stream):
    result = redis_stream.run(
        redis_stream.to({"n": 1}),
        redis_stream.from_(["message.json.n == 1"], group="billing"),
        {"fault": {"start": "lost"}},
        redis_stream.from_(["message.json.n == 2"], group="billing"),
        faults=LostAnswers(redis_stream),
    )
    assert result.outcome == "passed", result.details
    with RedisClient.from_url(redis_stream.broker.url) as client:
        [group] = client.xinfo_groups(redis_stream.source["stream"])
    assert (group["pending"], group["consumers"]) == (0, 0)


def test_what_was_removed_before_a_group_gave_it_again_is_told(redis_stream):
    result = redis_stream.run(
        redis_stream.to({"n": 1}),
        redis_stream.from_(["message.json.n == 1"], group="billing"),
        {"fault": {"start": "removed"}},
        {**redis_stream.to({"n": 3}), "eventually": {"within": "60s"}},
        redis_stream.from_(["message.json.n == 3"], group="billing"),
        redis_stream.from_(group="billing", count=0, within="100ms"),
        faults=LostAnswers(redis_stream),
    )
    assert result.outcome == "error"
    assert "were removed before they could be read again" in result.message


def test_a_key_of_another_type_is_told(redis_stream):
    name = redis_stream.source["stream"]
    client = RedisClient.from_url(redis_stream.broker.url)
    client.set(name, "x")
    client.close()
    result = redis_stream.run(redis_stream.from_())
    assert "WRONGTYPE" in result.message
    assert f"(stream {name})" in result.message


def test_a_user_who_may_not_is_told(redis_stream):
    url = redis_stream.broker.url_of("reader", PASSWORD)
    result = redis_stream.run(redis_stream.from_(), url=url)
    assert "does not let user 'reader' do that" in result.message


def test_a_retained_message_is_one_from_before(topic):
    target = topic.target["topic"]
    kept = topic.to({"n": 1}, retain=True)
    result = topic.run(kept, topic.from_(["message.json.n == 1", "!message.retained"]))
    assert result.outcome == "passed", result.details
    # It was there before: who does not ask for it does not see it.
    assert topic.run(topic.from_(count=0)).outcome == "passed"
    result = topic.run(topic.from_(["message.retained"], earlier=True))
    assert result.outcome == "passed", result.details
    assert topic.run({"message": {"to": "events", "topic": target, "retain": True}}).outcome


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_quality_of_service(topic, qos):
    steps = [topic.to({"n": 1}, qos=qos), topic.from_(["message.json.n == 1"], qos=qos)]
    result = topic.run(*steps)
    assert result.outcome == "passed", result.details


def test_properties_of_mqtt(topic):
    given = {"contentType": "text/x", "correlationId": "c", "replyTo": "r"}
    steps = [
        topic.to({"n": 1}, properties=given),
        topic.from_([f"message.properties == {given!r}"]),
    ]
    result = topic.run(*steps)
    assert result.outcome == "passed", result.details
    assert "not subject" in topic.run(topic.to({"n": 1}, properties={"subject": "x"})).message


def test_topics_that_cannot_be_published_to_are_told(topic):
    step = {"message": {"to": "events", "topic": "a/+", "json": 1}}
    assert "has + or #: only who receives can use them" in topic.run(step).message
    step = {"message": {"to": "events", "topic": "secret/x", "json": 1}}
    assert "refuses topic secret/x: Not authorized" in topic.run(step).message


def test_a_topic_filter_that_is_none_is_told(topic):
    step = {"message": {"from": "events", "topic": "a/#/b"}}
    assert "topic a/#/b" in topic.run(step).message


def backlog(way: Way, expect: str, group: str = "billing") -> dict[str, Any]:
    name = way.source.get("stream") or way.source["topic"]
    place = {"stream": name} if "stream" in way.source else {"topic": name}
    step = {"from": "events", **place, "group": group, "backlog": True}
    return {"message": step, "expect": [expect]}


def test_what_a_consumer_of_a_stream_has_not_acknowledged_waits(stream):
    name = stream.source["stream"]
    assert stream.run(stream.to({"n": 1}, count=3)).outcome == "passed"

    async def acknowledge_one(js):
        consumer = await js.pull_subscribe("", durable="billing", stream=name)
        first, _ = await consumer.fetch(2)
        await first.ack_sync()

    jetstream(stream.broker.url, acknowledge_one)
    result = stream.run(backlog(stream, "backlog == 2"), backlog(stream, "backlog == 0"))
    assert "but backlog is 2" in result.message
    result = stream.run(backlog(stream, "backlog == 0", group="nobody"))
    assert f"has no stream '{name}' with a consumer 'nobody'" in result.message


def test_what_a_group_of_redis_has_not_acknowledged_waits(redis_stream):
    name = redis_stream.source["stream"]
    client = RedisClient.from_url(redis_stream.broker.url)
    client.xgroup_create(name, "billing", "0", mkstream=True)
    assert redis_stream.run(redis_stream.to({"n": 1}, count=3)).outcome == "passed"
    [[_, [(first, _), _]]] = client.xreadgroup("billing", "one", {name: ">"}, count=2)
    client.xack(name, "billing", first)
    client.close()
    result = redis_stream.run(
        backlog(redis_stream, "backlog == 2"), backlog(redis_stream, "backlog == 0")
    )
    assert "but backlog is 2" in result.message
    result = redis_stream.run(backlog(redis_stream, "backlog == 0", group="nobody"))
    assert f"stream {name} has no group 'nobody'" in result.message


def test_mqtt_does_not_tell_what_waits(topic):
    result = topic.run(backlog(topic, "backlog == 0"))
    assert "does not tell how many messages wait" in result.message
