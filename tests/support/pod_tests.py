"""Tests in pods of their own, beside what their pods do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from seatrial.api import journal
from seatrial_runner.conductor.desk import Desk
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.nofaults import NoFaults
from seatrial_runner.conductor.pod_tests import PodTests
from seatrial_runner.conductor.seen import EVENTS, PODS, keep_seen
from seatrial_runner.conductor.stage import Stage

from tests.support.conducted import a_run_doc, a_stage
from tests.support.pods import a_pod
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import in_virtual_time

SUITE = {"name": "suite", "timeout": "60s", "retries": 0, "pytest": {"parallelism": 1}}
TOOL: dict[str, Any] = {"name": "tool", "timeout": "60s", "retries": 0, "container": {}}
AT = "2026-11-20T12:00:00.000Z"

Pod = Callable[[Desk, RunNamespace], Awaitable[None]]


def came(
    test: dict[str, Any],
    pod: Pod,
    *,
    interrupted: bool = False,
    faults: Callable[[Stage], NoFaults] = NoFaults,
    linger_s: float = 0.0,
) -> tuple[journal.TestState, Stage, RunNamespace]:
    """Run a test beside what its pod does; give its state, Stage and namespace."""

    async def course() -> tuple[journal.TestState, Stage, RunNamespace]:
        namespace = RunNamespace()
        stage = await a_stage(namespace, a_run_doc(tests=[test], access=True))
        desk = Desk(stage)
        tests = PodTests(stage, desk, faults(stage), Keepsakes(stage))
        background = [
            asyncio.create_task(stage.journal.keep_written()),
            asyncio.create_task(keep_seen(namespace.api, NAMESPACE, PODS, stage.seen)),
            asyncio.create_task(keep_seen(namespace.api, NAMESPACE, EVENTS, stage.seen)),
            asyncio.create_task(pod(desk, namespace)),  # type: ignore[arg-type]
        ]
        state = stage.journal.summary["tests"][0]
        come = await tests.run(test, state, interrupted=interrupted)
        stage.finish_test(state, come.outcome, come.message, lost=come.lost)
        await asyncio.sleep(linger_s)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        return state, stage, namespace

    return in_virtual_time(course())


def a_result(name: str = "test_a", outcome: str = "passed") -> dict[str, Any]:
    return {"id": name, "outcome": outcome, "startedAt": AT, "finishedAt": AT, "message": "no"}


def stand(namespace: RunNamespace, test: str = "suite", **more: Any) -> dict[str, Any]:
    """Put the test's pod there."""
    name = more.pop("name", f"test-{test}-0-x")
    return namespace.add("pods", a_pod(name, test=test, **{"phase": "Running", **more}))


async def through_the_gate(desk: Desk, test: str = "suite") -> None:
    while not (await desk.gate(test, 0, 30.0)).get("open"):
        pass
