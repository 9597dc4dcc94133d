"""Scenarios in a conductor's workers: attempts, cases, time, teardown, faults."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.verdict import Verdict
from seatrial_runner.clock import parse
from seatrial_runner.conductor import scenario_tests
from seatrial_runner.scenario.identity import identity

from tests.support.conducted import (
    a_conductor,
    a_fault_doc,
    a_run_doc,
    a_scenario,
    a_service_doc,
    abort,
    order,
    verdict,
)
from tests.support.loopback import Loopback
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop


@pytest.fixture
def orders() -> Iterator[Loopback]:
    """A service on loopback."""
    with Loopback() as server:
        yield server


def http_run(**more: Any) -> tuple[dict[str, Any], Verdict]:
    """Run tests without services; give the first test's state and the verdict."""

    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(**more))
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    return dict(namespace.summary()["tests"][0]), verdict(namespace)


# Newer Pythons warn of a fork beside threads; here it is the test that has one, for its service.
beside_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.mark.parametrize(("attempt", "seed"), [(1, "as-before"), (2, "as-before.2")])
def test_a_scenario_is_of_the_seed_of_its_run(attempt: int, seed: str) -> None:
    step = {"set": {"id": "run.id"}, "expect": ["run.id == ''"]}
    state, _ = http_run(seed="as-before", tests=[a_scenario("made", step, retries=attempt - 1)])
    made = identity("made", "made", seed)["id"]  # another in each attempt: it must be unique
    assert f'run.id is "{made}"' in state["failures"][0]["message"]


@beside_threads
def test_a_scenario_that_passes_at_its_second_attempt_is_flaky(orders: Loopback) -> None:
    for status in (500, 200):
        orders.answer("GET /", status=status)
    get = {"http": {"get": f"{orders.url}/"}, "expect": ["response.status == 200"]}
    state, outcome = http_run(tests=[a_scenario("paid", get, retries=1)])
    assert (state["outcome"], state["flaky"], state["attempts"]) == ("Passed", 1, 2)
    assert outcome is Verdict.PASSED


@beside_threads
def test_attempts_end_with_the_retries(orders: Loopback) -> None:
    for status in (500, 500, 200):
        orders.answer("GET /", status=status)
    get = {"http": {"get": f"{orders.url}/"}, "expect": ["response.status == 200"]}
    state, outcome = http_run(tests=[a_scenario("paid", get, retries=1)])
    assert (state["outcome"], state["attempts"]) == ("Failed", 2)
    assert outcome is Verdict.FAILED


def test_a_matrix_is_a_case_for_each_combination() -> None:
    step = {"expect": ["sku != 'B2'"]}
    test = a_scenario("paid", step, matrix={"sku": ["A1", "B2", "C3"]})
    state, _ = http_run(tests=[test])
    assert (state["passed"], state["failed"]) == (2, 1)
    assert [case["name"] for case in state["failures"]] == ["paid[B2]"]


def test_a_worker_that_dies_is_an_error_of_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario_tests, "run_instance", lambda *_: os.kill(os.getpid(), 9))
    state, _ = http_run(tests=[a_scenario("paid")])
    assert state["outcome"] == "Error"
    assert "was killed by SIGKILL" in state["message"]


def test_a_worker_that_hangs_is_killed_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scenario_tests, "run_instance", lambda *_: signal.pause())
    state, _ = http_run(tests=[a_scenario("paid", timeout="1s")])
    assert (state["outcome"], state["message"]) == ("Failed", "paid: timed out after 1s")


async def abort_when(begun: Callable[[], bool], namespace: RunNamespace) -> datetime:
    """Abort the run as soon as its worker is at work; give when."""
    while not begun():  # noqa: ASYNC110 - what a worker has done has no event to wait for
        await asyncio.sleep(0.05)
    abort(namespace)
    return loop().now()


@beside_threads
@pytest.mark.parametrize("end", ["abort", "deadline", "timeout", "failure"])
def test_a_teardown_runs_however_its_test_ends(orders: Loopback, end: str) -> None:
    orders.answer("DELETE /all", json={})
    begins = {"http": {"get": f"{orders.url}/begins"}}
    waits = {"eventually": {"within": "4m"}, "expect": ["1 == 2"]}
    test = a_scenario(
        "long",
        begins,
        {"expect": ["1 == 2"]} if end == "failure" else waits,
        timeout="3s" if end == "timeout" else "5m",
        teardown=[{"http": {"delete": f"{orders.url}/all"}}],
    )
    deadline = {"deadline": "2026-11-20T12:00:05.000Z"} if end == "deadline" else {}

    async def course() -> RunNamespace:
        namespace = RunNamespace()
        loop().pace = 1.0  # the worker has as much time for its teardown as in the world
        order(namespace, a_run_doc(tests=[test], **deadline))
        async with asyncio.TaskGroup() as tasks:
            if end == "abort":
                tasks.create_task(abort_when(lambda: bool(orders.asked), namespace))
            tasks.create_task(a_conductor(namespace))
        return namespace

    namespace = in_virtual_time(course())
    assert [each.path for each in orders.asked] == ["/begins", "/all"]
    assert namespace.summary()["finished"] is not None


def test_a_teardown_that_hangs_after_a_stop_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    def hang(*_: object) -> None:
        try:
            begun.touch()
            signal.pause()
        finally:
            signal.pause()

    monkeypatch.setattr(scenario_tests, "run_instance", hang)

    async def course() -> tuple[datetime, RunNamespace]:
        namespace = RunNamespace()
        fault = a_fault_doc("f", scale={"replicas": 0}, **{"for": "10m"}, when={"test": "paid"})
        test = a_scenario(teardown=[{"expect": ["true"]}])
        order(namespace, a_run_doc(services=[a_service_doc()], faults=[fault], tests=[test]))
        namespace.deployment("orders")
        async with asyncio.TaskGroup() as tasks:
            aborted = tasks.create_task(abort_when(begun.exists, namespace))
            tasks.create_task(a_conductor(namespace))
        return aborted.result(), namespace

    aborted, namespace = in_virtual_time(course())
    summary = namespace.summary()
    assert summary["finished"] is not None
    # And not when the test's own time of 5 min is over.
    assert 7.9 <= (parse(summary["finished"]["at"]) - aborted).total_seconds() < 120
    # No fault stays on for that.
    reverted = summary["faults"][0]["reverted"]
    assert reverted is not None
    assert (parse(reverted) - aborted).total_seconds() < 7.9


def test_an_abort_while_recovery_is_awaited_ends_the_run_in_order() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace(start_s=30.0)

        def is_undone() -> bool:
            written = "data" in namespace.objects["configmaps", "seatrial-journal"]
            return written and namespace.summary()["faults"][0]["reverted"] is not None

        fault = a_fault_doc("f", scale={"replicas": 0}, **{"for": "10m"}, when={"test": "paid"})
        tests = [a_scenario("paid"), a_scenario("sent")]
        order(namespace, a_run_doc(services=[a_service_doc()], faults=[fault], tests=tests))
        namespace.deployment("orders")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(abort_when(is_undone, namespace))
            tasks.create_task(a_conductor(namespace))
        return namespace

    summary = in_virtual_time(course()).summary()
    assert summary["finished"] is not None
    assert summary["finished"]["reason"] == "Aborted"
    assert summary["faults"][0]["state"] == "Reverted"


def test_a_scenario_starts_and_stops_a_fault_itself() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        fault = a_fault_doc(
            "none-left", scale={"replicas": 0}, **{"for": "10m"}, when={"manual": {}}
        )
        steps = [{"fault": {"start": "none-left"}}, {"fault": {"stop": "none-left"}}]
        order(
            namespace,
            a_run_doc(
                services=[a_service_doc()], faults=[fault], tests=[a_scenario("itself", *steps)]
            ),
        )
        namespace.deployment("orders", replicas=2)
        await a_conductor(namespace)
        return namespace

    summary = in_virtual_time(course()).summary()
    assert summary["tests"][0]["outcome"] == "Passed"
    [fault] = summary["faults"]
    assert (fault["state"], fault["revertedBy"]) == ("Recovered", "test")
    assert fault["exposedTests"] == ["itself"]


@pytest.mark.parametrize(
    "more", [{"retries": 1}, {"matrix": {"sku": ["A1", "B2"]}}], ids=["attempts", "instances"]
)
def test_what_a_scenario_has_left_on_is_over_before_it_begins_again(more: dict[str, Any]) -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        fault = a_fault_doc("none-left", scale={"replicas": 0}, **{"for": "10m"})
        fault["when"] = {"manual": {}}
        steps = [{"fault": {"start": "none-left"}}, {"expect": ["1 == 2"]}]
        test = a_scenario("itself", *steps, **more)
        order(namespace, a_run_doc(services=[a_service_doc()], faults=[fault], tests=[test]))
        namespace.deployment("orders", replicas=2)
        await a_conductor(namespace)
        return namespace

    summary = in_virtual_time(course()).summary()
    failures = summary["tests"][0]["failures"]
    assert [each["outcome"] for each in failures] == ["failed"] * (2 if "matrix" in more else 1)
    assert summary["faults"][0]["times"] == 2


def test_an_order_that_cannot_be_carried_out_is_an_error_of_the_step() -> None:
    state, _ = http_run(tests=[a_scenario("itself", {"fault": {"start": "none"}})])
    assert state["outcome"] in ("Error", "Failed")
    assert "there is no fault 'none'" in state["message"]
