"""What the services of the chain have in common: an event comes in, another one goes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
from aiohttp import web

from shop.events import Event, consume, events, publish
from shop.service import POOL, background, new_application

# Does a part of an order and gives the subject of the event that tells of it.
Part = Callable[[asyncpg.Connection, Event], Awaitable[str]]


def part_of_the_chain(name: str, after: str, do: Part) -> web.Application:
    """Make the service that does its part after events of a subject."""
    app = new_application()
    app.cleanup_ctx.append(events)

    async def work(app: web.Application) -> None:
        async def handle(event: Event) -> None:
            async with app[POOL].acquire() as connection, connection.transaction():
                subject = await do(connection, event)
            # NB: published again when the event comes again: we may have died before.
            order = {each: event[each] for each in ("order", "sku", "quantity")}
            await publish(app, subject, order, key=event["order"])

        await consume(app, after, handle, durable=name)

    app.cleanup_ctx.append(background(work))
    return app
