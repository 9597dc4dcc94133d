"""The operator's clock and ours: they run on different machines, and may be minutes apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from seatrial.api.journal import RunDoc

from seatrial_runner.clock import parse, rfc3339

# Less than this is no difference but the way that the run's document took, with an operator that
# was restarted meanwhile; deadlines of minutes bear it.
_SAME = timedelta(seconds=30)
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def by_our_clock(run: RunDoc, age: timedelta | None, now: datetime) -> RunDoc:
    """
    Give the run with its start and its deadline as this machine's clock has them.

    Args:
        run: As the operator wrote it, by its own clock.
        age: Of the document, by the API server's clock alone; None if it is not known.
        now: By our clock.
    """
    if age is None:
        return run
    ahead = now - age - parse(run["startedAt"])
    if abs(ahead) < _SAME:
        return run
    return {
        **run,
        "startedAt": rfc3339(parse(run["startedAt"]) + ahead),
        "deadline": rfc3339(parse(run["deadline"]) + ahead),
    }


def http_date(text: str) -> datetime | None:
    """
    Read the header Date, such as ``Sun, 06 Nov 1994 08:49:37 GMT``; None if it is none.

    NB: not by ``email.utils``, whose import is as long as a request.
    """
    try:
        _, day, month, year, time, _ = text.split()
        hour, minute, second = time.split(":")
        number = _MONTHS.index(month) // 3 + 1
        return datetime(
            int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=UTC
        )
    except ValueError:
        return None
