"""payments: charges an order once, however often it hears of it."""

from __future__ import annotations

import os

import asyncpg
from aiohttp import web

from shop.events import Event
from shop.fulfilment.part import part_of_the_chain

PRICE_CENTS = 1999
# Message is the bug of examples/order-processing-broken: what comes twice is charged twice.
ONE_CHARGE_FOR_EACH = os.environ.get("ONE_CHARGE_FOR_EACH", "order")


def application() -> web.Application:
    return part_of_the_chain("payments", "order.reserved", _charge)


async def _charge(connection: asyncpg.Connection, event: Event) -> str:
    await connection.execute(
        'insert into charges (key, "order", cents) values ($1, $2, $3) on conflict do nothing',
        str(event[ONE_CHARGE_FOR_EACH]),
        event["order"],
        event["quantity"] * PRICE_CENTS,
    )
    return "order.paid"
