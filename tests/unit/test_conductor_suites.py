"""pytest in a pod of its own: its turn, its end, and results that will never come."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from seatrial_runner.clock import parse
from seatrial_runner.conductor.desk import Desk

from tests.support.pod_tests import SUITE, Pod, a_result, came, stand, through_the_gate
from tests.support.pods import ended, running, waiting
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import loop


def a_suite(*results: dict[str, Any], **finished: Any) -> Pod:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[running(ready=True)])
        await asyncio.sleep(3.0)
        await through_the_gate(desk)
        desk.results("suite", {"cases": list(results)})
        await desk.finished("suite", {"exitCode": 0, "collected": len(results), **finished})

    return pod


def test_a_suite_that_passes() -> None:
    state, _, _ = came(SUITE, a_suite(a_result()))
    assert (state["outcome"], state["passed"], state["lost"]) == ("Passed", 1, False)


def test_the_gate_opens_when_it_is_written_that_the_test_runs() -> None:
    # Else a conductor that is killed now leaves a pod that is through, and another who waits for it
    # to come.
    written: list[str] = []

    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        desk._stage.journal.summary["tests"][0]["outcome"] = "Running"
        stand(namespace, containers=[running(ready=True)])
        await through_the_gate(desk)
        written.append(namespace.summary()["tests"][0]["outcome"])
        desk.results("suite", {"cases": [a_result()]})
        await desk.finished("suite", {"exitCode": 0, "collected": 1})

    came(SUITE, pod)
    assert written == ["Running"]


def test_a_suite_with_a_failure() -> None:
    state, _, _ = came(SUITE, a_suite(a_result(), a_result("test_b", "failed"), exitCode=1))
    assert (state["outcome"], state["message"]) == ("Failed", "test_b: no")


@pytest.mark.parametrize(
    ("finished", "outcome", "words"),
    [
        ({"exitCode": 5}, "Skipped", "collected no tests"),
        ({"exitCode": 4, "message": "unrecognized arguments: -z"}, "Error", "unrecognized"),
        ({"exitCode": 3}, "Error", "pytest ended with status 3"),
    ],
)
def test_a_suite_that_could_not_run_says_why(
    finished: dict[str, Any], outcome: str, words: str
) -> None:
    state, _, _ = came(SUITE, a_suite(**finished))
    assert state["outcome"] == outcome
    assert words in state["message"]


def test_a_status_of_failure_without_a_failed_case_is_an_error() -> None:
    state, _, _ = came(SUITE, a_suite(a_result(), exitCode=1, message="coverage is too low"))
    assert (state["outcome"], state["message"]) == ("Error", "coverage is too low")


def test_results_that_never_come_are_lost() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        await a_suite(a_result(), collected=3)(desk, namespace)
        await desk.finished("suite", {"exitCode": 0, "collected": 3})

    state, _, _ = came(SUITE, pod)
    assert (state["outcome"], state["lost"]) == ("Error", True)
    assert "2 of 3 results of shard 0 are missing" in state["message"]


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (ended(137, reason="OOMKilled"), "OOMKilled: raise the memory limit"),
        (ended(1), "ended with exit status 1"),
    ],
)
def test_a_runner_that_dies_loses_its_results(container: dict[str, Any], words: str) -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[running()])
        await through_the_gate(desk)
        stand(namespace, containers=[container])
        namespace.change("pods", "test-suite-0-x", lambda i: i["status"].update(phase="Failed"))

    state, _, _ = came(SUITE, pod)
    assert (state["outcome"], state["lost"]) == ("Error", True)
    assert words in state["message"]


def test_what_a_pod_sent_just_before_its_end_still_counts() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[ended(0)])
        await through_the_gate(desk)
        namespace.change("pods", "test-suite-0-x", lambda i: i["status"].update(phase="Succeeded"))
        await asyncio.sleep(1.0)
        desk.results("suite", {"cases": [a_result()]})
        await desk.finished("suite", {"exitCode": 0, "collected": 1})

    state, _, _ = came(SUITE, pod)
    assert (state["outcome"], state["lost"]) == ("Passed", False)


def three_shards(*, second: Pod) -> Pod:
    """Three pods, of which the first and the last hand in a case each; the last one late."""

    async def shard(desk: Desk, namespace: RunNamespace, number: int) -> None:
        while not (await desk.gate("suite", number, 30.0)).get("open"):
            pass
        if number == 1:
            return await second(desk, namespace)
        await asyncio.sleep(number * 15.0)
        desk.results("suite", {"shard": number, "cases": [a_result(f"test_{number}")]})
        await desk.finished("suite", {"shard": number, "exitCode": 0, "collected": 1})

    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        for number in range(3):
            index = {"batch.kubernetes.io/job-completion-index": str(number)}
            name = f"test-suite-{number}-x"
            stand(namespace, name=name, containers=[running(ready=True)], annotations=index)
        await asyncio.gather(*(shard(desk, namespace, number) for number in range(3)))

    return pod


async def is_deleted(desk: Desk, namespace: RunNamespace) -> None:
    body = {"preconditions": {"uid": "uid-of-test-suite-1-x"}}
    await namespace.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/test-suite-1-x", body)


async def is_killed(desk: Desk, namespace: RunNamespace) -> None:
    stand(namespace, name="test-suite-1-x", containers=[ended(137)], annotations=FIRST)
    namespace.change("pods", "test-suite-1-x", lambda i: i["status"].update(phase="Failed"))


async def says_so(desk: Desk, namespace: RunNamespace) -> None:
    ended = {"exitCode": 143, "message": "pytest ended without a result: killed by SIGTERM"}
    await desk.finished("suite", {"shard": 1, **ended})


FIRST = {"batch.kubernetes.io/job-completion-index": "1"}
SHARDED = {**SUITE, "pytest": {"parallelism": 3}}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (is_deleted, "the pod of shard 1 is gone"),
        (is_killed, "pod test-suite-1-x ended with exit status 137"),
        (says_so, "shard 1: pytest ended without a result: killed by SIGTERM"),
    ],
)
def test_a_shard_that_dies_is_named_and_the_others_are_waited_for(how: Pod, words: str) -> None:
    state, _, _ = came(SHARDED, three_shards(second=how))
    assert (state["outcome"], state["passed"]) == ("Error", 2)
    assert words in state["message"]


def test_a_pod_that_can_never_start_is_an_error() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[waiting("ErrImagePull", "suite:1: not found")])

    state, _, _ = came(SUITE, pod)
    assert (state["outcome"], state["lost"]) == ("Error", False)
    assert "cannot be had" in state["message"]


def test_a_suite_that_is_out_of_time_fails_and_its_pod_is_deleted() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[running()])
        namespace.logs["test-suite-0-x"] = "still at it"
        await asyncio.sleep(30.0)  # a slow start is not the suite's time
        await through_the_gate(desk)
        began.append(loop().now())
        await asyncio.sleep(3600)

    began: list[datetime] = []
    state, _, namespace = came(SUITE, pod)
    assert (state["outcome"], state["failed"]) == ("Failed", 1)
    assert "timed out after 1m" in state["message"]
    assert "delete pods/test-suite-0-x" in namespace.writes
    took = parse(state["finishedAt"] or "") - began[0]
    assert took.total_seconds() == pytest.approx(60, abs=1)


def test_every_attempt_has_its_own_time() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[running()])
        await through_the_gate(desk)
        for attempt, outcome in ((1, "failed"), (2, "passed")):
            await asyncio.sleep(45.0)
            case = a_result(outcome=outcome)
            desk.results("suite", {"attempt": attempt, "cases": [case]})
            await desk.finished("suite", {"attempt": attempt, "exitCode": 0, "collected": 1})

    state, _, _ = came({**SUITE, "retries": 1}, pod)
    assert (state["outcome"], state["flaky"], state["attempts"]) == ("Passed", 1, 2)


def test_a_suite_in_the_middle_is_not_sent_to_the_gate_again() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[running()])
        await asyncio.sleep(5.0)
        desk.results("suite", {"cases": [a_result()]})
        await desk.finished("suite", {"exitCode": 0, "collected": 1})

    state, _, _ = came(SUITE, pod, interrupted=True)
    assert state["outcome"] == "Passed"


@pytest.mark.parametrize(
    ("at", "told"),
    [("2026-11-20T12:05:00Z", True), ("2026-11-20T11:55:00Z", False)],
    ids=["ahead", "behind-or-late"],
)
def test_a_clock_that_is_ahead_is_told_once(at: str, told: bool) -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[running(ready=True)])
        await through_the_gate(desk)
        for name in ("a", "b"):
            case = {**a_result(name), "startedAt": at, "finishedAt": at}
            desk.results("suite", {"cases": [case]})
        await desk.finished("suite", {"exitCode": 0, "collected": 2})

    _, stage, _ = came(SUITE, pod)
    lost = stage.journal.summary["lostEvidence"]
    assert len(lost) == told
    assert all("The clock of a pod of test suite is 4m59" in each for each in lost)
