"""
What the conductor says, checked before anything rests on it.

It comes from a namespace where user code runs, and quotes what that code has said: nothing in it
may break the operator, which looks after everyone's runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, cast, get_args, get_origin, get_type_hints

from seatrial.api.journal import SummaryDoc
from seatrial.api.names import MAX_STATUS_BYTES
from seatrial.api.status import RunStatus
from seatrial.api.verdict import judge
from seatrial.plan import conditions
from seatrial.plan.status import progress

_VERSION = 1
# The conductor keeps to 64 KiB where it can; what is far beyond is not worth the memory.
_MAX_CHARACTERS = 4 * MAX_STATUS_BYTES
_MAX_NUMBER = 2**53  # what JSON carries exactly
_MOMENTS = (
    *("at", "requested", "applied", "effective", "firstHit", "reverted", "recovered"),
    *("firstFailure", "lastCheck", "until"),
)
_YEARS = range(2000, 3000)  # a deadline can be added to, and taken from, each moment
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def read_summary(text: str) -> SummaryDoc | None:
    """
    Read ``summary.json``; None if it is none, or nothing can be made of it.

    Words that are not known, of a newer conductor say, are taken as they are.
    """
    document = _parse(text)
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        return None
    if not _fits(document, SummaryDoc, ""):
        return None
    summary = cast(SummaryDoc, document)
    try:
        # What the status cannot hold (a name of thousands of letters) shows when it is tried.
        progress(RunStatus(), summary)
        claims = conditions.ended(judge(summary), has_faults=False)
        conditions.update((), claims, _SOME_TIME, 0)
    except ValueError:
        return None
    return summary


def _parse(text: str) -> Any:
    if len(text) > _MAX_CHARACTERS:
        return None
    try:
        document = json.loads(text)
        if "\\ud" in text.lower():
            # Half of a character (a lone surrogate) is JSON, but can be in no status.
            whole = json.dumps(document, ensure_ascii=False).encode(errors="replace")
            document = json.loads(whole)
    except (ValueError, RecursionError):
        return None
    return document


def _fits(value: Any, hint: Any, key: str) -> bool:
    """Tell whether a JSON value is what the TypedDicts of ``seatrial.api.journal`` say."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return any(_fits(value, each, key) for each in arguments)
    if origin is list:
        return isinstance(value, list) and all(_fits(each, arguments[0], key) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(each, arguments[1], key) for each in value.values()
        )
    if origin is Literal or hint is str:
        return isinstance(value, str) and (not _is_moment(key) or _names_a_moment(value))
    if hint is float:
        return isinstance(value, int | float) and 0 <= value < _MAX_NUMBER
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_NUMBER
    if hint is NoneType or hint is bool:
        return isinstance(value, hint)
    return isinstance(value, dict) and _has_fields(value, hint)


def _has_fields(value: Mapping[str, Any], document: type) -> bool:
    for key, hint in _hints(document).items():
        if get_origin(hint) is NotRequired:
            if key in value and not _fits(value[key], get_args(hint)[0], key):
                return False
        elif key not in value or not _fits(value[key], hint, key):
            return False
    return True


@cache
def _hints(document: type) -> Mapping[str, Any]:
    """Give the types of a TypedDict's fields; to work them out takes longer than to check them."""
    return get_type_hints(document, include_extras=True)


def _is_moment(key: str) -> bool:
    return key.endswith("At") or key in _MOMENTS


def _names_a_moment(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment.year in _YEARS
