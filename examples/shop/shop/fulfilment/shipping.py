"""shipping: sends what was paid."""

from __future__ import annotations

import asyncpg
from aiohttp import web

from shop.events import Event
from shop.fulfilment.part import part_of_the_chain


def application() -> web.Application:
    return part_of_the_chain("shipping", "order.paid", _ship)


async def _ship(connection: asyncpg.Connection, event: Event) -> str:
    await connection.execute(
        'insert into parcels ("order", sku, quantity) values ($1, $2, $3) on conflict do nothing',
        *(event["order"], event["sku"], event["quantity"]),
    )
    return "order.shipped"
