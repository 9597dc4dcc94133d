"""
Repeats a step: ``eventually`` until it holds or time is out, ``always`` as long as it must hold,
``retries`` after a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.world import World

FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 1.0
LEAST_TRY_S = 1.0  # what a try may take that begins just before the end of ``within``
ALWAYS_PAUSE_S = 0.2

# Does the step once; is given a function that says how many seconds are left for it.
Once = Callable[[Callable[[], float]], None]


class Repetition:
    """
    Does one step as often as it says, within a deadline, and counts.

    Attributes:
        attempts: 1, and one more for each of the step's retries used.
        tries: Of the last attempt; more than 1 only with ``eventually`` and ``always``.
        settled_s: With ``eventually``, from the beginning to the end of the try that held.
    """

    def __init__(self, step: dict[str, Any], world: World, deadline: float) -> None:
        self._step = step
        self._world = world
        self._deadline = deadline
        self.attempts = 0
        self.tries = 0
        self.settled_s: float | None = None

    def run(self, once: Once) -> None:
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

    def _attempt(self, once: Once) -> None:
        self.tries = 0
        if eventually := self._step.get("eventually"):
            self._eventually(once, eventually)
        elif always := self._step.get("always"):
            self._always(once, always)
        else:
            self._try(once, self._time_left)

    def _eventually(self, once: Once, eventually: dict[str, Any]) -> None:
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
                self.settled_s = round(self._world.monotonic() - began, 6)
                return
            if seen.permanent:
                raise seen
            if self._over(end):
                break
            self._sleep(pauses.next(), end)
        took = self._world.monotonic() - began
        tries = "1 try" if self.tries == 1 else f"{self.tries} tries"
        text = f"not within {eventually['within']} ({tries} in {took:.1f} s): {seen.message}"
        note = f"The last of {tries} in {took:.1f} s:\n" if self.tries > 1 else ""
        details = "\n".join(part for part in (note, seen.details) if part)
        raise StepFailure(text, details, seen.outcome)

    def _always(self, once: Once, always: dict[str, Any]) -> None:
        """Look at the beginning, at the end, and in between."""
        began = self._world.monotonic()
        end = began + parse_duration(always["for"]).total_seconds()
        every = always.get("every")
        pause = parse_duration(every).total_seconds() if every else ALWAYS_PAUSE_S
        while True:
            after = self._world.monotonic() - began
            last = after >= end - began
            try:
                self._try(once, self._time_left)
            except StepFailure as failure:
                looks = "the first look" if self.tries == 1 else f"look {self.tries}"
                text = f"did not hold for {always['for']}: at {looks}, after {after:.1f} s"
                raise StepFailure(
                    f"{text}: {failure.message}",
                    failure.details,
                    failure.outcome,
                    permanent=failure.permanent,
                    out_of_time=failure.out_of_time,
                ) from failure
            if last:
                return
            if self._over(self._deadline):
                took = self._world.monotonic() - began
                raise StepFailure(f"it held for {took:.1f} s of {always['for']}", permanent=True)
            self._sleep(pause, min(end, self._deadline))

    def _try(self, once: Once, seconds: Callable[[], float]) -> None:
        self.tries += 1
        once(seconds)

    def _sleep(self, pause: float, end: float) -> None:
        self._world.sleep(min(pause, max(0.0, end - self._world.monotonic())))

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
