"""Faults in traffic, played by a director before an orderly gateway of the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from seatrial_runner.conductor.faults import Director

from tests.support.conducted import a_fault_doc
from tests.support.ordered_faults import OrderedPlace, a_gateway
from tests.support.played_faults import played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop

Course = Callable[[Director, RunNamespace, OrderedPlace], Awaitable[None]]
DIRECT = {"orders": "seatrial-direct-orders"}


def a_latency(name: str = "f", lasts: str = "3s", **more: Any) -> dict[str, Any]:
    kind = {"latency": {"delay": "1s"}} if not {"partition", "http"} & more.keys() else {}
    return a_fault_doc(name, **{**kind, "for": lasts, "when": {"test": "paid"}, **more})


def in_traffic(
    *faults: dict[str, Any], course: Course, **more: Any
) -> tuple[dict[str, Any], RunNamespace, OrderedPlace]:
    """Play a course with a gateway before service orders."""
    gateways: list[OrderedPlace] = []

    async def equip(namespace: RunNamespace) -> dict[str, int]:
        gateways.append(await a_gateway(namespace))
        return {}

    async def whole(director: Director, namespace: RunNamespace) -> None:
        try:
            await course(director, namespace, gateways[0])
        finally:
            await gateways[0].kill()

    states, namespace = played(
        *faults, course=whole, equip=equip, gateway=True, direct=DIRECT, **more
    )
    return states, namespace, gateways[0]


async def one_test(director: Director, namespace: RunNamespace, gateway: OrderedPlace) -> None:
    assert await director.prepare() is None
    await director.begin_with("paid")
    director.met(loop().now(), "orders")  # what met it, the gateway knows better
    await asyncio.sleep(1.0)
    if gateway.carrier.on:
        gateway.carrier.hit("f", 3)
    await asyncio.sleep(10.0)
    await director.end_with("paid")
    await director.settle()
