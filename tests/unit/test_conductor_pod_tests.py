"""Tests in pods of their own: their turn, their end, and results that will never come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from seatrial.api import journal
from seatrial_runner.clock import parse
from seatrial_runner.conductor.desk import Desk
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.nofaults import NoFaults
from seatrial_runner.conductor.pod_tests import PodTests
from seatrial_runner.conductor.seen import EVENTS, PODS, keep_seen
from seatrial_runner.conductor.stage import Stage

from tests.support.conducted import a_run_doc, a_stage
from tests.support.pods import a_pod, ended, running, waiting
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

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
    return namespace.add("pods", a_pod(name, test=test, phase="Running", **more))


async def through_the_gate(desk: Desk, test: str = "suite") -> None:
    while not (await desk.gate(test, 0, 30.0)).get("open"):
        pass


# pytest -----------------------------------------------------------------------------------------


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


# container --------------------------------------------------------------------------------------


def a_tool(
    *codes: int, junit: str | None = None, sidecar: bool = False, missing: str | None = ""
) -> Pod:
    """
    A pod for each exit status; the next comes when the one before has failed.

    ``missing`` is what its sidecar says of files it could not hand in; None: it says nothing.
    """

    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        for number, code in enumerate(codes):
            name = f"test-tool-0-{number}"
            collect = [running(name="collect")] if sidecar else []
            created = f"2026-11-20T12:00:{number:02d}Z"
            status = {"name": name, "creationTimestamp": created, "init": collect}
            stand(namespace, "tool", **status, containers=[waiting("PodInitializing", name="test")])
            await through_the_gate(desk, "tool")
            stand(namespace, "tool", **status, containers=[running(name="test")])
            await asyncio.sleep(2.0)
            namespace.logs[name] = f"ended with {code}"
            if junit is not None:
                desk.junit("tool", "r.xml", junit.encode())
            done = {**status, "init": [ended(0, name="collect")] if sidecar else []}
            if sidecar and missing is not None:
                handed_in = {"files": int(junit is not None), "missing": missing}
                told = asyncio.create_task(desk.collected("tool", handed_in))
            stand(namespace, "tool", **done, containers=[ended(code, name="test")])
            await asyncio.sleep(1.0)
            if sidecar and missing is not None:
                await told

    return pod


def test_a_container_passes_with_status_0() -> None:
    state, _, _ = came(TOOL, a_tool(0))
    assert (state["outcome"], state["passed"]) == ("Passed", 1)


class Beginnings(NoFaults):
    """Remembers which tests were said to begin."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.of: list[str] = []

    async def begin_with(self, test: str) -> None:
        self.of.append(test)


@pytest.mark.parametrize(("seen_running", "expected"), [(True, ["tool"]), (False, [])])
def test_faults_begin_with_a_container_that_runs_not_with_one_that_is_over(
    seen_running: bool, expected: list[str]
) -> None:
    async def short(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, "tool", containers=[waiting("PodInitializing", name="test")])
        await through_the_gate(desk, "tool")
        stand(namespace, "tool", containers=[ended(0, name="test")])

    begun: list[Beginnings] = []
    came(TOOL, a_tool(0) if seen_running else short, faults=lambda s: keep(begun, Beginnings(s)))
    assert begun[0].of == expected


def keep(kept: list[Beginnings], one: Beginnings) -> Beginnings:
    kept.append(one)
    return one


def test_a_container_fails_with_another_status_and_shows_its_last_lines() -> None:
    state, stage, _ = came(TOOL, a_tool(3))
    assert (state["outcome"], state["message"]) == ("Failed", "tool: exit status 3")
    assert stage.cases_of("tool").last()[0]["details"] == "ended with 3"


WITH_FILES = {**TOOL, "container": {"junit": "/results/*.xml"}}
A = '<testcase name="a"/>'
BAD = f'<testsuite>{A}<testcase name="b"><failure message="no"/></testcase></testsuite>'
GOOD = f'<testsuite>{A}<testcase name="b"/></testsuite>'


@pytest.mark.parametrize(
    ("code", "junit", "outcome", "counts", "lost"),
    [
        pytest.param(0, GOOD, "Passed", (2, 0), False, id="both-say-so"),
        pytest.param(1, BAD, "Failed", (1, 1), False, id="both-say-no"),
        pytest.param(0, BAD, "Failed", (1, 1), False, id="the-files-say-no"),
        pytest.param(2, GOOD, "Failed", (2, 1), False, id="the-status-says-no"),
        pytest.param(0, "<oops", "Error", (0, 0), True, id="malformed"),
        pytest.param(0, None, "Error", (0, 0), True, id="no-file"),
        pytest.param(1, None, "Failed", (0, 1), False, id="no-file-but-a-bad-status"),
    ],
)
def test_files_and_status_are_taken_together(
    code: int, junit: str | None, outcome: str, counts: tuple[int, int], lost: bool
) -> None:
    state, _, _ = came(WITH_FILES, a_tool(code, junit=junit, sidecar=True))
    assert (state["outcome"], state["lost"]) == (outcome, lost)
    assert (state["passed"], state["failed"]) == counts


@pytest.mark.parametrize(
    ("code", "junit", "missing", "outcome", "said"),
    [
        pytest.param(0, GOOD, "b.xml: is larger", "Error", "b.xml: is larger", id="too-large"),
        pytest.param(0, None, "b.xml: is larger", "Error", "b.xml: is larger", id="the-only-one"),
        pytest.param(0, BAD, "b.xml: is larger", "Failed", "b.xml: is larger", id="a-failure-too"),
        pytest.param(0, GOOD, None, "Error", "nobody said that all", id="the-sidecar-was-killed"),
    ],
)
def test_a_test_whose_files_are_not_all_there_has_not_passed(
    code: int, junit: str | None, missing: str | None, outcome: str, said: str
) -> None:
    state, _, _ = came(WITH_FILES, a_tool(code, junit=junit, sidecar=True, missing=missing))
    assert (state["outcome"], state["lost"]) == (outcome, outcome == "Error")
    assert said in state["message"]


def test_a_sidecar_hears_that_all_is_in_when_it_is_written() -> None:
    # It ends with the answer, and the files with it: a conductor that is killed before would leave
    # none who has them.
    told: list[Any] = []

    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        status = {"init": [running(name="collect")]}
        stand(namespace, "tool", **status, containers=[waiting("PodInitializing", name="test")])
        await through_the_gate(desk, "tool")
        stand(namespace, "tool", **status, containers=[ended(0, name="test")])
        told.append(await desk.collected("tool", {"files": 1}))
        desk.junit("tool", "r.xml", GOOD.encode())
        collected = asyncio.create_task(desk.collected("tool", {"files": 1}))
        collected.add_done_callback(lambda _: told.append(namespace.summary()["tests"][0]))
        kept_alive.append(collected)

    kept_alive: list[asyncio.Task[Any]] = []

    async def patient(desk: Desk, namespace: RunNamespace) -> None:
        await pod(desk, namespace)
        await asyncio.sleep(60)

    state, _, _ = came(WITH_FILES, patient, linger_s=2.0)
    assert state["passed"] == 2
    again, written = told
    assert again == {"resend": True}
    assert (written["outcome"], written["passed"]) == ("Passed", 2)


def test_another_pod_is_another_attempt() -> None:
    state, _, _ = came({**TOOL, "retries": 2}, a_tool(1, 1, 0))
    assert (state["outcome"], state["attempts"], state["flaky"]) == ("Passed", 3, 1)


def test_attempts_end_with_the_retries() -> None:
    state, _, _ = came({**TOOL, "retries": 1}, a_tool(1, 1, 0))
    assert (state["outcome"], state["attempts"]) == ("Failed", 2)


@pytest.mark.parametrize(
    ("container", "lost", "words"),
    [
        (ended(137, reason="OOMKilled", name="test"), True, "OOMKilled"),
        (ended(128, reason="StartError", name="test"), False, "could not be started"),
    ],
)
def test_a_container_that_measured_nothing_is_an_error(
    container: dict[str, Any], lost: bool, words: str
) -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, "tool", containers=[waiting("PodInitializing", name="test")])
        await through_the_gate(desk, "tool")
        stand(namespace, "tool", containers=[container])

    state, _, _ = came(TOOL, pod)
    assert (state["outcome"], state["failed"], state["lost"]) == ("Error", 0, lost)
    assert words in state["message"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        ("ErrImagePull", "tool:1: not found"),
    ],
)
def test_a_container_that_never_begins_has_lost_nothing(reason: str, said: str) -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, "tool", containers=[waiting("PodInitializing", name="test")])
        await through_the_gate(desk, "tool")
        stand(namespace, "tool", containers=[waiting(reason, said, name="test")])

    state, _, _ = came({**TOOL, "retries": 1}, pod)
    assert (state["outcome"], state["attempts"], state["lost"]) == ("Error", 1, False)
    assert said in state["message"]


def test_an_evicted_pod_loses_its_results() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, "tool", containers=[waiting("PodInitializing", name="test")])
        await through_the_gate(desk, "tool")
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByKubelet"}
        container = ended(137, name="test")
        stand(namespace, "tool", containers=[container], conditions=[condition])

    state, _, _ = came(TOOL, pod)
    assert (state["outcome"], state["lost"]) == ("Error", True)
    assert "EvictionByKubelet" in state["message"]
