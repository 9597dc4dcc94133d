"""Faults where the watch tells of a change a moment after the API server has made it."""

from __future__ import annotations

import asyncio
from typing import Any

from seatrial_runner.conductor.faults import Director

from tests.support.conducted import a_fault_doc
from tests.support.played_faults import played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop


def a_scale(name: str, replicas: int, **more: Any) -> dict[str, Any]:
    return a_fault_doc(name, scale={"replicas": replicas}, **{"for": "1s"}, **more)


async def course(director: Director, namespace: RunNamespace) -> None:
    namespace.lag_s = 0.05
    await director.gate_opened()
    await director.begin_with("paid")
    for _ in range(20):
        director.met(loop().now(), "orders")
        await asyncio.sleep(0.5)
    await director.end_with("paid")
    await director.settle()


def test_what_follows_a_scale_finds_the_number_of_pods_of_before() -> None:
    faults = [a_scale("first", 0), a_scale("second", 1, when={"fault": "first"})]
    states, namespace = played(*faults, course=course)
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2
    assert [each["state"] for each in states.values()] == ["Recovered", "Recovered"]


def test_what_scales_again_after_a_scale_has_not_ended_early() -> None:
    faults = [a_scale("first", 0), a_scale("second", 0, when={"fault": "first"})]
    states, _ = played(*faults, course=course)
    assert [each["state"] for each in states.values()] == ["Recovered", "Recovered"]
