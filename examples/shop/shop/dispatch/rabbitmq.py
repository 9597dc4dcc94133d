"""RabbitMQ: a queue for each consumer, bound to one exchange, with a queue of its dead letters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.exceptions import ChannelInvalidStateError

from shop.dispatch.broker import BrokerAwayError

logger = logging.getLogger("shop.dispatch.rabbitmq")

EXCHANGE = "orders"
PERSISTENT = aiormq.spec.Basic.Properties(delivery_mode=2)


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (aiormq.AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
        raise BrokerAwayError(str(error) or type(error).__name__) from error


@dataclass
class _Delivery:
    channel: AbstractChannel
    message: DeliveredMessage

    @property
    def body(self) -> bytes:
        return self.message.body

    async def done(self) -> None:
        with _away():
            await self.channel.basic_ack(self.message.delivery.delivery_tag)

    async def put_aside(self, reason: str) -> None:
        logger.warning("rejected: %s", reason)
        with _away():
            await self.channel.basic_reject(self.message.delivery.delivery_tag, requeue=False)


class RabbitMQ:
    """See ``Broker``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._publishing: AbstractChannel | None = None

    async def start(self, consumer: str | None) -> None:
        with _away():
            channel = await (await self._connected()).channel()
            await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
            if consumer:
                dead = f"{consumer}.dead"
                await channel.queue_declare(dead, durable=True)
                arguments = {
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": dead,
                    # While one pod comes for another, orders stay in their order.
                    "x-single-active-consumer": True,
                }
                await channel.queue_declare(consumer, durable=True, arguments=arguments)
                await channel.queue_bind(consumer, EXCHANGE, routing_key="#")
            await channel.close()

    async def publish(self, body: bytes, key: str) -> None:
        with _away():
            if self._publishing is None or self._publishing.is_closed:
                self._publishing = await (await self._connected()).channel()
            await self._publishing.basic_publish(
                body, exchange=EXCHANGE, routing_key=key, properties=PERSISTENT
            )

    async def deliveries(self, consumer: str) -> AsyncGenerator[_Delivery]:
        with _away():
            channel = await (await self._connected()).channel()
        arrived: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()
        channel.closing.add_done_callback(lambda _: arrived.put_nowait(None))
        with _away():
            # One at a time: those after it wait for us, or for who comes for us.
            await channel.basic_qos(prefetch_count=1)
            await channel.basic_consume(consumer, arrived.put)
        while (message := await arrived.get()) is not None:
            yield _Delivery(channel, message)

    async def close(self) -> None:
        if self._connection is not None:
            with _away():
                await self._connection.close()

    async def _connected(self) -> AbstractConnection:
        if self._connection is None or self._connection.is_closed:
            self._connection = await aiormq.connect(self._url)
        return self._connection
