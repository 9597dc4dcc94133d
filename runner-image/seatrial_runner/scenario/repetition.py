"""Repeats a step: ``eventually`` until it holds or time is out, ``retries`` after a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.steps import StepFailure
from seatrial_runner.scenario.world import World

FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 1.0
LEAST_TRY_S = 1.0  # what a try may take that begins just before the end of ``within``


class Repetition:
    """
    Does one step as often as it says, within a deadline, and counts.

    Attributes:
        attempts: 1, and one more for each of the step's retries used.
        tries: Of the last attempt; more than 1 only with ``eventually``.
    """

    def __init__(self, step: dict[str, Any], world: World, deadline: float) -> None:
        self._step = step
        self._world = world
        self._deadline = deadline
        self.attempts = 0
        self.tries = 0

    def run(self, once: Callable[[Callable[[], float]], None]) -> None:
        """
        Call ``once`` with a function that gives the seconds left for it.

        Raises:
            StepFailure: Of the last attempt.
        """
        for left in range(self._step.get("retries", 0), -1, -1):
            self.attempts += 1
            try:
                self._attempt(once)
            except StepFailure as failure:
                if left == 0 or failure.permanent or self._time_left() <= 0:
                    raise
            else:
                return

    def _attempt(self, once: Callable[[Callable[[], float]], None]) -> None:
        self.tries = 0
        eventually = self._step.get("eventually")
        if not eventually:
            self._try(once, self._time_left)
            return
        began = self._world.monotonic()
        within = parse_duration(eventually["within"]).total_seconds()
        end = min(began + within, self._deadline)
        pauses = _Pauses(eventually.get("every"))
        seen: StepFailure | None = None
        while True:
            try:
                self._try(once, lambda: self._time_for_a_try(end))
            except StepFailure as failure:
                # A try that was cut off at the end saw less than the one before it.
                seen = seen if seen and failure.out_of_time and self._over(end) else failure
            else:
                return
            if seen.permanent:
                raise seen
            if self._over(end):
                break
            self._world.sleep(min(pauses.next(), max(0.0, end - self._world.monotonic())))
        took = self._world.monotonic() - began
        tries = "1 try" if self.tries == 1 else f"{self.tries} tries"
        text = f"not within {eventually['within']} ({tries} in {took:.1f} s): {seen.message}"
        note = f"The last of {tries} in {took:.1f} s:\n" if self.tries > 1 else ""
        details = "\n".join(part for part in (note, seen.details) if part)
        raise StepFailure(text, details, seen.outcome)

    def _try(
        self, once: Callable[[Callable[[], float]], None], seconds: Callable[[], float]
    ) -> None:
        self.tries += 1
        once(seconds)

    def _over(self, end: float) -> bool:
        return self._world.monotonic() >= end

    def _time_left(self) -> float:
        return self._deadline - self._world.monotonic()

    def _time_for_a_try(self, end: float) -> float:
        return min(self._time_left(), max(end - self._world.monotonic(), LEAST_TRY_S))


class _Pauses:
    def __init__(self, every: str | None) -> None:
        self._every = parse_duration(every).total_seconds() if every else None
        self._next = FIRST_PAUSE_S

    def next(self) -> float:
        if self._every is not None:
            return self._every
        pause, self._next = self._next, min(self._next * 2, LAST_PAUSE_S)
        return pause
