"""Phases and verdicts. Plain: the pods use it too."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Phase(StrEnum):
    """Where a run is. For display and order only; what to do follows from what is observed."""

    QUEUED = "Queued"
    PROVISIONING = "Provisioning"
    RUNNING = "Running"
    COLLECTING = "Collecting"  # the verdict stands; logs and the report are being gathered
    CLEANING = "Cleaning"
    FINISHED = "Finished"


class Verdict(StrEnum):
    """What a run came to, from worst to best."""

    ABORTED = "Aborted"
    FAILED = "Failed"
    ERROR = "Error"
    INCONCLUSIVE = "Inconclusive"
    PASSED = "Passed"


_WORST_FIRST = tuple(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Take the worst; of none, Inconclusive: a run in which nothing was measured is not Passed."""
    return min(verdicts, key=_WORST_FIRST.index, default=Verdict.INCONCLUSIVE)
