"""A run from the conductor's side: journal, gate, tests and faults, the end, the report."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import SeatrialError
from seatrial.api.journal import FinishedDoc, TestState
from seatrial.api.names import ACCESS_SECRET, TOKEN_KEY

from seatrial_runner.clock import parse
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.collecting import collect
from seatrial_runner.conductor.configmaps import JournalConfigMap, read_control, read_run
from seatrial_runner.conductor.desk import Desk
from seatrial_runner.conductor.faults import Director
from seatrial_runner.conductor.faults.kinds import Hands
from seatrial_runner.conductor.gate import kinds_to_watch, pass_gate
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.opening import claim_journal, open_gate, restore_cases
from seatrial_runner.conductor.pod_tests import Come, PodTests
from seatrial_runner.conductor.scenario_tests import run_scenario
from seatrial_runner.conductor.scheduler import run_tests, skip_rest
from seatrial_runner.conductor.seen import CONTROL, PODS, Seen, follow, keep_seen
from seatrial_runner.conductor.stage import Control, Stage
from seatrial_runner.conductor.vigil import keep_vigil

logger = logging.getLogger("seatrial.conductor")

Json = dict[str, Any]

# A run that is over sooner than this needs no watch for an abort: a TLS handshake saved.
_CONTROL_WATCH_AFTER_S = 0.5
# A conductor that is started again and again finds something that ends it each time.
MAX_STARTS = 10
# Runners get their last answers, and the kubelet the time to end their pods.
_LINGER_S = 10.0
_STOP_S = 5.0


async def conduct(
    api: ApiServer,
    namespace: str,
    *,
    port: int,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> None:
    """
    Conduct the run of a namespace to its end.

    Cancelled, it undoes what is open and leaves the rest to the conductor that comes after it.

    Raises:
        FencedError: A newer conductor has taken over.
        SeatrialError: The run cannot be read, or the API server stays away.
    """
    run, control = await read_run(api, namespace)
    edge = JournalConfigMap(api, namespace)
    journal = await claim_journal(edge, run, now=now, monotonic=monotonic)
    stage = Stage(run, api, Seen(), journal, Control(control), now, monotonic)
    await Conducting(stage, port).conduct()


class Conducting:
    """One conductor at work."""

    def __init__(self, stage: Stage, port: int) -> None:
        self._stage = stage
        self._port = port
        self._keepsakes = Keepsakes(stage)
        self._desk = Desk(stage)
        hands = Hands(stage.api, stage.namespace, stage.seen, self._keepsakes.save_logs)
        self._director = Director(stage, hands)
        self._pod_tests = PodTests(stage, self._desk, self._director, self._keepsakes)
        self._stop_serving: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def conduct(self) -> None:
        """Conduct from wherever the journal stands to the end."""
        background = [asyncio.create_task(each) for each in self._background()]
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait((work, *background), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                for task in background:
                    if task.done():
                        task.result()  # none of them ends but by its error
            await work
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._let_go()
            raise
        finally:
            for task in (work, *background):
                task.cancel()
            await asyncio.gather(work, *background, return_exceptions=True)
            if self._stop_serving is not None:
                await self._stop_serving()

    def _background(self) -> list[Coroutine[Any, Any, None]]:
        stage = self._stage
        kinds = kinds_to_watch(stage)
        return [
            stage.journal.keep_written(),
            self._follow_control(),
            *(keep_seen(stage.api, stage.namespace, kind, stage.seen) for kind in kinds),
        ]

    async def _follow_control(self) -> None:
        stage = self._stage
        await asyncio.sleep(_CONTROL_WATCH_AFTER_S)

        def take(items: list[Json]) -> None:
            for item in items:
                stage.control.update(read_control(item.get("data") or {}))

        await follow(
            stage.api,
            stage.namespace,
            CONTROL,
            take,
            lambda event_type, item: take([] if event_type == "DELETED" else [item]),
        )

    async def _let_go(self) -> None:
        """Undo what is open and write the journal, because the process must end."""
        try:
            async with asyncio.timeout(_STOP_S):
                await self._director.undo_open("the conductor was stopped")
                await self._stage.journal.save()
        except (SeatrialError, TimeoutError) as error:
            logger.error("not everything could be undone in time: %s", error)

    # The course of a run --------------------------------------------------------------------------

    async def _work(self) -> None:
        summary = self._stage.journal.summary
        if summary["finished"] is None:
            await self._resume()
            if self._stage.run["access"]:
                await self._serve()
            await self._finish(await self._play())
        if not summary["reportReady"]:
            await self._report()
        if self._stage.run["access"]:
            await self._linger()

    async def _resume(self) -> None:
        if self._stage.journal.start == 1:
            return
        restore_cases(self._stage)
        self._desk.resume()
        await self._director.resume()

    async def _play(self) -> FinishedDoc:
        """Gate, then tests and faults, until they end or an abort or a deadline ends them."""
        stage = self._stage
        if stage.journal.start > MAX_STARTS:
            return self._end(
                "EnvironmentFailed",
                f"The conductor was started {stage.journal.start} times and ended each time: see"
                " the log of pod seatrial-conductor.",
            )
        return await self._first(
            self._gate_and_tests(),
            self._aborted(),
            self._out_of_time(
                (parse(stage.run["deadline"]) - stage.now()).total_seconds(),
                "The run was not over by its deadline (spec.timeout)",
            ),
        )

    async def _first(self, *courses: Coroutine[Any, Any, FinishedDoc]) -> FinishedDoc:
        """Follow several courses until the first has ended; the others are ended in order."""
        tasks = [asyncio.create_task(each) for each in courses]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = next(task for task in tasks if task in done).result()
            self._stage.ending = self._stage.ending or end
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return end

    async def _aborted(self) -> FinishedDoc:
        return self._end("Aborted", await self._stage.control.wait_until_aborted())

    async def _out_of_time(self, seconds: float, what: str) -> FinishedDoc:
        await asyncio.sleep(max(seconds, 0.0))
        return self._end("TimedOut", f"{what}; what ran is stopped, the rest is skipped.")

    async def _gate_and_tests(self) -> FinishedDoc:
        stage = self._stage
        summary = stage.journal.summary
        if summary["gateOpenedAt"] is None:
            failure = await pass_gate(stage)
            if failure is not None:
                summary["environmentFailure"] = failure
                stage.journal.note("environment.failed", **failure)
                return self._end("EnvironmentFailed", failure["message"])
            open_gate(stage.journal, stage.at())
            stage.journal.save_soon()
        opened = parse(summary["gateOpenedAt"] or stage.at())
        ago_s = max((stage.now() - opened).total_seconds(), 0.0)
        budget_s = stage.run["testsTimeout"]
        budget = format_duration(timedelta(seconds=budget_s))
        courses = [
            self._tests(ago_s),
            self._out_of_time(
                budget_s - ago_s, f"The tests were not over within {budget} (spec.timeouts.tests)"
            ),
        ]
        if stage.run["services"]:
            courses.append(self._environment_breaks())
        return await self._first(*courses)

    async def _environment_breaks(self) -> FinishedDoc:
        broken = await keep_vigil(self._stage)
        summary = self._stage.journal.summary
        summary["environmentLostAt"] = self._stage.at()
        self._stage.journal.note("environment.failed", message=broken)
        return self._end("EnvironmentFailed", broken)

    async def _tests(self, ago_s: float) -> FinishedDoc:
        await self._director.gate_opened(ago_s=ago_s)
        await run_tests(self._stage, self._run_test)
        await self._director.settle()
        return self._end("Completed", "")

    async def _run_test(self, test: Json, state: TestState) -> None:
        """Run one test to its result; the faults bound to it begin and end with it."""
        stage, name = self._stage, test["name"]
        interrupted = state["outcome"] == "Running"
        state["outcome"] = "Running"
        state["startedAt"] = state["startedAt"] or stage.at()
        stage.journal.note("test.started", test=name, interrupted=interrupted)
        try:
            come = await self._come_of(test, state, interrupted=interrupted)
        except asyncio.CancelledError:
            if stage.ending is not None:
                why = f"stopped while it ran: {stage.ending['message']}"
                stage.finish_test(state, "Error", why, lost=False)
            raise
        stage.finish_test(state, come.outcome, come.message, lost=come.lost)
        if any(each["outcome"] == "Pending" for each in stage.journal.summary["tests"]):
            stage.journal.save_soon()  # after the last test the end follows at once, in one write
        await self._director.end_with(name)

    async def _come_of(self, test: Json, state: TestState, *, interrupted: bool) -> Come:
        if "scenario" not in test:
            return await self._pod_tests.run(test, state, interrupted=interrupted)
        await self._director.begin_with(test["name"])
        await run_scenario(self._stage, self._director, test, state)
        cases = self._stage.cases_of(test["name"])
        return Come(cases.outcome(), cases.first_message())

    def _end(self, reason: Any, message: str) -> FinishedDoc:
        return {"at": self._stage.at(), "reason": reason, "message": message}

    async def _finish(self, end: FinishedDoc) -> None:
        """Write the end: the verdict hangs on it, and nothing else delays it."""
        stage = self._stage
        if end["reason"] != "Completed":
            await self._director.abandon(end["message"])
            skip_rest(stage, end["message"])
        for test in stage.journal.summary["tests"]:
            if test["name"] in stage.cases and test["failures"]:
                stage.count(test["name"])  # windows have closed since: `during` is exact now
        end["at"] = stage.at()
        stage.journal.summary["finished"] = end
        stage.journal.note("finished", reason=end["reason"], message=end["message"])
        await stage.journal.save()
        logger.info("tests ended: %s %s", end["reason"], end["message"])

    # After the end --------------------------------------------------------------------------------

    async def _report(self) -> None:
        stage = self._stage
        try:
            async with asyncio.timeout(stage.run["collectingTimeout"]):
                await collect(stage, self._keepsakes)
                stage.journal.summary["reportReady"] = True
                await stage.journal.save()
                if stage.run["access"]:
                    await self._pod_tests.stop_all()
        except (SeatrialError, TimeoutError) as error:
            logger.error("no report: %s", error or "timeouts.collecting is over")

    async def _serve(self) -> None:
        from seatrial_runner.conductor.httpserver import HttpServer
        from seatrial_runner.conductor.routes import Routes

        stage = self._stage
        path = f"/api/v1/namespaces/{stage.namespace}/secrets/{ACCESS_SECRET}"
        secret = await stage.api.get(path)
        token = base64.b64decode(secret["data"][TOKEN_KEY]).decode()
        server = HttpServer(Routes(token, self._desk, self._director))
        number = await server.start("0.0.0.0", self._port)  # noqa: S104 - test pods must reach it
        self._stop_serving = server.stop
        logger.info("listening on port %d", number)

    async def _linger(self) -> None:
        """Serve until the test pods have ended: they may wait for an answer."""
        self._desk.cancel_all()
        deadline = self._stage.monotonic() + _LINGER_S
        while (left := deadline - self._stage.monotonic()) > 0:
            if all(_is_done(pod) for pod in self._stage.seen.all(PODS)):
                return
            await self._stage.seen.wait(left)


def _is_done(pod: Json) -> bool:
    from seatrial_runner.conductor import pods

    return pods.test(pod) is None or pods.is_over(pod)
