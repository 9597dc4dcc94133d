"""What the services say to a broker, whichever it is: RabbitMQ or Kafka, by ``EVENTS_URL``."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Protocol

from aiohttp import web

logger = logging.getLogger("shop.dispatch")

PAUSE_S = 0.25


class BrokerAwayError(Exception):
    """The broker does not answer, or has taken back what it had given."""


class Delivery(Protocol):
    """A message in our hands; until one of these two is called it may come again."""

    body: bytes

    async def done(self) -> None:
        """Have the broker forget it."""

    async def put_aside(self, reason: str) -> None:
        """Have it put into the dead-letter queue."""


class Broker(Protocol):
    """What it raises is a BrokerAwayError."""

    async def start(self, consumer: str | None) -> None:
        """Declare what there must be, and the queue of this consumer."""

    async def publish(self, body: bytes, key: str) -> None:
        """Publish an order; those with the same key stay in their order."""

    def deliveries(self, consumer: str) -> AsyncGenerator[Delivery]:
        """Give what waits for a consumer, one after the other, until the connection is lost."""

    async def close(self) -> None:
        """End."""


BROKER = web.AppKey("broker", Broker)  # type: ignore[type-abstract]


def broker(consumer: str | None = None) -> Callable[[web.Application], AsyncIterator[None]]:
    """Give an application its broker under ``BROKER``; wait for it, as it may start later."""

    async def running(app: web.Application) -> AsyncIterator[None]:
        app[BROKER] = _broker(os.environ["EVENTS_URL"])
        while True:
            try:
                await app[BROKER].start(consumer)
                break
            except BrokerAwayError as error:
                logger.info("waiting for the broker: %s", error)
                await asyncio.sleep(PAUSE_S)
        yield
        await app[BROKER].close()

    return running


async def each_delivery(app: web.Application, consumer: str) -> AsyncIterator[Delivery]:
    """Give what waits for a consumer, for ever."""
    while True:
        try:
            async with aclosing(app[BROKER].deliveries(consumer)) as deliveries:
                async for delivery in deliveries:
                    yield delivery
        except BrokerAwayError as error:
            logger.info("%s: waiting for the broker: %s", consumer, error)
        await asyncio.sleep(PAUSE_S)


def _broker(url: str) -> Any:
    # Each brings a driver; the other one is not needed.
    if url.startswith("kafka"):
        from shop.dispatch.kafka import Kafka

        return Kafka(url)
    from shop.dispatch.rabbitmq import RabbitMQ

    return RabbitMQ(url)
