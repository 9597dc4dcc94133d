"""Kafka: one topic, and a group for each consumer, with a topic of its dead letters."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shop.dispatch.broker import BrokerAwayError

logger = logging.getLogger("shop.dispatch.kafka")

TOPIC, PARTITIONS = "orders", 3


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerAwayError(str(error) or type(error).__name__) from error


@dataclass
class _Delivery:
    consumer: AIOKafkaConsumer
    producer: AIOKafkaProducer
    name: str
    record: ConsumerRecord

    @property
    def body(self) -> bytes:
        return self.record.value or b""

    async def done(self) -> None:
        partition = TopicPartition(self.record.topic, self.record.partition)
        with _away():
            await self.consumer.commit({partition: self.record.offset + 1})

    async def put_aside(self, reason: str) -> None:
        logger.warning("put aside: %s", reason)
        headers = [
            ("dead-letter-reason", reason.encode()),
            ("dead-letter-topic", self.record.topic.encode()),
        ]
        with _away():
            await self.producer.send_and_wait(
                f"{self.name}.dead", self.record.value, key=self.record.key, headers=headers
            )
        await self.done()


class Kafka:
    """See ``Broker``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._common: dict[str, Any] = {"bootstrap_servers": f"{parts.hostname}:{parts.port}"}
        if parts.username:
            self._common |= {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": parts.username,
                "sasl_plain_password": parts.password,
            }
        self._producer: AIOKafkaProducer | None = None

    async def start(self, consumer: str | None) -> None:
        with _away():
            admin = AIOKafkaAdminClient(**self._common)
            await admin.start()
            try:
                wanted = [NewTopic(TOPIC, PARTITIONS, 1)]
                if consumer:
                    wanted.append(NewTopic(f"{consumer}.dead", 1, 1))
                answer = await admin.create_topics(wanted)
            finally:
                await admin.close()
            for _, code, *_ in answer.topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):
                    raise for_code(code)
            producer = AIOKafkaProducer(**self._common, acks="all", enable_idempotence=True)
            await producer.start()
            self._producer = producer

    async def publish(self, body: bytes, key: str) -> None:
        with _away():
            await self._producing().send_and_wait(TOPIC, body, key=key.encode())

    async def deliveries(self, consumer: str) -> AsyncGenerator[_Delivery]:
        records = AIOKafkaConsumer(
            TOPIC,
            **self._common,
            group_id=consumer,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # The least that a broker takes: so long the orders of one that died wait for another.
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
        )
        try:
            with _away():
                await records.start()
            while True:
                with _away():
                    record = await records.getone()
                yield _Delivery(records, self._producing(), consumer, record)
        finally:
            await records.stop()

    async def close(self) -> None:
        if self._producer is not None:
            with _away():
                await self._producer.stop()

    def _producing(self) -> AIOKafkaProducer:
        assert self._producer is not None, "start comes first"
        return self._producer
