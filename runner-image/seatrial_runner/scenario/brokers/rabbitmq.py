"""RabbitMQ, by aiormq: what aio-pika stands on, with less between a message and its record."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import aiormq
import aiormq.exceptions as aerr
from pamqp.commands import Basic

from seatrial_runner.scenario.brokers.interface import (
    BrokerError,
    Outgoing,
    Place,
    Receiver,
    address,
)
from seatrial_runner.scenario.brokers.rabbitmq_connection import ERRORS, PROPERTIES, connect, reason
from seatrial_runner.scenario.brokers.rabbitmq_reading import Reader


class RabbitMQ:
    """``amqp://USER:PASSWORD@HOST:PORT/VHOST``, ``amqps://``."""

    def __init__(self, url: str, secure: ssl.SSLContext | None = None) -> None:
        self._url = url.replace("amqp://", "amqps://", 1) if secure else url
        self._secure = secure
        self._shown = f"RabbitMQ at {address(url)}"
        self._connection: aiormq.abc.AbstractConnection | None = None
        self._channel: aiormq.abc.AbstractChannel | None = None
        self._opening = asyncio.Lock()  # of both, which branches share
        self._readers: list[Reader] = []

    async def start(self) -> None:
        """Connect."""
        self._connection = await connect(self._url, self._shown, self._secure)

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        """Listen to an exchange, or consume a queue."""
        if not (place.exchange or place.queue):
            raise BrokerError(f"{self._shown}: say exchange or queue, not {place}", permanent=True)
        reader = Reader(self._url, self._shown, place, receiver, self._secure)
        self._readers.append(reader)
        await reader.begin()

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        """Publish persistent messages, and wait until the broker has confirmed them."""
        try:
            channel = await self._publisher()
            sent = [self._publish(channel, place, message) for message in messages]
            done = await asyncio.gather(*sent, return_exceptions=True)
            for each in done:
                if isinstance(each, BaseException):
                    raise each
        except ERRORS as error:
            raise self._why(error, place) from error

    async def backlog(self, place: Place) -> int:
        """Count what waits in a queue; not what its consumers have in their hands."""
        if not place.queue:
            raise BrokerError(f"{self._shown}: say queue, not {place}", permanent=True)
        try:
            connection = await self._connected()
            channel = await connection.channel(publisher_confirms=False)
            declared = await channel.queue_declare(place.queue, passive=True)
            await channel.close()
        except aerr.ChannelNotFoundEntity as error:
            raise BrokerError(f"{self._shown} has no queue {place.queue!r}") from error
        except ERRORS as error:
            raise reason(error, self._shown) from error
        return declared.message_count or 0

    async def _connected(self) -> aiormq.abc.AbstractConnection:
        async with self._opening:
            if self._connection is None or self._connection.is_closed:
                self._connection = await connect(self._url, self._shown, self._secure)
                self._channel = None
            return self._connection

    async def _publisher(self) -> aiormq.abc.AbstractChannel:
        connection = await self._connected()
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await connection.channel(publisher_confirms=True)
            return self._channel

    async def _publish(
        self, channel: aiormq.abc.AbstractChannel, place: Place, message: Outgoing
    ) -> None:
        unknown = set(message.properties) - set(PROPERTIES)
        if unknown:
            text = f"properties of {self._shown} are {', '.join(PROPERTIES)}, not {unknown.pop()}"
            raise BrokerError(text, permanent=True)
        properties: dict[str, Any] = {
            PROPERTIES[name]: text for name, text in message.properties.items()
        }
        await channel.basic_publish(
            message.body,
            exchange=place.exchange,
            routing_key=place.routing_key if place.exchange else place.queue,
            # One for a queue that is not there would be dropped without a word.
            mandatory=not place.exchange,
            properties=Basic.Properties(
                delivery_mode=2, headers=dict(message.headers), **properties
            ),
        )

    def _why(self, error: Exception, place: Place) -> BrokerError:
        match error:
            case aerr.PublishError():
                return BrokerError(f"{self._shown} has no queue {place.queue!r} to publish to")
            case aerr.ChannelNotFoundEntity():
                return BrokerError(f"{self._shown} has no exchange {place.exchange!r}")
            case _:
                return reason(error, self._shown)

    async def close(self) -> None:
        """Remove the queues of its own, and disconnect."""
        await asyncio.gather(*(reader.close() for reader in self._readers), return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
