"""
What a database gives, as JSON. Pure.

| in the database | in expressions |
| --- | --- |
| integers, floats, booleans | the same; MySQL has no booleans: 0 and 1 |
| numeric, decimal | a number if a double holds all of its digits, else text |
| text, enumerations, UUID, addresses, ranges | text |
| date, time, timestamp | text as in ISO 8601; with a time zone in UTC, ``2026-01-31T12:00:00Z`` |
| interval | text that ``duration()`` reads, ``90s`` |
| bytes | base64 |
| JSON | what it holds; SQLite keeps JSON as text |
| arrays | lists |
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from seatrial_runner.scenario.values import show_duration

MAX_BYTES = 4 * 1024 * 1024


class RowsError(Exception):
    """Rows that no expression could work with; the message says why, and what to do."""


def read_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], most: int
) -> list[dict[str, Any]]:
    """
    Give rows as maps by column.

    Args:
        columns: Names, in order.
        rows: Values, in the order of columns; not read further than it takes to see too many.
        most: How many rows there may be.

    Raises:
        RowsError: There are more, or too many bytes, or two columns of one name.
    """
    doubled = [name for name in columns if columns.count(name) > 1]
    if doubled:
        raise RowsError(f"two columns are named {doubled[0]!r}: name one of them with as")
    found: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        if len(found) == most:
            raise RowsError(f"more than {most} rows: limit the query, or raise maxRows")
        values = {name: to_json(value) for name, value in zip(columns, row, strict=True)}
        size += len(json.dumps(values))
        if size > MAX_BYTES:
            raise RowsError(
                f"the first {len(found) + 1} rows are more than {MAX_BYTES // 2**20} MiB:"
                " limit the query, or name the columns that are needed"
            )
        found.append(values)
    return found


def to_json(value: Any) -> Any:
    """Give the JSON form of a value of any column."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return _number(value)
        case datetime():
            return _moment(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return show_duration(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case list() | tuple() | set() | frozenset():
            return [to_json(item) for item in value]
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case _:
            return str(value)


def _number(value: Decimal) -> int | float | str:
    """Never round: a number whose digits do not fit is given as text."""
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and abs(value) < 2**53:
        return int(value)
    double = float(value)
    return double if Decimal(repr(double)) == value else str(value)


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
