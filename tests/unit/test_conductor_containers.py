"""A test in the user's own image: its files, its status, its attempts, and its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from seatrial_runner.conductor import cases
from seatrial_runner.conductor.desk import Desk
from seatrial_runner.conductor.nofaults import NoFaults
from seatrial_runner.conductor.seen import PODS
from seatrial_runner.conductor.stage import Stage

from tests.support.pod_tests import TOOL, Pod, came, stand, through_the_gate
from tests.support.pods import a_pod, ended, running, waiting
from tests.support.run_namespace import RunNamespace


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
    """Remembers which tests were said to begin, and to begin again."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.of: list[str] = []
        self.again: list[str] = []

    async def begin_with(self, test: str) -> None:
        await super().begin_with(test)
        self.of.append(test)

    async def begins_again(self, test: str) -> None:
        self.again.append(test)


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


def test_faults_begin_with_the_first_attempt_and_those_it_left_on_end_before_the_next() -> None:
    begun: list[Beginnings] = []
    tool = {**TOOL, "retries": 2}
    came(tool, a_tool(1, 1, 0), faults=lambda stage: keep(begun, Beginnings(stage)))
    assert (begun[0].of, begun[0].again) == (["tool"], ["tool", "tool"])


def test_faults_begin_anew_with_a_further_attempt_that_a_restart_has_interrupted() -> None:
    first = {"name": "test-tool-0-0", "containers": [ended(1, name="test")]}
    again = {"name": "test-tool-0-1", "creationTimestamp": "2026-11-20T12:00:01Z"}
    running_again = {**again, "containers": [running(name="test")]}

    async def second(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, "tool", **first)
        stand(namespace, "tool", **running_again)
        await asyncio.sleep(2.0)
        stand(namespace, "tool", **again, containers=[ended(0, name="test")])

    def known(stage: Stage) -> Beginnings:
        pods = [a_pod(test="tool", phase="Running", **each) for each in (first, running_again)]
        stage.seen.replace(PODS, pods)
        return keep(begun, Beginnings(stage))

    begun: list[Beginnings] = []
    state, _, _ = came({**TOOL, "retries": 1}, second, interrupted=True, faults=known)
    assert (state["outcome"], state["attempts"]) == ("Passed", 2)
    assert begun[0].of == ["tool"]


def keep(kept: list[Beginnings], one: Beginnings) -> Beginnings:
    kept.append(one)
    return one


def test_a_container_fails_with_another_status_and_shows_its_last_lines() -> None:
    state, stage, _ = came(TOOL, a_tool(3))
    assert (state["outcome"], state["message"]) == ("Failed", "tool: exit status 3")
    assert stage.cases_of("tool").last()[0]["details"] == "ended with 3"


WITH_FILES = {**TOOL, "container": {"junit": "/results/*.xml"}}


@pytest.mark.parametrize("test", [TOOL, WITH_FILES])
def test_no_room_for_another_result_ends_the_test_and_not_the_conductor(
    test: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "MAX_RESULTS", 0)
    state, _, _ = came(test, a_tool(3, junit=GOOD, sidecar=True))
    assert state["outcome"] == "Error"
    assert "repeat it less often (retries)" in state["message"]


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
