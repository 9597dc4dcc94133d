"""What the two consumers have in common: an order comes in, and stays with us until it is done."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from aiohttp import web

from shop.dispatch.broker import PAUSE_S, BrokerAwayError, broker, each_delivery
from shop.service import DATABASE_ERRORS, POOL, background, new_application

logger = logging.getLogger("shop.dispatch")

# On arrival is the bug of examples/queue-rabbitmq-broken: the broker forgets an order before it is
# done, and what dies in the middle is lost.
ACKNOWLEDGES = os.environ.get("ACKNOWLEDGES", "when-done")

Order = dict[str, Any]
Work = Callable[[asyncpg.Pool, Order], Awaitable[None]]


class NotYetError(Exception):
    """An order cannot be done now, but may be later."""


def consumer(name: str, work: Work) -> web.Application:
    """Make the service that does its work for each order."""
    app = new_application()

    async def follow(app: web.Application) -> None:
        async for delivery in each_delivery(app, name):
            try:
                order = _read(delivery.body)
                if isinstance(order, str):
                    await delivery.put_aside(order)
                    continue
                if ACKNOWLEDGES == "on-arrival":
                    await delivery.done()
                await _until_done(app[POOL], work, order)
                if ACKNOWLEDGES != "on-arrival":
                    await delivery.done()
            except BrokerAwayError as error:
                logger.warning("%s: it will come again: %s", name, error)

    app.cleanup_ctx.extend((broker(name), background(follow)))
    return app


def _read(body: bytes) -> Order | str:
    """Give the order, or why nobody can ever do anything about it."""
    try:
        order = json.loads(body)
    except ValueError as error:
        return f"no JSON: {error}"
    if not isinstance(order, dict):
        return "no order"
    missing = [each for each in ("order", "customer", "sequence", "sku") if each not in order]
    return f"an order without {', '.join(missing)}" if missing else {"seconds": 0, **order}


async def _until_done(pool: asyncpg.Pool, work: Work, order: Order) -> None:
    """Try again here: if it went back, those after it would come before it."""
    while True:
        try:
            await work(pool, order)
        except (NotYetError, *DATABASE_ERRORS) as error:
            logger.info("%s, again: %s: %s", order["order"], type(error).__name__, error)
            await asyncio.sleep(PAUSE_S)
        else:
            return
