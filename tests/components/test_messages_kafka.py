"""What is special of Kafka: partitions, keys, topics to come, transactions, dead-letter topics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from seatrial_runner.scenario.brokers import adapter
from seatrial_runner.scenario.brokers.interface import Outgoing, Place

from tests.support.brokers import Kafka
from tests.support.message_cases import CASES, Way


@pytest.fixture
def way(kafka):
    return Way(CASES["kafka"], kafka)


def admin(kafka: Kafka, work: Callable[[Any], Awaitable[Any]]) -> None:
    async def run() -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{kafka.plain_port}")
        await client.start()
        try:
            await work(client)
        finally:
            await client.close()

    asyncio.run(run())


@pytest.fixture
def partitioned(way):
    topic = NewTopic(way.target["topic"], num_partitions=3, replication_factor=1)
    admin(way.broker, lambda client: client.create_topics([topic]))
    return way


def test_order_holds_within_a_key_and_not_across_partitions(partitioned):
    way = partitioned
    publish = [way.to({"n": "{{ number }}"}, key="k{{ number % 5 }}", count=200)]
    within = {"by": "message.json.n", "within": "message.key"}
    result = way.run(*publish, way.from_(count=200, ordered=within, unique="message.json.n"))
    assert result.outcome == "passed", result.details
    by_partition = {"by": "message.offset", "within": "message.partition"}
    assert way.run(*publish, way.from_(count=200, ordered=by_partition)).outcome == "passed"


def test_a_key_always_has_the_same_partition_and_one_can_be_chosen(partitioned):
    way = partitioned
    steps = [
        way.to({"n": 1}, key="a"),
        way.from_(["message.key == 'a'"]),
        way.to({"n": 2}, partition=2),
        way.from_(["message.partition == 2", "message.key == null"]),
    ]
    result = way.run(*steps)
    assert result.outcome == "passed", result.details
    result = way.run(way.to({"n": 2}, partition=7))
    assert f"topic {way.target['topic']}: Unrecognized partition" in result.message


def test_a_topic_that_comes_to_be_later_is_read_from_its_beginning(way):
    waiting = way.run(way.from_(within="300ms"))
    assert f"has no topic {way.source['topic']} yet" in waiting.message

    class Creating:
        def start(self, name):
            topic = NewTopic(way.target["topic"], num_partitions=2, replication_factor=1)
            admin(way.broker, lambda client: client.create_topics([topic]))
            done = way.run(way.to({"n": 1}, partition=0), way.to({"n": 2}, partition=1))
            assert done.outcome == "passed", done.message

    result = way.run(
        {"fault": {"start": "create"}},
        way.from_(count=2, unique="message.json.n", within="30s"),
        faults=Creating(),
    )
    assert result.outcome == "passed", result.details


def test_who_only_reads_makes_no_topic(way):
    way.run(way.from_(within="300ms"))
    found: list[str] = []

    async def look(client):
        found.extend(await client.list_topics())

    admin(way.broker, look)
    assert way.source["topic"] not in found


def test_partitions_that_are_added_are_read(way):
    topic = way.target["topic"]
    first = NewTopic(topic, num_partitions=1, replication_factor=1)
    admin(way.broker, lambda client: client.create_topics([first]))

    class Adding:
        def start(self, name):
            added = {topic: NewPartitions(total_count=2)}
            admin(way.broker, lambda client: client.create_partitions(added))

    steps = [
        way.to({"n": 1}),
        {"fault": {"start": "add"}},
        {**way.to({"n": 2}, partition=1), "eventually": {"within": "30s"}},
        way.from_(count=2, unique="message.json.n", within="30s"),
    ]
    result = way.run(*steps, faults=Adding())
    assert result.outcome == "passed", result.details


def make_anew(way: Way) -> None:
    """Delete a topic; who next asks for it makes it."""

    async def run() -> None:
        partition = TopicPartition(way.target["topic"], 0)
        server = f"127.0.0.1:{way.broker.plain_port}"
        async with AIOKafkaConsumer(bootstrap_servers=server) as consumer:
            while True:
                ends = await consumer.end_offsets([partition])
                if not ends[partition]:
                    return
                await asyncio.sleep(0.05)

    admin(way.broker, lambda client: client.delete_topics([way.target["topic"]]))
    asyncio.run(run())


def test_of_a_topic_that_is_made_anew_the_first_messages_are_read_and_loss_is_told(way):
    class Anew:
        def start(self, name):
            make_anew(way)
            assert way.run(way.to({"n": 4})).outcome == "passed"

    steps = [
        *(way.to({"n": n}) for n in (1, 2, 3)),
        way.from_(count=3),
        {"fault": {"start": "anew"}},
        way.from_(where="message.json.n == 4"),
        way.from_(count=0, within="100ms"),
    ]
    result = way.run(*steps, faults=Anew())
    assert result.outcome == "error"
    assert "made anew, or lost its end" in result.message


class Told(list[int | None]):
    """A receiver that gives what it was told: numbers of messages, and None for a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()

    def deliver(self, batch):
        self.extend(json.loads(each.body)["n"] for each in batch)
        self.more.set()

    def missed(self, note):
        self.append(None)
        self.more.set()

    def waiting(self, why, *, away=False):
        pass

    def broken(self, message):
        raise AssertionError(message)

    async def until(self, *expected: int | None) -> None:
        async with asyncio.timeout(60):
            while self != list(expected):
                self.more.clear()
                await self.more.wait()


def test_a_topic_that_is_made_anew_is_noticed_before_it_is_as_long_as_it_was(way):
    place = Place(topic=way.target["topic"])

    def bodies(*numbers: int) -> list[Outgoing]:
        return [Outgoing(json.dumps({"n": n}).encode()) for n in numbers]

    async def run() -> None:
        broker, told = adapter(way.broker.url), Told()
        await broker.start()
        try:
            await broker.subscribe(place, told)
            await broker.publish(place, bodies(1, 2))
            await told.until(1, 2)
            await asyncio.to_thread(make_anew, way)
            await told.until(1, 2, None)
            await broker.publish(place, bodies(3, 4, 5))
            await told.until(1, 2, None, 3, 4, 5)
        finally:
            await broker.close()

    asyncio.run(run())


def test_what_was_rolled_back_is_no_message(partitioned):
    way = partitioned

    async def publish() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=f"127.0.0.1:{way.broker.plain_port}", transactional_id=way.name
        )
        await producer.start()
        topic = way.target["topic"]
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b'{"n": 1}')
        await producer.abort_transaction()
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b'{"n": 2}')
        await producer.commit_transaction()
        await producer.stop()

    class Transacting:
        def start(self, name):
            asyncio.run(publish())

    steps = [{"fault": {"start": "go"}}, way.from_(count=1), {"expect": ["message.json.n == 2"]}]
    result = way.run(*steps, faults=Transacting())
    assert result.outcome == "passed", result.details


def test_why_a_message_is_in_a_dead_letter_topic(way):
    headers = {
        "kafka_dlt-exception-message": "no such customer",
        "kafka_dlt-exception-fqcn": "com.example.NoCustomer",
        "kafka_dlt-original-topic": "orders",
    }
    expect = [
        "message.deadLetter.reason == 'no such customer'",
        "message.deadLetter.error == 'com.example.NoCustomer'",
        "message.deadLetter.from == 'orders'",
    ]
    result = way.run(way.to({"n": 1}, headers=headers), way.from_(expect))
    assert result.outcome == "passed", result.details
    result = way.run(
        way.to({"n": 1}, headers=headers),
        way.from_(where="true", expect=["message.deadLetter.reason == 'expired'"]),
    )
    assert 'message.deadLetter.reason is "no such customer"' in result.message


def test_earlier_messages_can_be_asked_for(way):
    assert way.run(way.to({"n": 1}), way.to({"n": 2})).outcome == "passed"
    steps = [way.from_(earlier=True, count=2, ordered={"by": "message.json.n"})]
    result = way.run(*steps)
    assert result.outcome == "passed", result.details


def test_a_listener_without_passwords_takes_none(way):
    result = way.run(way.to({"n": 1}), way.from_(), url=way.broker.plain_url)
    assert result.outcome == "passed", result.details


def test_a_mechanism_that_the_broker_does_not_take_is_told(way):
    result = way.run(way.from_(), url=f"{way.broker.url}?sasl=SCRAM-SHA-256")
    assert "does not take SCRAM-SHA-256" in result.message


def backlog(way: Way, expect: str, **place: str) -> dict[str, Any]:
    step = {"from": "events", "topic": way.target["topic"], "group": "packing", "backlog": True}
    return {"message": {**step, **place}, "expect": [expect]}


def commit(way: Way, count: int) -> None:
    """Read so many messages as a consumer of group packing, and commit them."""

    async def run() -> None:
        consumer = AIOKafkaConsumer(
            way.target["topic"],
            bootstrap_servers=f"127.0.0.1:{way.broker.plain_port}",
            group_id="packing",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        async with consumer:
            for _ in range(count):
                await consumer.getone()
            # Of each partition what was read of it.
            await consumer.commit()

    asyncio.run(run())


def test_what_a_group_has_not_committed_waits(partitioned):
    way = partitioned
    assert way.run(way.to({"n": "{{ number }}"}, key="k{{ number }}", count=20)).outcome == "passed"
    result = way.run(backlog(way, "backlog == 0", group=f"none-{way.name}"))
    assert f"has no group 'none-{way.name}'" in result.message
    commit(way, 1)
    result = way.run(backlog(way, "backlog == 19"), backlog(way, "backlog == 0"))
    assert "but backlog is 19" in result.message
    commit(way, 19)
    result = way.run(backlog(way, "backlog == 0"), way.to({"n": 21}), backlog(way, "backlog == 1"))
    assert result.outcome == "passed", result.details


def test_a_backlog_is_of_a_topic_that_is_there(way):
    result = way.run(backlog(way, "backlog == 0", topic="nowhere"))
    assert "has no topic nowhere" in result.message
