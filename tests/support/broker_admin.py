"""What an operator of a broker does, and its clients: queues, streams, consumers, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiormq
from nats.aio.client import Client

from tests.support.message_cases import Way


def prepare(way: Way) -> None:
    """Make what a service would have declared: RabbitMQ's queue, JetStream's stream."""
    if queue := way.target.get("queue"):
        rabbitmq(way.broker.url, lambda channel: channel.queue_declare(queue, durable=True))
    if "subject" in way.target and (stream := way.target.get("stream")):
        jetstream(
            way.broker.url, lambda js: js.add_stream(name=stream, subjects=[way.target["subject"]])
        )


def rabbitmq(url: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Do something on a channel."""

    async def run() -> Any:
        connection = await aiormq.connect(url)
        try:
            return await work(await connection.channel())
        finally:
            await connection.close()

    return asyncio.run(run())


def jetstream(url: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Do something with JetStream."""

    async def run() -> Any:
        client = Client()
        await client.connect(url)
        try:
            return await work(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(run())
