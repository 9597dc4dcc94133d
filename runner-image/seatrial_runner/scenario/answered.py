"""The failure of a step that was answered with an error, or with nothing in time."""

from __future__ import annotations

from collections.abc import Container
from datetime import timedelta

from seatrial_runner.scenario.action import SeenError, StepFailure

OTHER = "other"  # the name of an error that has no word of ours


def answered_failure(
    seen: SeenError, message: str, shown: str, elapsed: timedelta, hopeless: Container[str]
) -> StepFailure:
    """
    Say what was answered.

    Args:
        seen: The error.
        message: Of it, with what was asked where; name and code are put behind it.
        shown: At length: what was asked, and what is known of the error.
        elapsed: Until it was known.
        hopeless: Names of errors that trying again cannot mend.
    """
    known = ", ".join(word for word in (seen.name, seen.code) if word not in ("", OTHER))
    return StepFailure(
        f"{message} ({known})" if known else message,
        shown,
        permanent=seen.name in hopeless,
        out_of_time=seen.name == "timeout",
        error=seen,
        values={"elapsed": elapsed},
    )
