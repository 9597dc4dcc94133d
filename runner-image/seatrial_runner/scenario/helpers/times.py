"""``parseTime``: moments as services write them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from seatrial_runner.scenario.helpers.difference import HelperError
from seatrial_runner.scenario.values import show


def parse_time(text: str) -> datetime:
    """
    Read a date, a date with time (ISO 8601, RFC 3339), or a date of an HTTP header; UTC if no
    offset is given.

    Raises:
        HelperError: It is none of them.
    """
    moment = parse_moment(text)
    if moment is None:
        raise HelperError(f"{show(text, 60)} is no date or time")
    return moment


def parse_moment(text: str) -> datetime | None:
    """Read as ``parse_time`` does; None if it cannot be read."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text.strip())
            # CEL has no moments outside of these, and none without an offset.
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError, IndexError, TypeError):
            continue
    return None
