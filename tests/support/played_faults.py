"""Plays faults with a director on a namespace in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from seatrial.api import journal
from seatrial_runner.conductor.faults import Director, hands_of
from seatrial_runner.conductor.seen import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    PODS,
    STATEFULSETS,
    keep_seen,
)

from tests.support.conducted import a_run_doc, a_scenario, a_service_doc, a_stage
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

Course = Callable[[Director, RunNamespace], Awaitable[None]]


def played(
    *faults: dict[str, Any],
    course: Course,
    replicas: int = 2,
    start_s: float = 0.5,
    stateful: bool = False,
    direct: dict[str, str] | None = None,
    equip: Callable[[RunNamespace], Awaitable[dict[str, int]]] | None = None,
    **run_doc: Any,
) -> tuple[dict[str, journal.FaultState], RunNamespace]:
    """Play a course with a director whose service orders is ready; give states and namespace."""

    async def whole() -> tuple[dict[str, journal.FaultState], RunNamespace]:
        namespace = RunNamespace(start_s=start_s)
        orders = a_service_doc(kind="StatefulSet" if stateful else "Deployment")
        if direct is not None:
            orders["direct"] = direct
        run = a_run_doc(
            services=[orders, a_service_doc("web")],
            faults=list(faults),
            tests=[a_scenario("paid"), a_scenario("sent")],
            **run_doc,
        )
        stage = await a_stage(namespace, run)
        make = namespace.stateful_set if stateful else namespace.deployment
        make("orders", replicas=replicas)
        namespace.deployment("web")
        namespace.service("orders")
        ports = await equip(namespace) if equip is not None else {}
        director = Director(stage, hands_of(stage, namespace.keep_log, **ports))
        background = [
            asyncio.create_task(stage.journal.keep_written()),
            *(
                asyncio.create_task(keep_seen(namespace.api, NAMESPACE, kind, stage.seen))
                for kind in (PODS, DEPLOYMENTS, STATEFULSETS, EVENTS, ENDPOINT_SLICES)
            ),
            *(asyncio.create_task(each) for each in director.background()),
        ]
        await asyncio.sleep(start_s + 0.1)
        await course(director, namespace)
        await stage.journal.save()
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        return {state["name"]: state for state in stage.journal.summary["faults"]}, namespace

    return in_virtual_time(whole())


async def one_test(director: Director, namespace: RunNamespace) -> None:
    """The gate opens, and test paid runs for two seconds with a request each half second."""
    await director.gate_opened()
    await director.begin_with("paid")
    for _ in range(4):
        director.met(loop().now(), "orders")
        await asyncio.sleep(0.5)
    await director.end_with("paid")
    await director.settle()


# What takes pods away, or replaces them.
taking_pods_away = pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"kill": {}}, id="kill"),
        pytest.param({"evict": {}}, id="evict"),
        pytest.param({"restart": {}}, id="restart"),
        pytest.param({"scale": {"replicas": 1}, "for": "1s"}, id="scale"),
        pytest.param({"outage": {}, "for": "1s"}, id="outage"),
    ],
)
