"""
quotes: prices in dollars, with the rate of rates; when that is away, with the last one known.

A circuit breaker leaves rates in peace for a while after some failures, and answers at once.
"""

from __future__ import annotations

import os
import time

import aiohttp
from aiohttp import web

from shop.service import AWAY, CLIENT, client, failure, plain_application

routes = web.RouteTableDef()

PRICE_EUR = 100
RATES_TIMEOUT = aiohttp.ClientTimeout(total=float(os.environ.get("RATES_TIMEOUT_S", "0.5")))
OPENS_AFTER = 3  # failures in a row
STAYS_OPEN_S = 4.0  # longer than a busy machine asks nothing
# On is the bug of examples/circuit-breaker-broken: each request that an open breaker turns down
# counts as a failure, so under traffic it never closes again.
COUNTS_REFUSALS = os.environ.get("BREAKER_COUNTS_REFUSALS", "off") == "on"


class Breaker:
    """Closed: every request may pass. Open: none, until one may try."""

    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = 0.0

    @property
    def state(self) -> str:
        return "open" if self.failures >= OPENS_AFTER else "closed"

    def lets_pass(self) -> bool:
        if self.state == "closed" or time.monotonic() - self.failed_at >= STAYS_OPEN_S:
            return True
        if COUNTS_REFUSALS:
            self.failed()
        return False

    def failed(self) -> None:
        self.failures += 1
        self.failed_at = time.monotonic()

    def succeeded(self) -> None:
        self.failures = 0


BREAKER = web.AppKey("breaker", Breaker)
LAST_KNOWN = web.AppKey("last_known", dict)


def application() -> web.Application:
    app = plain_application()
    app[BREAKER] = Breaker()
    app[LAST_KNOWN] = {}
    app.cleanup_ctx.append(client)
    app.add_routes(routes)
    return app


@routes.get("/quote")
async def quote(request: web.Request) -> web.Response:
    """Quote a price, and say whether its rate is ``live`` or the ``last known``."""
    breaker, known = request.app[BREAKER], request.app[LAST_KNOWN]
    source = "last known"
    if breaker.lets_pass():
        try:
            url = f"{os.environ['RATES_URL']}/rate"
            async with request.app[CLIENT].get(url, timeout=RATES_TIMEOUT) as response:
                response.raise_for_status()
                known.update(await response.json())
            source = "live"
            breaker.succeeded()
        except AWAY:
            breaker.failed()
    if not known:
        return failure(503, "no rate is known yet")
    price = PRICE_EUR * known["usd"]
    return web.json_response({"usd": price, "rate": source, "breaker": breaker.state})
