"""What is special of RabbitMQ: whose messages a queue's are, dead letters, exchanges, bindings."""

from __future__ import annotations

import pytest

from tests.support.broker_admin import prepare, rabbitmq
from tests.support.message_cases import CASES, Way


@pytest.fixture
def way(rabbitmq):
    return Way(CASES["rabbitmq-exchange"], rabbitmq)


@pytest.fixture
def queue(rabbitmq):
    made = Way(CASES["rabbitmq-queue"], rabbitmq)
    prepare(made)
    return made


class Consuming:
    """A service that consumes a queue while a scenario runs."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def __enter__(self) -> None:
        import asyncio
        import threading

        import aiormq

        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()

        async def consume():
            self._connection = await aiormq.connect(self._way.broker.url)
            channel = await self._connection.channel()
            await channel.basic_qos(prefetch_count=1)

            async def take(message):
                pass  # and never acknowledge

            await channel.basic_consume(self._way.source["queue"], take)

        asyncio.run_coroutine_threadsafe(consume(), self._loop).result(30)
        self._thread = thread

    def __exit__(self, *_):
        import asyncio

        asyncio.run_coroutine_threadsafe(self._connection.close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def test_a_queue_with_consumers_is_not_read_unless_asked_for(queue):
    with Consuming(queue):
        result = queue.run(queue.to({"n": 1}), queue.from_())
        assert result.message.startswith("before the first step: queue")
        assert (
            "has 1 consumer: a step that reads from it takes messages away from them. Listen to its"
            " exchange (exchange, routingKey), or say consume: true"
        ) in result.message
        steps = [queue.to({"n": "{{ number }}"}, count=4), queue.from_(consume=True)]
        assert queue.run(*steps).outcome == "passed"


def test_what_was_in_a_queue_before_stays_in_it(queue):
    assert queue.run(queue.to({"n": 1})).outcome == "passed"
    result = queue.run(
        queue.to({"n": 2}), queue.from_(["message.json.n == 2"]), queue.from_(count=0)
    )
    assert result.outcome == "passed", result.details
    again = queue.run(queue.from_(["message.json.n == 1", "message.redelivered"], earlier=True))
    assert again.outcome == "passed", again.details


def test_what_waits_in_a_queue_is_counted_and_stays(queue):
    def backlog(expect, name=queue.target["queue"]):
        return {"message": {"from": "events", "queue": name, "backlog": True}, "expect": [expect]}

    assert queue.run(queue.to({"n": 1}, count=3), backlog("backlog == 3")).outcome == "passed"
    result = queue.run(backlog("backlog == 0"))
    assert "but backlog is 3" in result.message
    with Consuming(queue):
        # One of them is in the consumer's hands.
        fewer = {**backlog("backlog == 2"), "eventually": {"within": "30s"}}
        assert queue.run(fewer).outcome == "passed"
    result = queue.run(backlog("backlog == 0", "nowhere"))
    assert "has no queue 'nowhere'" in result.message


def test_nobody_misses_a_message_because_of_a_tap(way):
    declared = f"real-{way.name}"

    async def bind(channel):
        await channel.queue_declare(declared, durable=True)
        await channel.queue_bind(declared, "amq.topic", f"{way.name}.*")

    rabbitmq(way.broker.url, bind)
    assert way.run(way.to({"n": 1}), way.from_()).outcome == "passed"

    async def count(channel):
        found = await channel.queue_declare(declared, passive=True)
        return found.message_count

    assert rabbitmq(way.broker.url, count) == 1


def test_nothing_of_a_tap_is_left(way):
    import subprocess

    assert way.run(way.to({"n": 1}), way.from_()).outcome == "passed"
    listed = subprocess.run(
        ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", "list_queues", "name"],
        env={**__import__("os").environ, **way.broker.environment()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "seatrial.tap" not in listed


def test_a_poison_message_is_in_the_dead_letter_queue_with_its_reason(way):
    work, dead = f"work-{way.name}", f"dead-{way.name}"

    async def declare(channel):
        await channel.exchange_declare(f"dlx-{way.name}", exchange_type="fanout", durable=True)
        await channel.queue_declare(dead, durable=True)
        await channel.queue_bind(dead, f"dlx-{way.name}")
        await channel.queue_declare(
            work, durable=True, arguments={"x-dead-letter-exchange": f"dlx-{way.name}"}
        )

    rabbitmq(way.broker.url, declare)

    class Rejecting:
        def start(self, name):
            async def reject(channel):
                message = await channel.basic_get(work)
                await channel.basic_reject(message.delivery.delivery_tag, requeue=False)

            rabbitmq(way.broker.url, reject)

    expect = [
        "message.json.n == 1",
        "message.deadLetter.reason == 'rejected'",
        f"message.deadLetter.from == '{work}'",
        "message.deadLetter.count == 1",
        f"message.deadLetter.routingKeys == ['{work}']",
    ]
    place = {"message": {"from": "events", "queue": dead}}
    steps = [
        {"message": {"to": "events", "queue": work, "json": {"n": 1}}},
        {"fault": {"start": "reject"}},
        {**place, "expect": expect},
    ]
    result = way.run(*steps, faults=Rejecting())
    assert result.outcome == "passed", result.details
    # By the exchange as well, which takes nothing out of the queue.
    tap = {"message": {"from": "events", "exchange": f"dlx-{way.name}", "where": "true"}}
    steps[2] = {**tap, "expect": ["message.deadLetter.reason == 'expired'"]}
    result = way.run(*steps, faults=Rejecting())
    assert 'message.deadLetter.reason is "rejected"' in result.message


def test_one_that_expired_says_so(way):
    work, dead = f"work-{way.name}", f"dead-{way.name}"

    async def declare(channel):
        await channel.queue_declare(dead, durable=True)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
        await channel.queue_declare(work, durable=True, arguments=arguments)

    rabbitmq(way.broker.url, declare)
    steps = [
        {
            "message": {
                "to": "events",
                "queue": work,
                "text": "x",
                "properties": {"expiration": "50"},
            }
        },
        {
            "message": {"from": "events", "queue": dead},
            "expect": ["message.deadLetter.reason == 'expired'"],
        },
    ]
    result = way.run(*steps)
    assert result.outcome == "passed", result.details


def test_properties_are_sent_and_seen(way):
    given = {"contentType": "text/x", "correlationId": "c", "replyTo": "r", "messageId": "m"}
    steps = [
        way.to({"n": 1}, properties={**given, "type": "order.created"}),
        way.from_([f"message.properties.{name} == '{value}'" for name, value in given.items()]),
    ]
    result = way.run(*steps)
    assert result.outcome == "passed", result.details
    result = way.run(way.to({"n": 1}, properties={"subject": "x"}))
    assert "are contentType, correlationId" in result.message
    assert "not subject" in result.message


def test_places_that_are_not_there_are_told(way):
    steps = {
        "has no queue 'nowhere' to publish to": {"to": "events", "queue": "nowhere", "text": "x"},
        "has no exchange 'nowhere'": {"to": "events", "exchange": "nowhere", "text": "x"},
        "has no exchange 'nowhere'. If a step makes it, open": {
            "from": "events",
            "exchange": "nowhere",
        },
        "has no queue 'nowhere' yet": {"from": "events", "queue": "nowhere", "within": "300ms"},
        "say exchange or queue, not topic x": {"from": "events", "topic": "x"},
    }
    for told, document in steps.items():
        assert told in way.run({"message": document}).message


def test_a_queue_that_comes_to_be_later_is_read(way):
    queue = f"late-{way.name}"

    class Declaring:
        def start(self, name):
            rabbitmq(way.broker.url, lambda channel: channel.queue_declare(queue, durable=True))

    steps = [
        {"fault": {"start": "declare"}},
        {"message": {"to": "events", "queue": queue, "json": 1}},
        {"message": {"from": "events", "queue": queue}, "expect": ["message.json == 1"]},
    ]
    result = way.run(*steps, faults=Declaring())
    assert result.outcome == "passed", result.details


def test_a_direct_exchange_needs_a_key(way):
    result = way.run({"message": {"from": "events", "exchange": "amq.direct"}})
    assert "exchange amq.direct of RabbitMQ at" in result.message
    assert "is direct: say which routingKey" in result.message
    step = {"message": {"from": "events", "exchange": "amq.fanout"}}
    publish = {"message": {"to": "events", "exchange": "amq.fanout", "json": 1}}
    assert way.run(publish, step).outcome == "passed"


def test_a_virtual_host_that_is_not_there_is_told(way):
    assert "no such virtual host" in way.run(way.from_(), url=f"{way.broker.url}nowhere").message


def test_the_virtual_host_can_be_a_slash(way):
    result = way.run(way.to({"n": 1}), way.from_(), url=f"{way.broker.url}/")
    assert result.outcome == "passed", result.message
