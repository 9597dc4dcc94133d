"""How long a step watches: that nothing came proves something only of the time it watched."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from seatrial_runner.scenario.action import StepFailure


def cut_short(took_s: float, wanted_s: float) -> str:
    """Say for how long it was watched; rounded down, so that less never looks like all of it."""
    return f"it was watched for {math.floor(took_s * 100) / 100:g} s of {wanted_s:g} s"


def too_short(text: str) -> StepFailure:
    """Make a failure of it, which is none of the other side's."""
    return StepFailure(text, out_of_time=True, answered=True)


class Watch:
    """
    A time for which a step takes what comes, or sees that nothing does.

    Attributes:
        began: On the clock given.
        end: After ``wanted_s``, or when no time is left to the step, whichever comes first.
    """

    def __init__(
        self, wanted_s: float, left_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._wanted_s = wanted_s
        self.began = clock()
        self.end = self.began + min(wanted_s, max(0.0, left_s))

    def left(self) -> float:
        """Give the seconds until the end; below 0 after it."""
        return self.end - self._clock()

    def cut_short(self) -> str:
        """Say that it ended before its time; empty if it did not."""
        whole, now = self.began + self._wanted_s, self._clock()
        return cut_short(now - self.began, self._wanted_s) if self.end < whole > now else ""

    def require_whole(self) -> None:
        """
        Refuse to take silence for a proof where there was no time for it.

        Raises:
            StepFailure: It ended before its time.
        """
        if text := self.cut_short():
            raise too_short(text)
