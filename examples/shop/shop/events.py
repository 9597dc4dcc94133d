"""What happened, as messages in JetStream: published once, and handled until it is done."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import nats
from aiohttp import web
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from shop.service import DATABASE_ERRORS

logger = logging.getLogger("shop.events")

EVENTS = web.AppKey("events", JetStreamContext)
LISTENS = web.AppKey("listens", asyncio.Event)
BROKER_ERRORS = (nats.errors.Error, OSError, TimeoutError)
PAUSE_S = 0.25
# A message whose handler died with its pod comes again after this time.
ACK_WAIT_S = 2.0

Event = dict[str, Any]
Handler = Callable[[Event], Awaitable[None]]


async def events(app: web.Application) -> AsyncIterator[None]:
    """Give an application the broker under ``EVENTS``; wait for it, as it may start later."""
    while True:
        try:
            client = await nats.connect(
                os.environ["EVENTS_URL"], max_reconnect_attempts=-1, reconnect_time_wait=PAUSE_S
            )
            break
        except BROKER_ERRORS as error:
            logger.info("waiting for the broker: %s", error or type(error).__name__)
            await asyncio.sleep(PAUSE_S)
    app[EVENTS] = client.jetstream()
    app[LISTENS] = asyncio.Event()
    yield
    await client.close()


async def listening(app: web.Application) -> AsyncIterator[None]:
    """Have an application that consumes serve only once it does: from then on it misses nothing."""
    await app[LISTENS].wait()
    yield


async def publish(app: web.Application, subject: str, event: Event, key: str) -> None:
    """Publish an event; the broker drops a second one with the same key."""
    headers = {"Nats-Msg-Id": f"{subject}/{key}"}
    await app[EVENTS].publish(subject, json.dumps(event).encode(), headers=headers)


async def consume(
    app: web.Application, subject: str, handle: Handler, *, durable: str | None
) -> None:
    """
    Handle the events of a subject, each until its handler has succeeded.

    Args:
        durable: The name under which the broker remembers what is done, from run to run of the
            service. Without one only those events count that come while it runs.
    """
    # NB: a pull consumer, so that what nobody can handle now stays with the broker.
    policy = DeliverPolicy.ALL if durable else DeliverPolicy.NEW
    config = ConsumerConfig(ack_wait=ACK_WAIT_S, deliver_policy=policy, max_ack_pending=64)
    while True:
        try:
            messages = await app[EVENTS].pull_subscribe(subject, durable=durable, config=config)
            app[LISTENS].set()
            while True:
                await _handle_next(messages, handle)
        except BROKER_ERRORS as error:
            logger.info("%s: waiting for the broker: %s", subject, error or type(error).__name__)
            await asyncio.sleep(PAUSE_S)


async def _handle_next(messages: JetStreamContext.PullSubscription, handle: Handler) -> None:
    try:
        arrived = await messages.fetch(16, timeout=5)
    except nats.errors.TimeoutError:
        return  # there is none
    for message in arrived:
        number = message.metadata.sequence.stream
        event = {**json.loads(message.data), "event": message.subject, "message": number}
        try:
            await handle(event)
        except DATABASE_ERRORS as error:
            logger.warning("%s, again later: %s", message.subject, error)
            await message.nak(delay=PAUSE_S)
        else:
            await message.ack()
