"""inventory: takes what was ordered off the stock, or refuses the order."""

from __future__ import annotations

import asyncpg
from aiohttp import web

from shop.events import Event
from shop.fulfilment.part import part_of_the_chain


def application() -> web.Application:
    return part_of_the_chain("inventory", "order.placed", _reserve)


async def _reserve(connection: asyncpg.Connection, event: Event) -> str:
    order, sku, quantity = event["order"], event["sku"], event["quantity"]
    known = await connection.fetchval("select granted from reservations where id = $1", order)
    if known is not None:
        return "order.reserved" if known else "order.refused"
    granted = await connection.fetchval(
        "update stock set quantity = quantity - $2 where sku = $1 and quantity >= $2"
        " returning true",
        *(sku, quantity),
    )
    await connection.execute(
        "insert into reservations (id, sku, quantity, granted) values ($1, $2, $3, $4)",
        *(order, sku, quantity, bool(granted)),
    )
    return "order.reserved" if granted else "order.refused"
