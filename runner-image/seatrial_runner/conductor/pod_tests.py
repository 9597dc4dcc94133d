"""Tests that run in pods of their own: pytest suites and any container."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import ClusterError, ConflictError, NotFoundError
from seatrial.api.journal import TestState
from seatrial.api.names import CONDUCTOR, CONDUCTOR_PORT
from seatrial.api.reasons import Reason

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.container_tests import container_came_to, container_ends
from seatrial_runner.conductor.desk import Desk, Turn
from seatrial_runner.conductor.diagnosis import Finding, Subject, diagnose
from seatrial_runner.conductor.direction import Direction
from seatrial_runner.conductor.ending import Come
from seatrial_runner.conductor.gate import last_lines, test_subject
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.scenario_tests import timeout_of
from seatrial_runner.conductor.seen import PODS
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.suite_tests import suite_came_to, suite_ends
from seatrial_runner.conductor.turn_pods import (
    Loss,
    how_ended,
    one_case,
    pods_of,
    shard_of,
    something,
)
from seatrial_runner.conductor.waiting import waits_for

logger = logging.getLogger("seatrial.conductor")

Json = dict[str, Any]
Object = dict[str, Any]

# Pods start with the run; one that is not at the gate so long after its turn has come is told of.
_SLOW_S = 5.0


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
            turn.attempt = max(len(pods_of(self._stage, turn)), 1)
        while True:
            state["attempts"] = turn.attempt
            try:
                come = await self._attempt(test, turn, interrupted=interrupted)
            finally:
                turn.is_open = False
                state["attempts"] = turn.attempt
            # Its sidecar hears of it after us: the end of the test is noted without a pause.
            turn.taken = turn.attempt
            turn.notify()
            if "container" not in test or not self._tries_again(turn, come):
                return come
            # The Job makes another pod for each attempt, as many as tests[].retries allow.
            turn.begin(turn.attempt + 1)
            interrupted = False
            await self._director.begins_again(turn.test)

    def _tries_again(self, turn: Turn, come: Come) -> bool:
        own_fault = come.outcome == "Failed" and not come.lost and not turn.cancelled
        return own_fault and turn.attempt <= turn.retries and turn.exit_code != 0

    async def _attempt(self, test: Json, turn: Turn, *, interrupted: bool) -> Come:
        lost = await self._give_turn(test, turn, timeout_of(test), interrupted=interrupted)
        if isinstance(lost, Come):
            return lost
        if "pytest" in test:
            return suite_came_to(self._stage, turn, lost)
        return await container_came_to(self._stage, test, turn, lost)

    async def _give_turn(
        self, test: Json, turn: Turn, timeout_s: float, *, interrupted: bool
    ) -> Loss | Come | None:
        """Open the gate for a test and wait for its end; None if all went as it should."""
        if not interrupted:
            # The Job of a container test makes a pod for each retry; a suite repeats by itself.
            spare = turn.retries - turn.attempt + 1 if "container" in test else 0
            failure = await self._pods_come(turn, timeout_s, spare)
            if failure is not None:
                return failure
        if "pytest" in test:
            await self._director.begin_with(turn.test)
        # That the test runs must be known to whoever comes after us: a pod that is through the gate
        # does not come to it again.
        await self._stage.journal.save()
        turn.is_open = True
        turn.notify()
        try:
            async with asyncio.timeout(timeout_s) as timer:
                if "pytest" in test:
                    return await suite_ends(self._stage, turn, timer, timeout_s)
                return await container_ends(self._stage, turn, self._director)
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
        self._stage.record(turn.test, one_case(turn.test, "failed", started, at, message))
        return Come("Failed", message)

    async def _pods_come(self, turn: Turn, timeout_s: float, spare: int) -> Come | None:
        """
        Wait until every shard stands at the gate, so that the test's time is its own.

        One that is slow to come is told of meanwhile, in the test's message; one is not waited for
        when more than ``spare`` of its pods have ended, because its Job makes no other.
        """
        began = self._stage.monotonic()
        while len(turn.waiting) < turn.shards:
            subject = test_subject(self._stage.seen, turn.test)
            finding = diagnose(subject, self._stage.now()) or _none_follows(subject, turn, spare)
            if finding is not None:
                return await self._never_started(finding)
            waited_s = self._stage.monotonic() - began
            there = f"{len(turn.waiting)} of {turn.shards} of its pods came to the gate"
            if waited_s > timeout_s:
                why = _why_not_there(subject, turn)
                return Come("Error", f"{there} within {_duration(timeout_s)}{why}", lost=True)
            if waited_s > _SLOW_S:
                self._say(turn, f"{there} so far{_why_not_there(subject, turn)}")
            await something(self._stage, turn)
        self._say(turn, "")
        return None

    def _say(self, turn: Turn, message: str) -> None:
        """Put a sentence into the state of a test that runs."""
        state = self._stage.test(turn.test)
        if state is not None and state["message"] != message:
            state["message"] = message[:1024]
            self._stage.journal.changed()
            if message:
                logger.info("test %s: %s", turn.test, message)

    async def _never_started(self, finding: Finding) -> Come:
        logs = ""
        if finding.pod and finding.container:
            logs = await last_lines(self._stage, finding.pod, finding.container, finding.previous)
        message = finding.message + (f" Last lines: {logs[-300:]}" if logs else "")
        return Come("Error", message)

    async def _stop(self, turn: Turn, why: str) -> None:
        """End a test's pods; what they wrote is kept."""
        turn.cancelled = True
        turn.notify()
        for pod in pods_of(self._stage, turn):
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


def _none_follows(subject: Subject, turn: Turn, spare: int) -> Finding | None:
    over = [
        pod
        for pod in subject.pods
        if pods.is_over(pod)
        and pods.uid(pod) not in turn.past
        and shard_of(pod) not in turn.waiting
    ]
    for pod in over:
        if sum(shard_of(each) == shard_of(pod) for each in over) > spare:
            message = f"Pod {pods.name(pod)} {how_ended(pod)} before it came to the gate."
            ended = next((each.name for each in pods.containers(pod) if each.crashes), None)
            return Finding(Reason.JOB_FAILED, message, subject.name, pods.name(pod), ended)
    return None


def _why_not_there(subject: Subject, turn: Turn) -> str:
    """Say how the pods stand that have not come, to be put behind how many have."""
    late = [pod for pod in subject.pods if shard_of(pod) not in turn.waiting]
    if not late:
        return ": the others are not there yet"
    name, runs = pods.name(late[0]), any(each.running_since for each in pods.containers(late[0]))
    if runs:
        where = f"{CONDUCTOR}:{CONDUCTOR_PORT}"
        return f": pod {name} runs, and should ask at {where}; its log says whether that answers"
    return f": {waits_for(subject)}"


def _duration(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))
