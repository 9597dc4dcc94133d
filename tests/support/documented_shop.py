"""The service ``orders`` of the examples in the documentation, and the world around it."""

from __future__ import annotations

from seatrial_runner.scenario import World

from tests.support.loopback import Loopback
from tests.support.scenarios import FakeTime, FaultsByName

ORDER = {
    "id": "o-1",
    "status": "paid",
    "total": 12.5,
    "createdAt": "2026-01-01T00:00:00Z",
    "items": [{"sku": "A1", "quantity": 2}],
    "note": None,
}
BASKET = {
    "id": "b-1",
    "total": "24.80",
    "items": [
        {"sku": "A1", "price": 12.4, "quantity": 2},
        {"sku": "B2", "price": "12", "quantity": 0},
    ],
    "tags": ["gift", "express"],
}


class Shop(Loopback):
    """Answers as the pages say."""

    def __init__(self) -> None:
        super().__init__()
        self.answer("POST /orders", json={"id": "o-1"}, status=201)
        self.answer("GET /orders/o-1", json=ORDER)
        self.answer("GET /orders/o-2", json={**ORDER, "id": "o-2"})
        self.answer("DELETE /orders/o-1", json={})
        self.answer("PUT /orders/o-1", status=307, json={}, headers={"Location": "/orders/o-3"})
        self.answer("PUT /orders/o-3", json={})
        self.answer("POST /orders/o-1/copies", json={}, status=201)
        self.answer("POST /refunds", json={"error": "payments do not answer"}, status=503)
        self.answer("GET /features", json={"gifts": True})
        self.answer("GET /gifts", json={})
        self.answer("GET /baskets/b-1", json=BASKET)
        self.answer("GET /schema", json=_SCHEMA)
        self.answer("GET /health", json={"ok": True})
        for ready in (False, False, True):
            self.answer("GET /slow", json={"ready": ready})
        for left in (2, 1, 0):
            self.answer("GET /queue", json={"left": left})
        for up in (True, True, False):
            self.answer("GET /wobbles", json={"up": up})
        self.answer("GET /shaky", json={}, status=503)
        self.answer("GET /shaky", json={})


_SCHEMA = {
    "type": "object",
    "required": ["id", "items"],
    "properties": {
        "id": {"type": "string"},
        "items": {
            "type": "array",
            "items": {"required": ["sku", "quantity"], "properties": {"quantity": {"minimum": 1}}},
        },
    },
}


def world_of(shop: Loopback) -> World:
    """Give a world in which ``orders`` is the shop, a fault is in effect, and time is played."""
    time = FakeTime()
    return World(
        faults=FaultsByName(payments_slow=["Active"]),
        services={"orders": {"host": "orders", "port": 8080}},
        base_urls={"orders": shop.url},
        now=time.now,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )
