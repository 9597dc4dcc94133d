"""Tests that run in pods of their own: pytest suites and any container."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import ClusterError, ConflictError, NotFoundError
from seatrial.api.journal import TestState

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.cases import Case, TooManyCasesError
from seatrial_runner.conductor.desk import Desk, Turn
from seatrial_runner.conductor.diagnosis import Finding, diagnose
from seatrial_runner.conductor.direction import Direction
from seatrial_runner.conductor.ending import Come
from seatrial_runner.conductor.gate import last_lines, test_subject
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.scenario_tests import timeout_of
from seatrial_runner.conductor.seen import PODS
from seatrial_runner.conductor.stage import Stage

logger = logging.getLogger("seatrial.conductor")

Json = dict[str, Any]
Object = dict[str, Any]

TEST_CONTAINER = "test"
COLLECT_CONTAINER = "collect"
_LOOK_AGAIN_S = 1.0
# What a pod sent just before it ended may still be on its way when the watch tells of the end.
_LAST_WORDS_S = 3.0
# The sidecar that hands in JUnit files is stopped once the test's container has ended.
_COLLECT_S = 30.0
_NO_TESTS = 5  # pytest: no tests were collected
_FAILURES = 1  # pytest: tests were collected and run, some failed


@dataclass(frozen=True)
class Loss:
    """Results that will not come."""

    message: str


class PodTests:
    """Runs one test after another that has pods."""

    def __init__(self, stage: Stage, desk: Desk, director: Direction, keepsakes: Keepsakes) -> None:
        self._stage = stage
        self._desk = desk
        self._director = director
        self._keepsakes = keepsakes

    async def run(self, test: Json, state: TestState, *, interrupted: bool) -> Come:
        """
        Give a test its turn, and return what it came to.

        Args:
            test: Entry of ``spec.tests``.
            state: Its state, Running.
            interrupted: An earlier conductor gave the turn already; the pods are past the gate.
        """
        turn = self._desk.turn(test["name"])
        if interrupted and "container" in test:
            turn.attempt = max(len(self._pods(turn)), 1)
        while True:
            state["attempts"] = turn.attempt
            try:
                come = await self._attempt(test, turn, interrupted=interrupted)
            finally:
                turn.is_open = False
                state["attempts"] = turn.attempt
            if "container" not in test or not self._tries_again(turn, come):
                return come
            # The Job makes another pod for each attempt, as many as tests[].retries allow.
            turn.begin(turn.attempt + 1)
            interrupted = False

    def _tries_again(self, turn: Turn, come: Come) -> bool:
        own_fault = come.outcome == "Failed" and not come.lost and not turn.cancelled
        return own_fault and turn.attempt <= turn.retries and turn.exit_code != 0

    async def _attempt(self, test: Json, turn: Turn, *, interrupted: bool) -> Come:
        lost = await self._give_turn(test, turn, timeout_of(test), interrupted=interrupted)
        if isinstance(lost, Come):
            return lost
        if "pytest" in test:
            return self._pytest_came_to(turn, lost)
        return await self._container_came_to(test, turn, lost)

    async def _give_turn(
        self, test: Json, turn: Turn, timeout_s: float, *, interrupted: bool
    ) -> Loss | Come | None:
        """Open the gate for a test and wait for its end; None if all went as it should."""
        if not interrupted:
            failure = await self._pods_come(turn, timeout_s)
            if failure is not None:
                return failure
        if "pytest" in test:
            await self._director.begin_with(turn.test)
        turn.is_open = True
        turn.notify()
        try:
            async with asyncio.timeout(timeout_s) as timer:
                if "pytest" in test:
                    return await self._pytest_ends(turn, timer, timeout_s)
                return await self._container_ends(turn)
        except TimeoutError:
            return await self._timed_out(turn, timeout_s)
        except asyncio.CancelledError:
            turn.cancelled = True
            turn.notify()
            raise

    async def _timed_out(self, turn: Turn, timeout_s: float) -> Come:
        message = f"timed out after {_duration(timeout_s)} (tests[].timeout)"
        await self._stop(turn, message)
        at = self._stage.at()
        state = self._stage.test(turn.test)
        started = (state and state["startedAt"]) or at
        self._stage.record(turn.test, _case(turn.test, "failed", started, at, message))
        return Come("Failed", message)

    async def _pods_come(self, turn: Turn, timeout_s: float) -> Come | None:
        """Wait until every shard stands at the gate, so that the test's time is its own."""
        give_up = self._stage.monotonic() + timeout_s
        while len(turn.waiting) < turn.shards:
            finding = diagnose(test_subject(self._stage.seen, turn.test), self._stage.now())
            if finding is not None:
                return await self._never_started(finding)
            if self._stage.monotonic() > give_up:
                there = f"{len(turn.waiting)} of {turn.shards} of its pods came to the gate"
                return Come("Error", f"{there} within {_duration(timeout_s)}", lost=True)
            await self._something(turn)
        return None

    async def _never_started(self, finding: Finding) -> Come:
        logs = ""
        if finding.pod and finding.container:
            logs = await last_lines(self._stage, finding.pod, finding.container, finding.previous)
        message = finding.message + (f" Last lines: {logs[-300:]}" if logs else "")
        return Come("Error", message)

    async def _something(self, turn: Turn) -> None:
        """Return after a change of the pods or of the turn, or a second."""
        seen = asyncio.create_task(self._stage.seen.wait(_LOOK_AGAIN_S))
        changed = asyncio.create_task(turn.changed.wait())
        try:
            await asyncio.wait((seen, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            seen.cancel()
            changed.cancel()

    def _pods(self, turn: Turn) -> list[Object]:
        """Give the pods of the present attempt, the youngest first."""
        there = [
            pod
            for pod in self._stage.seen.all(PODS)
            if pods.test(pod) == turn.test and pods.uid(pod) not in turn.past
        ]
        return sorted(
            there, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True
        )

    # pytest -------------------------------------------------------------------------------------

    async def _pytest_ends(
        self, turn: Turn, timer: asyncio.Timeout, timeout_s: float
    ) -> Loss | None:
        """Return when every shard has said that it is done; or which one never will."""
        gone_since: float | None = None
        attempt = turn.attempt
        while len(turn.ended) < turn.shards:
            if turn.attempt != attempt:
                attempt = turn.attempt
                timer.reschedule(asyncio.get_running_loop().time() + timeout_s)
            loss = self._lost_shard(turn)
            if loss is None:
                gone_since = None
            elif gone_since is None:
                gone_since = self._stage.monotonic()
            elif self._stage.monotonic() - gone_since > _LAST_WORDS_S:
                return loss
            await self._something(turn)
        return None

    def _lost_shard(self, turn: Turn) -> Loss | None:
        there = self._pods(turn)
        by_shard = {_shard(pod): pod for pod in there}
        for shard in range(turn.shards):
            if shard in turn.ended:
                continue
            pod = by_shard.get(shard)
            if pod is None:
                return Loss(f"the pod of shard {shard} is gone: somebody deleted it, or its node")
            if pods.is_over(pod) or pods.is_going(pod):
                return Loss(
                    f"pod {pods.name(pod)} {_how_ended(pod)} before it handed in its results"
                )
        return None

    def _pytest_came_to(self, turn: Turn, lost: Loss | None) -> Come:
        cases = self._stage.cases_of(turn.test)
        if lost is not None:
            outcome = "Failed" if cases.outcome() == "Failed" else "Error"
            return Come(outcome, lost.message, lost=True)
        bad = {
            shard: ended
            for shard, ended in turn.ended.items()
            if ended.exit_code not in (0, _FAILURES, _NO_TESTS)
        }
        if bad:
            ended = next(iter(bad.values()))
            said = ended.message or f"pytest ended with status {ended.exit_code}"
            return Come("Failed" if cases.outcome() == "Failed" else "Error", said)
        if not len(cases):
            return Come("Skipped", "pytest collected no tests: look at -k, -m and the file names")
        for shard, ended in sorted(turn.ended.items()):
            if ended.exit_code == _FAILURES and not cases.failed_in(shard=shard):
                said = ended.message or "pytest ended with status 1 although no case failed"
                return Come("Error", said)
            known = cases.known(shard=shard, attempt=ended.attempt)
            if known < ended.collected and ended.exit_code == 0:
                return Come(
                    "Error",
                    f"{ended.collected - known} of {ended.collected} results of shard {shard} are"
                    " missing",
                    lost=True,
                )
        return Come(cases.outcome(), cases.first_message())

    # container ----------------------------------------------------------------------------------

    async def _container_ends(self, turn: Turn) -> Loss | None:
        """Return when the container has ended and its files are in; or why that never happens."""
        begun = False
        gone_since: float | None = None
        ended_at: float | None = None
        while True:
            pod = next(iter(self._pods(turn)), None)
            main = pods.container(pod, TEST_CONTAINER) if pod else None
            if main is not None and not begun and (main.running_since or main.terminated):
                begun = True
                turn.present = pods.uid(pod) if pod else ""
                # One that has ended already meets no fault, whatever is done to the system now.
                if turn.attempt == 1 and main.running_since:
                    await self._director.begin_with(turn.test)
            if main is not None and main.terminated is not None:
                ended_at = self._stage.monotonic() if ended_at is None else ended_at
                assert pod is not None
                if self._files_are_in(turn, pod):
                    return None
                if self._stage.monotonic() - ended_at > _COLLECT_S:
                    return None  # what is missing shows in the result
            elif pod is None or pods.is_going(pod) or pods.is_over(pod):
                gone_since = self._stage.monotonic() if gone_since is None else gone_since
                if self._stage.monotonic() - gone_since > _LAST_WORDS_S:
                    how = f"pod {pods.name(pod)} {_how_ended(pod)}" if pod else "its pod is gone"
                    return Loss(f"{how} before its container said how it ended")
            else:
                finding = diagnose(test_subject(self._stage.seen, turn.test), self._stage.now())
                if finding is not None:
                    return Loss(finding.message)
            await self._something(turn)

    def _files_are_in(self, turn: Turn, pod: Object) -> bool:
        collect = pods.container(pod, COLLECT_CONTAINER)
        if collect is None or turn.ended:
            return True
        return collect.terminated is not None or pods.is_over(pod)

    async def _container_came_to(self, test: Json, turn: Turn, lost: Loss | None) -> Come:
        if lost is not None:
            return Come("Error", lost.message, lost=True)
        pod = next(iter(self._pods(turn)), None)
        main = pods.container(pod, TEST_CONTAINER) if pod else None
        assert pod is not None
        assert main is not None
        assert main.terminated is not None
        turn.exit_code = int(main.terminated.get("exitCode", 0))
        if pods.disruption(pod) or main.terminated.get("reason") == "OOMKilled":
            return Come("Error", f"pod {pods.name(pod)} {_how_ended(pod)}", lost=True)
        if main.terminated.get("reason") in ("StartError", "ContainerCannotRun"):
            return Come("Error", _exit_message(main.terminated))
        problem = self._read_files(test, turn)
        for case in await self._own_case(test, turn, pod, main.terminated):
            self._stage.record(turn.test, case, attempt=turn.attempt)
        cases = self._stage.cases_of(turn.test)
        if problem is not None:
            failed = cases.outcome() == "Failed"
            return Come("Failed" if failed else "Error", problem, lost=not failed)
        return Come(cases.outcome(), cases.first_message())

    def _read_files(self, test: Json, turn: Turn) -> str | None:
        """Take the cases of the JUnit files in; say what is wrong with the files."""
        from seatrial_runner.conductor.junit_files import MalformedError, numbered, read_junit

        glob = test["container"].get("junit")
        if glob is None:
            return None
        if not turn.files:
            return f"left no file that matches {glob} (container.junit)"
        cases: list[Case] = []
        problem = None
        for name, text in sorted(turn.files.items()):
            try:
                cases += read_junit(name, text, ended=self._stage.now())
            except MalformedError as error:
                problem = str(error)
        try:
            self._stage.record_all(turn.test, numbered(cases), attempt=turn.attempt)
        except TooManyCasesError as error:
            problem = str(error)
        return problem

    async def _own_case(self, test: Json, turn: Turn, pod: Object, end: Object) -> list[Case]:
        """Give the case that the exit status is, unless its files say the same."""
        exit_code = int(end.get("exitCode", 0))
        has_files = bool(test["container"].get("junit"))
        if has_files and (exit_code == 0 or self._stage.cases_of(turn.test).outcome() == "Failed"):
            return []
        logs = ""
        if exit_code != 0:
            logs = await last_lines(self._stage, pods.name(pod), TEST_CONTAINER, previous=False)
        outcome, message = ("passed", "") if exit_code == 0 else ("failed", _exit_message(end))
        began = end.get("startedAt") or self._stage.at()
        ended = end.get("finishedAt") or self._stage.at()
        return [_case(turn.test, outcome, began, ended, message, logs)]

    # the end of its time ------------------------------------------------------------------------

    async def _stop(self, turn: Turn, why: str) -> None:
        """End a test's pods; what they wrote is kept."""
        turn.cancelled = True
        turn.notify()
        for pod in self._pods(turn):
            if pods.is_over(pod):
                continue
            await self._keepsakes.save_logs(pods.name(pod))
            body = {"gracePeriodSeconds": 1, "preconditions": {"uid": pods.uid(pod)}}
            try:
                await self._stage.api.delete(PODS.path(self._stage.namespace, pods.name(pod)), body)
            except (NotFoundError, ConflictError):
                continue
            except ClusterError as error:
                logger.warning("pod %s of test %s stays: %s", pods.name(pod), turn.test, error)
        logger.info("test %s stopped: %s", turn.test, why)

    async def stop_all(self) -> None:
        """End the pods of every test that runs, because the run ends."""
        for name in sorted(self._stage.running):
            if any(pods.test(pod) == name for pod in self._stage.seen.all(PODS)):
                await self._stop(self._desk.turn(name), "the run ends")


def _case(test: str, outcome: str, began: str, ended: str, message: str, details: str = "") -> Case:
    """Make the one case of a test that has none of its own."""
    return {
        "id": test,
        "outcome": outcome,
        "attempt": 1,
        "startedAt": began,
        "finishedAt": ended,
        "message": message,
        "details": details,
        "requests": 0,
        "properties": {},
    }


def _shard(pod: Object) -> int:
    annotations = pod["metadata"].get("annotations") or {}
    labels = pod["metadata"].get("labels") or {}
    key = "batch.kubernetes.io/job-completion-index"
    return int(labels.get(key) or annotations.get(key) or 0)


def _how_ended(pod: Object) -> str:
    why = pods.disruption(pod)
    if why is not None:
        return f"was taken away ({why})"
    for each in pods.containers(pod):
        end = each.terminated
        if end is not None and end.get("reason") == "OOMKilled":
            return f"was OOMKilled: raise the memory limit in resources ({each.title})"
        if end is not None and end.get("exitCode") not in (0, None):
            return f"ended with exit status {end['exitCode']} ({each.title})"
    return "was deleted" if pods.is_going(pod) else "ended"


def _exit_message(end: Object) -> str:
    if end.get("reason") in ("StartError", "ContainerCannotRun"):
        return f"could not be started: {end.get('message') or end['reason']}"
    return f"exit status {end.get('exitCode')}"


def _duration(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))
