"""Tests of kind container: the end of the user's container, its exit status and its files."""

from __future__ import annotations

import asyncio
from typing import Any

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.cases import MAX_CASES, Case, TooManyCasesError
from seatrial_runner.conductor.desk import Turn
from seatrial_runner.conductor.diagnosis import diagnose
from seatrial_runner.conductor.direction import Direction
from seatrial_runner.conductor.ending import Come
from seatrial_runner.conductor.gate import last_lines, test_subject
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.turn_pods import (
    LAST_WORDS_S,
    Loss,
    how_ended,
    one_case,
    pods_of,
    something,
)

Json = dict[str, Any]
Object = dict[str, Any]

TEST_CONTAINER = "test"
COLLECT_CONTAINER = "collect"
# The sidecar that hands in JUnit files is stopped once the test's container has ended: with us
# there it needs no longer, and with us away it goes on for its pod's grace period.
_COLLECT_S = 30.0


async def container_ends(stage: Stage, turn: Turn, direction: Direction) -> Loss | Come | None:
    """Return when the container has ended and its files are in; or why that never happens."""
    begun = False
    gone_since: float | None = None
    ended_at: float | None = None
    while True:
        pod = next(iter(pods_of(stage, turn)), None)
        main = pods.container(pod, TEST_CONTAINER) if pod else None
        if main is not None and not begun and (main.running_since or main.terminated):
            begun = True
            turn.present = pods.uid(pod) if pod else ""
            # One that has ended already meets no fault, whatever is done to the system now.
            if main.running_since and turn.test not in stage.running:
                await direction.begin_with(turn.test)
        if main is not None and main.terminated is not None:
            ended_at = stage.monotonic() if ended_at is None else ended_at
            assert pod is not None
            if _files_are_in(turn, pod):
                return None
            if stage.monotonic() - ended_at > _COLLECT_S:
                return None  # what is missing shows in the result
        elif pod is None or pods.is_going(pod) or pods.is_over(pod):
            gone_since = stage.monotonic() if gone_since is None else gone_since
            if stage.monotonic() - gone_since > LAST_WORDS_S:
                how = f"pod {pods.name(pod)} {how_ended(pod)}" if pod else "its pod is gone"
                return Loss(f"{how} before its container said how it ended")
        else:
            finding = diagnose(test_subject(stage.seen, turn.test), stage.now())
            if finding is not None and not begun:
                return Come("Error", finding.message)  # nothing that it could have lost
            if finding is not None:
                return Loss(finding.message)
        await something(stage, turn)


def _files_are_in(turn: Turn, pod: Object) -> bool:
    collect = pods.container(pod, COLLECT_CONTAINER)
    if collect is None or turn.collected:
        return True
    return collect.terminated is not None or pods.is_over(pod)


async def container_came_to(stage: Stage, test: Json, turn: Turn, lost: Loss | None) -> Come:
    """Say what a container came to, by its exit status and its files together."""
    if lost is not None:
        return Come("Error", lost.message, lost=True)
    pod = next(iter(pods_of(stage, turn)), None)
    main = pods.container(pod, TEST_CONTAINER) if pod else None
    assert pod is not None
    assert main is not None
    assert main.terminated is not None
    turn.exit_code = int(main.terminated.get("exitCode", 0))
    if pods.disruption(pod) or main.terminated.get("reason") == "OOMKilled":
        return Come("Error", f"pod {pods.name(pod)} {how_ended(pod)}", lost=True)
    if main.terminated.get("reason") in ("StartError", "ContainerCannotRun"):
        return Come("Error", _exit_message(main.terminated))
    problem = await _read_files(stage, test, turn)
    try:
        own = await _own_case(stage, test, turn, pod, main.terminated)
        stage.record_all(turn.test, own, attempt=turn.attempt)
    except TooManyCasesError as error:
        problem = str(error)
    cases = stage.cases_of(turn.test)
    if problem is not None:
        failed = cases.outcome() == "Failed"
        return Come("Failed" if failed else "Error", problem, lost=not failed)
    return Come(cases.outcome(), cases.first_message())


async def _read_files(stage: Stage, test: Json, turn: Turn) -> str | None:
    """Take the cases of the JUnit files in; say what is wrong with the files."""
    from seatrial_runner.conductor.junit_files import MalformedError, numbered, read_junit

    glob = test["container"].get("junit")
    if glob is None:
        return None
    problem = turn.missing or None
    if not (turn.files or problem):
        return f"left no file that matches {glob} (container.junit)"
    if not turn.collected:
        problem = f"nobody said that all files that match {glob} are here: its pod was too slow"
    cases: list[Case] = []
    for name, text in sorted(turn.files.items()):
        await asyncio.sleep(0)  # others have deadlines to keep
        try:
            cases += read_junit(name, text, ended=stage.now())
        except MalformedError as error:
            problem = str(error)
        if len(cases) > MAX_CASES:
            break  # which is told below
    try:
        stage.record_all(turn.test, numbered(cases), attempt=turn.attempt)
    except TooManyCasesError as error:
        problem = str(error)
    return problem


async def _own_case(stage: Stage, test: Json, turn: Turn, pod: Object, end: Object) -> list[Case]:
    """Give the case that the exit status is, unless its files say the same."""
    exit_code = int(end.get("exitCode", 0))
    has_files = bool(test["container"].get("junit"))
    if has_files and (exit_code == 0 or stage.cases_of(turn.test).outcome() == "Failed"):
        return []
    logs = ""
    if exit_code != 0:
        logs = await last_lines(stage, pods.name(pod), TEST_CONTAINER, previous=False)
    outcome, message = ("passed", "") if exit_code == 0 else ("failed", _exit_message(end))
    began = end.get("startedAt") or stage.at()
    ended = end.get("finishedAt") or stage.at()
    return [one_case(turn.test, outcome, began, ended, message, logs)]


def _exit_message(end: Object) -> str:
    if end.get("reason") in ("StartError", "ContainerCannotRun"):
        return f"could not be started: {end.get('message') or end['reason']}"
    return f"exit status {end.get('exitCode')}"
