"""Steady-state probes: checks made continuously, from the opening of the gate to the end."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from seatrial.api import memory
from seatrial.api.duration import format_duration, parse_duration

from seatrial_runner import clock
from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.checked import through_libpq
from seatrial_runner.conductor.local_ports import makes_checks
from seatrial_runner.conductor.reach import tcp_problem
from seatrial_runner.conductor.scenario_tests import (
    connections_given,
    host_of,
    services_document,
)
from seatrial_runner.conductor.steady import Check, Ledger
from seatrial_runner.conductor.workers import Channel, WorkerError, run_in_worker

if TYPE_CHECKING:
    from seatrial_runner.conductor.stage import Stage

logger = logging.getLogger("seatrial.conductor")

Json = dict[str, Any]

LEAST_EVERY_S = 0.1  # also checked by the operator; a check costs the conductor a millisecond
_ASK_AGAIN_S = 0.1  # while someone waits for the system to be well
_WRITE_AFTER_S = 5.0  # counts of checks that held are written so often, for a conductor to come
_PAUSE_S = 0.5  # before the worker is made again
_LONGEST_S = 60.0  # that the beginning and the end of the tests wait for checks
_MAX_WAITING = 4096
# Of a thread. All stacks count against the worker's memory, and each probe of a database has two
# threads. NB: no less, for Python 3.13 reads nested JSON with up to 2 MiB.
_STACK = 4 * memory.MIB
_IN_EFFECT = ("Requested", "Active")


class Probing:
    """
    Makes the checks in a worker process, a thread for each probe, and counts what they come to.

    Their requests are none of a test: they are no evidence that a fault met traffic. The gateway
    knows them by their ports.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._probes: list[Json] = stage.run.get("probes") or []
        states = {each["name"]: each for each in stage.journal.summary.get("probes") or []}
        self._ledgers = {
            probe["name"]: Ledger(states[probe["name"]], int(probe.get("threshold", 1)))
            for probe in self._probes
        }
        # Checks that cannot be counted yet: a fault is being carried out, and its window is not
        # known before that has succeeded.
        self._waiting: deque[Check] = deque()
        self._last: dict[str, Check] = {}
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._written_at = stage.monotonic()
        self._silent_since = self._last_known()

    def _last_known(self) -> str | None:
        """Give the last check an earlier conductor has written down, None for the first one."""
        summary = self._stage.journal.summary
        if self._stage.journal.start == 1 or summary["gateOpenedAt"] is None:
            return None
        told = [each["lastCheck"] for each in summary.get("probes") or [] if each["lastCheck"]]
        return min(told, default=summary["gateOpenedAt"])

    # The course of the checks ---------------------------------------------------------------------

    async def keep_checking(self) -> NoReturn:
        """Make the checks until cancelled; a worker that ends is made again."""
        services = services_document(self._stage.run["services"])
        while True:
            try:
                await run_in_worker(
                    lambda channel: _check_for_ever(self._probes, services, channel),
                    self._serve,
                    timeout_s=None,
                )
            except WorkerError as error:
                logger.warning("probes: %s", error)
                silent = [each.ended for each in self._last.values()]
                self._silent_since = rfc3339(min(silent, default=self._stage.now()))
            await asyncio.sleep(_PAUSE_S)

    async def _serve(self, message: Json) -> Json:
        match message:
            case {"check": name, "began": began, "ended": ended, "problem": problem}:
                extra = bool(message.get("extra"))
                self._stage.checked.ends(str(name), held=not problem)
                self.take(Check(str(name), parse(began), parse(ended), str(problem), extra))
            case {"asks": host, "probe": name, "libpq": libpq}:
                self._stage.checked.begins(str(name), str(host), libpq=bool(libpq))
            case {"ask": True}:
                await self._hurry.wait()
                self._hurry.clear()
        return {}

    def take(self, check: Check) -> None:
        """Take a check in; it is counted once it is known whether a fault explains it."""
        if self._silent_since is not None:
            self._stage.lost(
                f"The probes made no check from {self._silent_since} to {rfc3339(check.began)},"
                " because the conductor, or its process for them, was restarted."
            )
            self._silent_since = None
        self._last[check.probe] = check
        self._waiting.append(check)
        self._count_waiting()
        self._changed.set()

    def _count_waiting(self, *, all_of_them: bool = False) -> None:
        while self._waiting:
            if not all_of_them and len(self._waiting) < _MAX_WAITING and self._being_injected():
                return
            self._count(self._waiting.popleft())

    def _being_injected(self) -> bool:
        return any(fault["state"] == "Requested" for fault in self._stage.journal.summary["faults"])

    def _count(self, check: Check) -> None:
        ledger = self._ledgers[check.probe]
        before, first = ledger.down_since, ledger.state["checks"] == 0
        during = self._stage.windows.between(check.began, check.ended)
        ledger.take(check, during)
        journal = self._stage.journal
        if before is None and ledger.down_since is not None:
            journal.note(
                "probe.failed", probe=check.probe, message=check.problem, duringFaults=during
            )
        elif before is not None and ledger.down_since is None:
            lasted = round((check.began - before).total_seconds(), 3)
            journal.note("probe.held", probe=check.probe, failedForS=lasted)
        elif first or self._stage.monotonic() - self._written_at >= _WRITE_AFTER_S:
            journal.changed()
        else:
            return
        self._written_at = self._stage.monotonic()

    # What others wait for -------------------------------------------------------------------------

    async def baseline(self) -> None:
        """Return when each probe has made a check: what was before the first fault is known."""
        await self._until(
            lambda: len(self._last) == len(self._probes), hurry=False, at_most_s=_LONGEST_S
        )

    async def settle(self) -> None:
        """
        Return when each probe has a check from now on that held, or does not hold for certain.

        So that what the last test has broken is seen.
        """
        since = _to_the_millisecond(self._stage.now())

        def is_known(probe: Json) -> bool:
            self._count_waiting()
            last = self._last.get(probe["name"])
            if last is None or last.began < since:
                return False
            return not last.problem or self._ledgers[probe["name"]].counts

        await self._until(
            lambda: all(is_known(probe) for probe in self._probes), hurry=True, at_most_s=_LONGEST_S
        )

    def count_rest(self) -> None:
        """Count what still waits for a fault: no window will open any more."""
        self._count_waiting(all_of_them=True)
        self._stage.journal.changed()

    async def until_well(self, fault: str, *, within_s: float) -> str | None:
        """
        Return None once every probe holds, or after ``within_s`` what is still missing.

        What fails while another fault is in effect says nothing about the recovery from this one.
        """
        since = _to_the_millisecond(self._stage.now())

        def is_well(probe: Json) -> bool:
            last = self._last.get(probe["name"])
            if last is None or last.began < since:
                return False
            return not last.problem or self._another_is_in_effect(fault)

        await self._until(
            lambda: all(is_well(each) for each in self._probes), hurry=True, at_most_s=within_s
        )
        ill = next((each["name"] for each in self._probes if not is_well(each)), None)
        if ill is None:
            return None
        last = self._last.get(ill)
        detail = (last.problem if last else "") or "it made no check"
        within = format_duration(timedelta(seconds=round(within_s, 1)))
        return f"probe {ill} did not hold within {within} of the service being well: {detail}"

    def _another_is_in_effect(self, fault: str) -> bool:
        return any(
            each["state"] in _IN_EFFECT and each["name"] != fault
            for each in self._stage.journal.summary["faults"]
        )

    async def _until(self, holds: Callable[[], bool], *, hurry: bool, at_most_s: float) -> None:
        """Wait for it, or until the time is over; in a hurry, ask for checks out of turn."""
        ask_at = self._stage.monotonic()
        give_up = ask_at + at_most_s
        while not holds() and self._stage.monotonic() < give_up:
            if hurry and self._stage.monotonic() >= ask_at:
                self._hurry.set()
                ask_at = self._stage.monotonic() + _ASK_AGAIN_S
            self._changed.clear()
            try:
                async with asyncio.timeout(_ASK_AGAIN_S):
                    await self._changed.wait()
            except TimeoutError:
                continue


def _to_the_millisecond(moment: datetime) -> datetime:
    """Cut a moment as it is written: a check that begins at once must not seem to be earlier."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


# In the worker -----------------------------------------------------------------------------------


def _check_for_ever(probes: list[Json], services: Json, channel: Channel) -> NoReturn:
    """Make the checks of all probes until the process is killed, or the conductor is gone."""
    makes_checks()
    threading.stack_size(_STACK)
    hurries = [threading.Event() for _ in probes]
    for probe, hurry in zip(probes, hurries, strict=True):
        arguments = (probe, services, channel, hurry)
        threading.Thread(target=_keep_checking, args=arguments, daemon=True).start()
    while True:
        channel.ask({})  # answered when someone cannot wait for the next turn
        for hurry in hurries:
            hurry.set()


def _keep_checking(probe: Json, services: Json, channel: Channel, hurry: threading.Event) -> None:
    every = max(parse_duration(probe.get("every") or "1s").total_seconds(), LEAST_EVERY_S)
    due = time.monotonic()
    libpq = through_libpq(probe, connections_given())

    def tell(host: str) -> None:
        channel.tell({"asks": host, "probe": probe["name"], "libpq": libpq})

    while True:
        left = due - time.monotonic()
        extra = left > 0 and hurry.wait(left)
        hurry.clear()
        if not extra:
            due = max(due + every, time.monotonic())  # turns that were missed are not made up for
        began = clock.now()
        problem = _problem(probe, services, tell)
        channel.tell(
            {
                "check": probe["name"],
                "began": rfc3339(began),
                "ended": rfc3339(clock.now()),
                "problem": problem,
                "extra": extra,
            }
        )


def _problem(probe: Json, services: Json, tell: Callable[[str], None]) -> str:
    """Make a check; empty if it held. ``tell`` is called with each host just before it is asked."""
    from seatrial_runner.conductor.passwords import masked
    from seatrial_runner.scenario import World
    from seatrial_runner.scenario.checks import check
    from seatrial_runner.scenario.given import given_variables

    timeout_s = parse_duration(probe.get("timeout") or "2s").total_seconds()
    if probe.get("tcp"):
        host, _, port = probe["tcp"].rpartition(":")
        tell(host)
        return tcp_problem(host, int(port), timeout_s=timeout_s)
    world = World(
        services=services,
        connections=connections_given(),
        on_request=lambda at, host: tell(host_of(host, services)),
        **given_variables(),
    )
    try:
        return check(probe, world, timeout_s=timeout_s)
    # A bug of ours must not end the checks of the other probes without a word.
    except Exception as error:  # noqa: BLE001
        return masked(f"the check broke: {type(error).__name__}: {error}")[:500]
