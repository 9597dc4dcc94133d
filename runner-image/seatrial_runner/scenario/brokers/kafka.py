"""
Kafka, by aiokafka.

A subscription reads without a group, so that nobody's partitions move: from the end offsets it
found when it began, and from the beginning of every partition that came to be later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)

from seatrial_runner.scenario.brokers.dead_letters import by_headers
from seatrial_runner.scenario.brokers.interface import (
    CONNECT_S,
    Arrived,
    BrokerError,
    Outgoing,
    Place,
    Receiver,
    address,
    because,
    end,
)
from seatrial_runner.scenario.brokers.kafka_groups import Groups
from seatrial_runner.scenario.redaction import cut

_MOST = 2000  # messages taken at once
_POLL_MS = 250
# How often to look for new partitions; more often while there is no topic.
_LOOK_S, _LOOK_FIRST_S = 1.0, 0.1
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")  # others need more than a password
_REFUSED = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


# Without a handler of the user's its warnings would go to stderr: what matters is in the results.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


class Kafka:
    """``kafka://[USER:PASSWORD@]HOST:PORT[,HOST:PORT]``, ``kafka+ssl://``; ``?sasl=MECHANISM``."""

    def __init__(self, url: str, secure: ssl.SSLContext | None = None) -> None:
        rest = url.partition("://")[2]
        netloc = rest.partition("/")[0].partition("?")[0]
        credentials, _, hosts = netloc.rpartition("@")
        query = parse_qs(rest.partition("?")[2])
        self._shown = f"Kafka at {address(url)}"
        self._user, _, password = (unquote(each) for each in credentials.partition(":"))
        self._servers = [host if ":" in host else f"{host}:9092" for host in hosts.split(",")]
        self._common: dict[str, Any] = {
            "security_protocol": ("SASL_" if self._user else "")
            + ("SSL" if secure else "PLAINTEXT"),
            "ssl_context": secure,
        }
        if self._user:
            self._common |= {
                "sasl_mechanism": query.get("sasl", ["PLAIN"])[0].upper(),
                "sasl_plain_username": self._user,
                "sasl_plain_password": password,
            }
        self._client: AIOKafkaClient | None = None
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()  # of the producer, which branches share
        self._consumers: list[AIOKafkaConsumer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._groups: Groups | None = None

    async def start(self) -> None:
        """Connect, and fetch what the cluster says of itself."""
        mechanism = self._common.get("sasl_mechanism", "PLAIN")
        if mechanism not in _MECHANISMS:
            text = f"sasl in its URL is one of {', '.join(_MECHANISMS)}, not {mechanism[:40]!r}"
            raise BrokerError(f"{self._shown}: {text}", permanent=True)
        client = AIOKafkaClient(bootstrap_servers=self._servers, **self._common)
        try:
            await client.bootstrap()
        except (KafkaError, OSError) as error:
            await client.close()
            raise await self._why(error) from error
        self._client = client

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        """Read a topic from now on; one that does not exist yet, from its beginning."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # What was rolled back is no message.
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
            fetch_max_wait_ms=100,
            **self._common,
        )
        try:
            await consumer.start()
            self._consumers.append(consumer)
            reader = _Reader(consumer, place.topic, receiver, self._partitions, self._shown)
            await reader.begin(earlier=place.earlier)
        except (KafkaError, OSError) as error:
            raise await self._why(error) from error
        self._tasks.append(asyncio.get_running_loop().create_task(reader.follow()))

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        """Publish, and wait until all replicas in sync have them."""
        try:
            producer = await self._the_producer()
            sent = [
                await producer.send(
                    place.topic,
                    value=message.body,
                    key=message.key,
                    headers=[(name, text.encode()) for name, text in message.headers.items()],
                    partition=message.partition,
                )
                for message in messages
            ]
            await asyncio.gather(*sent)
        except AssertionError as error:  # aiokafka's word for a partition that is not there
            text = f"{self._shown}: topic {place.topic}: {error}"
            raise BrokerError(text) from error
        except (KafkaError, OSError) as error:
            raise await self._why(error, place.topic) from error

    async def _the_producer(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._servers,
                    acks="all",
                    enable_idempotence=True,
                    request_timeout_ms=10_000,
                    # Partitions may be added while a scenario runs.
                    metadata_max_age_ms=2_000,
                    **self._common,
                )
                await producer.start()
                self._producer = producer
            return self._producer

    async def backlog(self, place: Place) -> int:
        """Count what a group of consumers has not committed of a topic."""
        if not (place.topic and place.group):
            raise BrokerError(f"{self._shown}: say topic and group, not {place}", permanent=True)
        try:
            partitions = await self._partitions(place.topic)
            if not partitions:
                raise BrokerError(f"{self._shown} has no topic {place.topic}")
            if self._groups is None:
                self._groups = Groups(bootstrap_servers=self._servers, **self._common)
                await self._groups.start()
            lag = await self._groups.lag(place.group, place.topic, partitions)
        except (KafkaError, OSError) as error:
            raise await self._why(error, place.topic) from error
        if lag is None:
            raise BrokerError(f"{self._shown} has no group {place.group!r}")
        return lag

    async def close(self) -> None:
        """End everything."""
        await end(self._tasks)
        if self._groups is not None:
            await self._groups.close()
        for each in (*self._consumers, self._producer):
            if each is not None:
                with contextlib.suppress(KafkaError, OSError):
                    await each.stop()
        if self._client is not None:
            await self._client.close()

    async def _partitions(self, topic: str) -> frozenset[int]:
        """Give the partitions of a topic; asked for by name, the broker would make it."""
        assert self._client is not None
        cluster = await self._client.fetch_all_metadata()
        return frozenset(cluster.partitions_for_topic(topic) or ())

    async def _why(self, error: Exception, topic: str = "") -> BrokerError:
        """Put an error into words; aiokafka keeps the reason of a failed connection to itself."""
        cause = await self._reason() if isinstance(error, KafkaConnectionError) else error
        of = f" (topic {topic})" if topic else ""
        match cause:
            case AuthenticationMethodNotSupported() | UnsupportedSaslMechanismError():
                text = f"does not take {self._common.get('sasl_mechanism')} ({cause})"
                return BrokerError(f"{self._shown} {text}", permanent=True)
            case _ if isinstance(cause, _REFUSED):
                text = f"refuses user {self._user!r}: wrong user name or password"
                return BrokerError(f"{self._shown} {text}", permanent=True)
            case TopicAuthorizationFailedError():
                text = f"does not let user {self._user!r} use it"
                return BrokerError(f"{self._shown} {text}{of}", permanent=True)
            case UnknownTopicOrPartitionError():
                return BrokerError(f"{self._shown} has no such topic, and made none{of}")
            case MessageSizeTooLargeError():
                text = f"the message is larger than it takes{of}"
                return BrokerError(f"{self._shown}: {text}", permanent=True)
            case KafkaTimeoutError() | RequestTimedOutError() | TimeoutError():
                return BrokerError(f"{self._shown} did not answer in time{of}")
            case KafkaConnectionError() if str(cause).endswith(" closed"):
                hint = "Kafka over TLS" if self._common["ssl_context"] else "Kafka, and without TLS"
                text = f"closes the connection without an answer: does it speak {hint}?"
                return BrokerError(f"{self._shown} {text}")
            case OSError() | KafkaConnectionError():
                return BrokerError(f"{self._shown} cannot be reached: {because(cause)}")
            case _:
                return BrokerError(f"{self._shown}: {_plain(cause)}{of}")

    async def _reason(self) -> Any:
        """Connect once more by hand, to see what is in the way."""
        host, _, port = self._servers[0].rpartition(":")
        try:
            connection = await create_conn(
                host, int(port), request_timeout_ms=int(CONNECT_S * 500), **self._common
            )
        except (KafkaError, OSError) as error:
            return error
        connection.close()
        return KafkaConnectionError("it accepts connections, but does not answer")


class _Reader:
    """Follows the partitions of one topic."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic: str,
        receiver: Receiver,
        partitions: Callable[[str], Awaitable[frozenset[int]]],
        shown: str,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._receiver = receiver
        self._partitions = partitions
        self._shown = shown
        self._next: dict[TopicPartition, int] = {}  # offset of the next message to deliver
        self._looked = 0.0

    async def begin(self, *, earlier: bool) -> None:
        """Note where every partition ends, and read from there."""
        found = [TopicPartition(self._topic, n) for n in await self._partitions(self._topic)]
        if not found:
            self._receiver.waiting(f"{self._shown} has no topic {self._topic} yet")
            return
        ends = await (
            self._consumer.beginning_offsets(found)
            if earlier
            else self._consumer.end_offsets(found)
        )
        await self._assign(ends)

    async def follow(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self._look_for_partitions()
                if not self._next:
                    await asyncio.sleep(_LOOK_FIRST_S)
                    continue
                found = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_MOST)
            except (KafkaError, OSError) as error:
                if isinstance(error, TopicAuthorizationFailedError):
                    self._receiver.broken(f"{self._shown} does not let the tester read its topic")
                    return
                self._receiver.waiting(
                    f"{self._shown} cannot be reached: {because(error)}", away=True
                )
                await asyncio.sleep(_LOOK_FIRST_S)
                continue
            for partition, records in found.items():
                # aiokafka goes back to the beginning when there is nothing where it was.
                if records[0].offset < self._next.get(partition, 0):
                    self._made_anew()
                self._receiver.deliver([_arrived(each) for each in records])
                self._next[partition] = records[-1].offset + 1

    async def _look_for_partitions(self) -> None:
        now = time.monotonic()
        if now - self._looked < (_LOOK_S if self._next else _LOOK_FIRST_S):
            return
        self._looked = now
        found = {TopicPartition(self._topic, n) for n in await self._partitions(self._topic)}
        if found:
            self._receiver.waiting("")
        if anew := await self._ending_before(found & set(self._next)):
            self._made_anew()
        if from_beginning := anew | (found - set(self._next)):
            await self._assign({**self._next, **dict.fromkeys(from_beginning, 0)})

    async def _ending_before(self, partitions: set[TopicPartition]) -> set[TopicPartition]:
        """Give those that end before what was read of them: soon they would no longer."""
        ends: dict[TopicPartition, int] = {}
        # One that has no leader does not keep the others from being read.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                ends = await self._consumer.end_offsets(list(partitions))
        return {each for each, end in ends.items() if end < self._next[each]}

    def _made_anew(self) -> None:
        self._receiver.missed(f"topic {self._topic} was made anew, or lost its end")

    async def _assign(self, offsets: dict[TopicPartition, int]) -> None:
        self._consumer.assign(list(offsets))
        for partition, offset in offsets.items():
            self._consumer.seek(partition, offset)
        for partition in offsets:
            # Also waits until the consumer has taken the assignment over.
            await self._consumer.position(partition)
        self._next = dict(offsets)


def _arrived(record: Any) -> Arrived:
    headers = {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in record.headers
    }
    more = {"partition": record.partition, "offset": record.offset}
    if dead := by_headers(headers):
        more["deadLetter"] = dead
    return Arrived(
        record.topic, record.value or b"", record.timestamp / 1000, record.key, headers, more
    )


def _plain(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return cut(text.partition("\n")[0], 300)
