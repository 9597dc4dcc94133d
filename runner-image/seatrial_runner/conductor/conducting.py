"""A run from the conductor's side: journal, gate, tests and faults, the end, the report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import SeatrialError
from seatrial.api.journal import FailureDoc, FinishedDoc, TestState
from seatrial.api.names import CONDUCTOR_PORT, WEBHOOKS_PORT

from seatrial_runner.clock import parse
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.configmaps import JournalConfigMap, read_control, read_run
from seatrial_runner.conductor.direction import Direction
from seatrial_runner.conductor.ending import Come
from seatrial_runner.conductor.nofaults import NoFaults
from seatrial_runner.conductor.opening import claim_journal, open_gate, restore_cases
from seatrial_runner.conductor.scenario_tests import run_scenario
from seatrial_runner.conductor.scheduler import run_tests, skip_rest
from seatrial_runner.conductor.seen import CONTROL, Kind, Seen, follow, keep_seen
from seatrial_runner.conductor.stage import Control, Stage

if TYPE_CHECKING:
    from seatrial_runner.conductor.keepsakes import Keepsakes
    from seatrial_runner.conductor.reception import Reception
    from seatrial_runner.conductor.tapping import Tapping
    from seatrial_runner.conductor.webhooks import WebhookPort

# NB: what a plain run (scenarios alone: no services, faults or test pods) does not need is imported
# where it is used. Each module is a millisecond or two of a start whose price is measured.

logger = logging.getLogger("seatrial.conductor")

Json = dict[str, Any]

# A run that is over sooner than this needs no watch for an abort: a TLS handshake saved.
_CONTROL_WATCH_AFTER_S = 0.5
# A conductor that is started again and again finds something that ends it each time.
MAX_STARTS = 10
_STOP_S = 5.0
_PATIENCE_SHARE = 0.1  # of timeouts.collecting
_LOOK_AGAIN_S = 1.0
# A system that is not well by then may be so by itself, or because of a fault: the tests will tell.
_WELL_AGAIN_S = 30.0


async def conduct(
    api: ApiServer,
    namespace: str,
    *,
    port: int,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
    patience_s: Callable[[], float] = lambda: 0.0,
) -> None:
    """
    Conduct the run of a namespace to its end.

    Cancelled, it undoes what is open and leaves the rest to the conductor that comes after it.

    Args:
        api: The API server.
        namespace: The run's own.
        port: Where test pods find the conductor.
        now: The time, in UTC.
        monotonic: For spans of time.
        patience_s: Gives how long others that want the node's processors go before the report.

    Raises:
        FencedError: A newer conductor has taken over.
        SeatrialError: The run cannot be read, or the API server stays away.
    """
    run, control = await read_run(api, namespace, now())
    edge = JournalConfigMap(api, namespace)
    journal = await claim_journal(edge, run, now=now, monotonic=monotonic)
    stage = Stage(run, api, Seen(), journal, Control(control), now, monotonic)
    await Conducting(stage, port, patience_s).conduct()


class Conducting:
    """One conductor at work."""

    def __init__(self, stage: Stage, port: int, patience_s: Callable[[], float]) -> None:
        self._stage = stage
        self._port = port
        self._patience_s = patience_s
        self._kept: Keepsakes | None = None
        self._abandoning: asyncio.Task[None] | None = None
        self._direction: Direction = NoFaults(stage)
        if stage.run["faults"]:
            from seatrial_runner.conductor.faults import Director, hands_of

            self._direction = Director(stage, hands_of(stage, self._keepsakes().save_logs))
        if stage.run.get("probes"):
            from seatrial_runner.conductor.probing import Probing

            stage.probing = Probing(stage)
        self._tapping: Tapping | None = None
        if stage.run.get("taps"):
            from seatrial_runner.conductor.tapping import Tapping

            self._tapping = Tapping(stage)
        self._webhooks: WebhookPort | None = None
        if stage.run.get("webhooks"):
            from seatrial_runner.conductor.webhooks import WebhookPort

            self._webhooks = WebhookPort(WEBHOOKS_PORT if port == CONDUCTOR_PORT else 0)
            stage.webhooks = self._webhooks.place
        self._reception: Reception | None = None
        if stage.run["access"]:
            from seatrial_runner.conductor.reception import Reception

            self._reception = Reception(stage, self._direction, self._keepsakes())

    def _keepsakes(self) -> Keepsakes:
        from seatrial_runner.conductor.keepsakes import Keepsakes

        self._kept = self._kept or Keepsakes(self._stage)
        return self._kept

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
            tasks = [work, *background, *([self._abandoning] if self._abandoning else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._reception is not None:
                await self._reception.close()
            if self._webhooks is not None:
                self._webhooks.close()
            if self._tapping is not None:
                await self._tapping.let_go()

    def _background(self) -> list[Coroutine[Any, Any, None]]:
        stage = self._stage
        kinds = self._kinds_to_watch()
        return [
            stage.journal.keep_written(),
            self._follow_control(),
            *(keep_seen(stage.api, stage.namespace, kind, stage.seen) for kind in kinds),
            *self._direction.background(),
            *([self._webhooks.keep_serving()] if self._webhooks else []),
        ]

    def _kinds_to_watch(self) -> list[Kind]:
        if not self._stage.run["services"] and not self._stage.run["access"]:
            return []
        from seatrial_runner.conductor.gate import kinds_to_watch

        return kinds_to_watch(self._stage)

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
                await self._direction.undo_open("the conductor was stopped")
                await self._stage.journal.save()
        except (SeatrialError, TimeoutError) as error:
            logger.error("not everything could be undone in time: %s", error)

    # The course of a run --------------------------------------------------------------------------

    async def _work(self) -> None:
        summary = self._stage.journal.summary
        if self._stage.journal.start > 1:
            restore_cases(self._stage)
        if summary["finished"] is None:
            await self._resume()
            if self._reception is not None:
                await self._reception.open(self._port)
            await self._finish(await self._play())
        elif self._tapping is not None and not summary["reportReady"]:
            self._stage.lost(
                "The conductor was restarted after the tests: what the taps had recorded is not in"
                " the report."
            )
        if not summary["reportReady"]:
            await self._report()
        if self._reception is not None:
            await self._reception.see_off()

    async def _resume(self) -> None:
        """Take over from an earlier conductor; return when the system is well again."""
        stage = self._stage
        if stage.journal.start == 1:
            return
        kinds = self._kinds_to_watch()
        while not stage.seen.knows(kinds):
            await stage.seen.wait(_LOOK_AGAIN_S)
        await self._direction.resume()
        if kinds and stage.journal.summary["gateOpenedAt"] is not None:
            from seatrial_runner.conductor.gate import wait_until_well

            await wait_until_well(stage, at_most_s=_WELL_AGAIN_S)

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
            if end["reason"] != "Completed":
                # At once: a test that is stopped may take seconds for its teardown.
                self._abandon(end["message"])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return end

    def _abandon(self, why: str) -> asyncio.Task[None]:
        """Begin to undo all faults, once; the end of the run waits for it."""
        self._abandoning = self._abandoning or asyncio.create_task(self._direction.abandon(why))
        return self._abandoning

    async def _aborted(self) -> FinishedDoc:
        return self._end("Aborted", await self._stage.control.wait_until_aborted())

    async def _out_of_time(self, seconds: float, what: str) -> FinishedDoc:
        await asyncio.sleep(max(seconds, 0.0))
        return self._end("TimedOut", f"{what}; what ran is stopped, the rest is skipped.")

    async def _gate_and_tests(self) -> FinishedDoc:
        stage = self._stage
        summary = stage.journal.summary
        if summary["gateOpenedAt"] is None:
            failure = await self._pass_gate()
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
        if stage.probing is not None:
            courses.append(stage.probing.keep_checking())
        return await self._first(*courses)

    async def _pass_gate(self) -> FailureDoc | None:
        if not self._stage.run["services"]:
            return None  # test pods are looked at when their turn has come
        from seatrial_runner.conductor.gate import pass_gate

        return await pass_gate(self._stage) or await self._direction.prepare()

    async def _environment_breaks(self) -> FinishedDoc:
        from seatrial_runner.conductor.vigil import keep_vigil

        broken = await keep_vigil(self._stage)
        summary = self._stage.journal.summary
        summary["environmentLostAt"] = self._stage.at()
        self._stage.journal.note("environment.failed", message=broken)
        return self._end("EnvironmentFailed", broken)

    async def _tests(self, ago_s: float) -> FinishedDoc:
        probing = self._stage.probing
        if self._tapping is not None:
            await self._tapping.open()
        if probing is not None:
            await probing.baseline()
        await self._direction.gate_opened(ago_s=ago_s)
        await run_tests(self._stage, self._run_test)
        await self._direction.settle()
        if probing is not None:
            await probing.settle()
        return self._end("Completed", "")

    async def _run_test(self, test: Json, state: TestState) -> None:
        """Run one test to its result; the faults bound to it begin and end with it."""
        stage, name = self._stage, test["name"]
        interrupted = state["outcome"] == "Running"
        state["outcome"] = "Running"
        state["startedAt"] = state["startedAt"] or stage.at()
        stage.journal.note("test.started", test=name, interrupted=interrupted)
        if interrupted:
            what = "was run again" if "scenario" in test else "went on without it"
            stage.lost(f"The conductor was restarted while test {name} ran; the test {what}.")
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
        await self._direction.end_with(name)

    async def _come_of(self, test: Json, state: TestState, *, interrupted: bool) -> Come:
        if "scenario" not in test:
            assert self._reception is not None  # the operator gives access to runs with test pods
            return await self._reception.run(test, state, interrupted=interrupted)
        await self._direction.begin_with(test["name"])
        await run_scenario(self._stage, self._direction, test, state)
        cases = self._stage.cases_of(test["name"])
        return Come(cases.outcome(), cases.first_message())

    def _end(self, reason: Any, message: str) -> FinishedDoc:
        return {"at": self._stage.at(), "reason": reason, "message": message}

    async def _finish(self, end: FinishedDoc) -> None:
        """Write the end: the verdict hangs on it, and nothing else delays it."""
        stage = self._stage
        if end["reason"] != "Completed":
            await self._abandon(end["message"])
            skip_rest(stage, end["message"])
        if stage.probing is not None:
            stage.probing.count_rest()
        for test in stage.journal.summary["tests"]:
            if test["name"] in stage.cases and (test["failures"] or test["flaky"]):
                stage.count(test["name"])  # windows have closed since: `during` is exact now
        end["at"] = stage.at()
        stage.journal.summary["finished"] = end
        stage.journal.note("finished", reason=end["reason"], message=end["message"])
        await stage.journal.save()
        logger.info("tests ended: %s %s", end["reason"], end["message"])

    # After the end --------------------------------------------------------------------------------

    async def _report(self) -> None:
        stage = self._stage
        budget_s = stage.run["collectingTimeout"]
        try:
            async with asyncio.timeout(budget_s):
                # To make a report costs half as much as to start a run; those that start go first.
                await asyncio.sleep(min(self._patience_s(), budget_s * _PATIENCE_SHARE))
                from seatrial_runner.conductor.collecting import collect

                if self._tapping is not None:
                    await self._tapping.close()
                await collect(stage, self._keepsakes())
                stage.journal.summary["reportReady"] = True
                await stage.journal.save()
        except (SeatrialError, TimeoutError) as error:
            logger.error("no report: %s", str(error) or "timeouts.collecting is over")
