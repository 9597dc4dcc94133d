"""The services of the examples in the documentation, and the world around them."""

from __future__ import annotations

from typing import Any

import httpx
from seatrial_runner.scenario import World
from seatrial_runner.scenario.cluster import NamespaceCluster
from seatrial_runner.scenario.world import Executed

from tests.support.loopback import Answer, Asked, Loopback
from tests.support.played_cluster import PlayedCluster, a_deployment, a_pod
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


METRICS = """\
# TYPE orders_total counter
orders_total{state="paid"} 2
orders_total{state="new"} 1
"""


class Shop(Loopback):
    """Answers as the pages say, and has pods in a cluster that is played."""

    def __init__(self) -> None:
        super().__init__()
        self.played = PlayedCluster()
        self.played.have(a_deployment(replicas=2))
        for pod, line in (("orders-0", '{"event": "paid", "order": "o-1"}'), ("orders-1", "idle")):
            self.played.have(a_pod(pod))
            self.played.logs[pod, "main", False] = f"2026-01-01T00:00:01Z {line}\n"
            self.played.logs[pod, "sidecar", False] = ""
        found = {"status": "paid", "lines": [{"sku": "A1"}]}
        self.answer("POST /graphql", json={"data": {"order": found}})
        self.answer("GET /metrics", text=METRICS)
        self.answer("POST /orders", json={"id": "o-1"}, status=201)
        self.answer("GET /orders/o-1", json=ORDER)
        self.answer("GET /orders/o-2", json={**ORDER, "id": "o-2"})
        self.answer("DELETE /orders/o-1", json={})
        self.answer("PUT /orders/o-1", status=307, json={}, headers={"Location": "/orders/o-3"})
        self.answer("PUT /orders/o-3", json={})
        self.answer("POST /orders/o-1/copies", json={}, status=201)
        self.answer("GET /entries", json={"entries": [], "stale": True})
        self.answer("GET /quote", json={"error": "no rate is known yet"}, status=503)
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

    def __enter__(self) -> Shop:
        self.played.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.played.__exit__(*error)

    def respond(self, asked: Asked) -> Answer:
        if asked.path != "/payments":
            return super().respond(asked)
        wish = asked.json()
        httpx.post(wish["notify"], json={"order": wish["order"], "state": "paid"}, trust_env=False)
        return Answer(202, json={})


class _Cluster(NamespaceCluster):
    """Of which all containers say the same, whatever is executed in them."""

    def execute(self, *_: Any, **__: Any) -> Executed:
        return Executed(0, "2.0.0\n", "")


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


def world_of(shop: Shop) -> World:
    """Give a world in which ``orders`` is the shop, a fault is in effect, and time is played."""
    time = FakeTime()
    return World(
        faults=FaultsByName(rates_slow=["Active"]),
        services={"orders": {"host": "orders", "port": 8080}},
        cluster=lambda: shop.played.cluster_of(_Cluster),
        base_urls=dict.fromkeys(("orders", "mirror", "quotes"), shop.url),
        now=time.now,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )
