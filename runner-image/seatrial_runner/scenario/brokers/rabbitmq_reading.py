"""
Reads a place of RabbitMQ.

An exchange is listened to with a queue of the subscription's own, so that nobody misses a message
because of it. It is durable, and outlives a connection: what is published while the broker or the
network is away waits in it. The broker removes it when nobody has used it for some minutes.
A queue that a step names is consumed, as its consumers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
from collections import deque
from datetime import datetime
from typing import Any

import aiormq
import aiormq.exceptions as aerr
from aiormq.abc import DeliveredMessage

from seatrial_runner.scenario.brokers.dead_letters import by_deaths, by_headers
from seatrial_runner.scenario.brokers.interface import (
    Arrived,
    BrokerError,
    Place,
    Receiver,
    end,
    pauses,
)
from seatrial_runner.scenario.brokers.rabbitmq_connection import ERRORS, PROPERTIES, connect, reason

_AHEAD = 1000  # messages the broker may send ahead of their acknowledgements
_MOST_AHEAD = 65_535
_UNUSED_MS = 10 * 60 * 1000
_DECLARED_S = 5.0  # for how long an exchange is waited for
_LOOK_S = 0.1
_INEQUIVALENT = re.compile(r"inequivalent arg '([\w-]+)'.*current is '?([\w-]+)'?")


class Reader:
    """Follows one place; connects again when the connection is lost."""

    def __init__(
        self,
        url: str,
        shown: str,
        place: Place,
        receiver: Receiver,
        secure: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._secure = secure
        self._shown = shown
        self._place = place
        self._receiver = receiver
        self._own = f"seatrial.tap.{os.urandom(8).hex()}" if place.exchange else ""
        self._queue = self._own or place.queue
        self._connection: aiormq.abc.AbstractConnection | None = None
        self._channel: aiormq.abc.AbstractChannel | None = None
        self._task: asyncio.Task[None] | None = None
        self._tag = ""
        self._begun = False
        self._durable = True
        self._new = place.earlier  # all that is in the queue counts
        self._held = 0  # messages at the queue's head that were there before, and go back
        self._to_hold = 0
        self._batch: list[Arrived] = []
        self._tags: list[int] = []
        # What was recorded last, and perhaps not acknowledged when a connection broke.
        self._tail: deque[int] = deque(maxlen=_AHEAD)
        self._again: deque[int] | None = None

    async def begin(self) -> None:
        """Open; a queue that does not exist yet is looked for in the background."""
        try:
            await self._open()
        except ERRORS as error:
            if not (self._place.queue and isinstance(error, aerr.ChannelNotFoundEntity)):
                raise reason(error, self._shown) from error
            self._receiver.waiting(f"{self._shown} has no queue {self._place.queue!r} yet")
            self._new = True
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """End, and remove the queue of its own."""
        if self._task is not None:
            await end([self._task])
        if self._own and self._begun:
            if self._channel is None or self._channel.is_closed:
                with contextlib.suppress(*ERRORS, BrokerError):
                    await self._connect()
            elif self._tag:
                with contextlib.suppress(*ERRORS):
                    await self._channel.basic_cancel(self._tag)
            if self._channel is not None:
                with contextlib.suppress(*ERRORS):
                    await self._channel.queue_delete(self._own)
        if self._connection is not None:
            with contextlib.suppress(*ERRORS):
                await self._connection.close()

    async def _follow(self) -> None:
        """Keep the subscription open until cancelled."""
        pause = pauses()
        while True:
            if self._channel is not None:
                await asyncio.wait([self._channel.closing])
                self._receiver.waiting(f"{self._shown} is not connected", away=True)
            try:
                await self._open()
                pause = pauses()
            except BrokerError as error:
                if error.permanent:
                    self._receiver.broken(error.message)
                    return
                await asyncio.sleep(next(pause))
            except aerr.ChannelNotFoundEntity:
                await asyncio.sleep(_LOOK_S)
            except (*ERRORS, TimeoutError):
                await asyncio.sleep(next(pause))

    async def _connect(self) -> aiormq.abc.AbstractChannel:
        if self._connection is None or self._connection.is_closed:
            self._connection = await connect(self._url, self._shown, self._secure)
        self._channel = None
        channel = await self._connection.channel(publisher_confirms=False)
        self._channel = channel
        return channel

    async def _open(self) -> None:
        """Declare what is to be read, and begin to read it."""
        try:
            channel = await self._connect()
            if self._own:
                channel = await self._bound(channel)
            else:
                await self._look_at_queue(channel)
            await channel.basic_qos(prefetch_count=min(_MOST_AHEAD, self._to_hold + _AHEAD))
            self._held = 0
            self._again = deque(self._tail) if self._begun else None
            # The broker cancels a consumer whose queue is deleted, and the channel stays open.
            channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
            begun = await channel.basic_consume(self._queue, self._on_message)
            self._tag = begun.consumer_tag or ""
        except BaseException:
            if self._channel is not None and not self._channel.is_closed:
                with contextlib.suppress(*ERRORS):
                    await self._channel.close()
            self._channel = None
            raise
        self._begun = True
        self._receiver.waiting("")

    async def _on_cancelled(self, _: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def _bound(self, channel: aiormq.abc.AbstractChannel) -> aiormq.abc.AbstractChannel:
        """Declare the queue of its own, and bind it."""
        exchange, key = self._place.exchange, self._place.routing_key
        if not self._begun:
            channel = await self._see_exchange(channel)
        elif not self._durable:
            self._receiver.missed(
                f"exchange {exchange} is not durable: what it was sent while the tester was not"
                " connected may be lost"
            )
        if self._begun:
            try:
                await channel.queue_declare(self._own, passive=True)
            except aerr.ChannelNotFoundEntity:
                self._receiver.missed("the broker has lost the tester's queue")
                channel = await self._connect()
        await channel.queue_declare(self._own, durable=True, arguments={"x-expires": _UNUSED_MS})
        await channel.queue_bind(self._own, exchange, key or "#")
        return channel

    async def _see_exchange(
        self, channel: aiormq.abc.AbstractChannel
    ) -> aiormq.abc.AbstractChannel:
        """
        Wait until the exchange exists, and see of what kind it is.

        RabbitMQ says so only to whom declares it otherwise: by closing the channel.
        """
        name = self._place.exchange
        deadline = asyncio.get_running_loop().time() + _DECLARED_S
        while True:
            try:
                await channel.exchange_declare(name, passive=True)
                break
            except aerr.ChannelNotFoundEntity as error:
                if asyncio.get_running_loop().time() > deadline:
                    text = (
                        f"{self._shown} has no exchange {name!r}. If a step makes it, open the"
                        " subscription after it, with a step that says subscribe: true"
                    )
                    raise BrokerError(text) from error
                await asyncio.sleep(_LOOK_S)
                channel = await self._connect()
        kind = "topic"
        for _ in range(2):
            try:
                await channel.exchange_declare(name, exchange_type=kind, durable=True)
                return channel
            except aerr.ChannelPreconditionFailed as error:
                channel = await self._connect()
                found = _INEQUIVALENT.search(str(error))
                if found is None or found[1] != "type":
                    self._durable = found is None or found[1] != "durable"
                    return channel
                kind = found[2]
                if kind == "direct" and not self._place.routing_key:
                    text = f"exchange {name} of {self._shown} is direct: say which routingKey"
                    raise BrokerError(text, permanent=True) from error
            except (aerr.ChannelAccessRefused, aerr.AMQPError):
                return await self._connect()
        return channel

    async def _look_at_queue(self, channel: aiormq.abc.AbstractChannel) -> None:
        declared = await channel.queue_declare(self._place.queue, passive=True)
        consumers, waiting = declared.consumer_count or 0, declared.message_count or 0
        if consumers and not (self._place.consume or self._begun):
            has = "1 consumer" if consumers == 1 else f"{consumers} consumers"
            text = (
                f"queue {self._place.queue} of {self._shown} has {has}: a step that reads from it"
                " takes messages away from them. Listen to its exchange (exchange, routingKey), or"
                " say consume: true"
            )
            raise BrokerError(text, permanent=True)
        if not self._begun and not self._new:
            if waiting > _MOST_AHEAD - _AHEAD:
                text = f"queue {self._place.queue} holds {waiting} messages: say earlier: true"
                raise BrokerError(text, permanent=True)
            self._to_hold = waiting

    async def _on_message(self, message: DeliveredMessage) -> None:
        if self._held < self._to_hold:
            self._held += 1  # not acknowledged: it goes back when the scenario ends
            return
        arrived = _arrived(message, own=bool(self._own))
        mark = hash((arrived.topic, arrived.body, message.header.properties.message_id))
        if not self._seen_before(mark, redelivered=bool(message.redelivered)):
            self._tail.append(mark)
            self._batch.append(arrived)
        if not self._tags:
            asyncio.get_running_loop().call_soon(self._flush, message.channel)
        self._tags.append(message.delivery.delivery_tag)  # type: ignore[union-attr,arg-type]

    def _seen_before(self, mark: int, *, redelivered: bool) -> bool:
        """
        Tell whether a message was recorded before the connection broke.

        Those are delivered again in their order, before all others: a suffix of what was recorded.
        """
        again = self._again
        if again is None:
            return False
        if not redelivered:
            self._again = None
            return False
        if mark not in again:
            self._again = None
            return False
        while again.popleft() != mark:
            pass
        return True

    def _flush(self, channel: aiormq.abc.AbstractChannel) -> None:
        """Record what has come, and only then acknowledge it."""
        batch, self._batch = self._batch, []
        tags, self._tags = self._tags, []
        if batch:
            self._receiver.deliver(batch)
        many = not self._to_hold
        for tag in tags[-1:] if many else tags:
            task = asyncio.get_running_loop().create_task(_acknowledge(channel, tag, many=many))
            _ACKNOWLEDGING.add(task)
            task.add_done_callback(_ACKNOWLEDGING.discard)


# The loop holds its tasks weakly.
_ACKNOWLEDGING: set[asyncio.Task[None]] = set()


async def _acknowledge(channel: aiormq.abc.AbstractChannel, tag: int, *, many: bool) -> None:
    with contextlib.suppress(*ERRORS):
        await channel.basic_ack(tag, multiple=many)


def _arrived(message: DeliveredMessage, *, own: bool) -> Arrived:
    properties = message.header.properties
    headers = {name: _json(value) for name, value in (properties.headers or {}).items()}
    more: dict[str, Any] = {"exchange": message.exchange or ""}
    # Of a queue of the tester's own it would say something of the tester.
    if message.redelivered and not own:
        more["redelivered"] = True
    if dead := by_deaths(headers.get("x-death")) or by_headers(headers):
        more["deadLetter"] = dead
    given = {
        name: _json(value)
        for name, field in PROPERTIES.items()
        if (value := getattr(properties, field)) not in (None, "")
    }
    if given:
        more["properties"] = given
    at = properties.timestamp.timestamp() if properties.timestamp else 0.0
    return Arrived(message.routing_key or "", message.body, at, None, headers, more)


def _json(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "replace")
        case datetime():
            return value.isoformat()
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case list() | tuple():
            return [_json(item) for item in value]
        case _:
            return str(value)
