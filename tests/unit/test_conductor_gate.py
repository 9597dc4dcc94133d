"""The gate opens when everything is ready, and gives up as soon as that is hopeless."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from seatrial.api.journal import FailureDoc
from seatrial_runner.conductor.gate import kinds_to_watch, pass_gate, report_services
from seatrial_runner.conductor.readiness import service_state
from seatrial_runner.conductor.seen import DEPLOYMENTS, EVENTS, PODS, keep_seen
from seatrial_runner.conductor.stage import Stage

from tests.support.conducted import a_run_doc, a_scenario, a_service_doc, a_stage
from tests.support.pods import a_pod, an_end, an_event, running, waiting
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import in_virtual_time, loop


def passed(
    prepare: Callable[[RunNamespace], None],
    take: Callable[[Stage], object] = lambda stage: None,
    **run: Any,
) -> tuple[FailureDoc | None, Stage, float]:
    """Stand at the gate of a run with service orders; give what came of it, and when."""

    async def course() -> tuple[FailureDoc | None, Stage, float]:
        namespace = RunNamespace(start_s=2.0)
        stage = await a_stage(namespace, a_run_doc(**{"services": [a_service_doc()], **run}))
        tasks = [
            asyncio.create_task(keep_seen(namespace.api, NAMESPACE, kind, stage.seen))
            for kind in (PODS, DEPLOYMENTS, EVENTS)
        ]
        prepare(namespace)
        take(stage)
        began = loop().time()
        failure = await pass_gate(stage)
        took = loop().time() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return failure, stage, took

    return in_virtual_time(course())


def test_it_opens_with_the_last_readiness() -> None:
    failure, stage, took = passed(lambda namespace: namespace.deployment("orders"))
    assert failure is None
    assert 2.0 <= took < 2.2
    assert stage.journal.summary["services"][0]["state"] == "Ready"


def test_a_port_that_is_not_reached_is_told_at_the_gate_and_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    why = "connection refused: nothing listens on orders:8080"
    meanwhile: list[str] = []

    async def ask(work: Any, listen: Any, *, timeout_s: float) -> Any:
        await listen({"service": "orders", "problem": why})
        meanwhile.append(stages[0].journal.summary["services"][0]["message"])
        return {"missing": {"orders": why}}

    stages: list[Stage] = []
    monkeypatch.setattr("seatrial_runner.conductor.reach.run_in_worker", ask)
    services = [a_service_doc(ports=True), a_service_doc("web")]

    def prepare(namespace: RunNamespace) -> None:
        namespace.deployment("orders")
        namespace.deployment("web")

    failure, stage, _ = passed(prepare, stages.append, services=services)
    assert failure is None
    report_services(stage, [service_state(each, stage.seen) for each in services])
    assert meanwhile == [f"is ready, but clients do not reach it yet: {why}"]
    orders, web = stage.journal.summary["services"]
    assert orders["message"] == f"was ready, but clients did not reach it within 10 s: {why}"
    assert (orders["state"], web["message"]) == ("Ready", "")


def test_a_crash_loop_ends_it_with_the_last_log_lines() -> None:
    def prepare(namespace: RunNamespace) -> None:
        crashing = waiting("CrashLoopBackOff", restarts=2, last=an_end(3))
        namespace.add("pods", a_pod("orders-a", containers=[crashing]))
        namespace.logs["orders-a/previous"] = "x" * 5000 + "\npassword=hunter2\nno database"

    failure, stage, took = passed(prepare)
    assert failure is not None
    assert (failure["reason"], failure["pod"]) == ("CrashLoop", "orders-a")
    assert failure["logs"].endswith("password=***\nno database")
    assert len(failure["logs"]) <= 2048
    assert took < 1.0
    assert stage.journal.summary["services"][0]["state"] == "Failed"


def test_a_service_that_crashes_once_and_then_comes_up_is_fine() -> None:
    def prepare(namespace: RunNamespace) -> None:
        crashing = waiting("CrashLoopBackOff", restarts=1, last=an_end(1))
        namespace.add("pods", a_pod("orders-a", containers=[crashing]))

        def recover() -> None:
            namespace.add(
                "pods",
                a_pod("orders-a", ready=True, containers=[running(ready=True, restarts=1)]),
            )
            namespace.deployment("orders", replicas=1)

        loop().call_later(10.0, recover)

    failure, _, took = passed(prepare)
    assert failure is None
    assert took > 10.0


def test_a_finding_ripens_without_an_event() -> None:
    def prepare(namespace: RunNamespace) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available.",
            "lastTransitionTime": "2026-11-20T12:00:00Z",
        }
        namespace.add("pods", a_pod(conditions=[condition]))

    failure, _, took = passed(prepare)
    assert failure is not None
    assert failure["reason"] == "Unschedulable"
    assert 9.0 < took < 12.0


def test_at_the_timeout_it_says_what_each_service_waits_for() -> None:
    def prepare(namespace: RunNamespace) -> None:
        probe = {"httpGet": {"path": "/ready", "port": 8080}}
        namespace.add("pods", a_pod(containers=[running()], probe=probe))

    services = [a_service_doc(), a_service_doc("web", wave=1)]
    failure, _, took = passed(prepare, provisioningTimeout=30.0, services=services)
    assert failure is not None
    assert failure["reason"] == "NotReadyInTime"
    assert "orders: the readinessProbe of container main (GET /ready" in failure["message"]
    assert "web: nothing of it is there yet" in failure["message"]
    assert 29.9 < took < 30.1


def test_a_test_pod_that_can_never_start_ends_it_too() -> None:
    def prepare(namespace: RunNamespace) -> None:
        lost = waiting("InvalidImageName", "couldn't parse")
        namespace.add("pods", a_pod("test-suite-0-x", test="suite", containers=[lost]))

    suite = {"name": "suite", "pytest": {"parallelism": 1}}
    failure, _, _ = passed(prepare, tests=[suite], access=True)
    assert failure is not None
    assert failure["reason"] == "ImagePullFailed"
    assert "of test suite" in failure["message"]


@pytest.mark.parametrize("about", ["test-load-2", "test-load-2-0-x"])
def test_a_test_is_not_blamed_for_one_whose_name_begins_the_same(about: str) -> None:
    def prepare(namespace: RunNamespace) -> None:
        namespace.add("pods", a_pod("test-load-2-0-x", test="load-2"))
        namespace.add("events", an_event("FailedCreate", "exceeded quota: seatrial", about=about))

    tests = [{"name": name, "pytest": {"parallelism": 1}} for name in ("load", "load-2")]
    failure, _, _ = passed(prepare, tests=tests, access=True)
    assert failure is not None
    assert "the pods of test load-2:" in failure["message"]


def test_a_plain_run_watches_nothing() -> None:
    async def course() -> list[str]:
        stage = await a_stage(RunNamespace(), a_run_doc(tests=[a_scenario()]))
        return [kind.name for kind in kinds_to_watch(stage)]

    assert in_virtual_time(course()) == []
