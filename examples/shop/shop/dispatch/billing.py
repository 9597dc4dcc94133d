"""billing: writes an invoice for each order."""

from __future__ import annotations

import asyncpg
from aiohttp import web

from shop.dispatch.consumer import Order, consumer


def application() -> web.Application:
    return consumer("billing", _bill)


async def _bill(pool: asyncpg.Pool, order: Order) -> None:
    await pool.execute(
        'insert into invoices ("order", customer) values ($1, $2) on conflict do nothing',
        *(order["order"], order["customer"]),
    )
