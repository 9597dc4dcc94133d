"""
Documents of MongoDB as JSON, and its errors. Pure.

In, extended JSON: ``{"$oid": "..."}``, ``{"$date": "..."}``. Out, what an expectation compares:

| in the database | in expressions |
| --- | --- |
| ObjectId, UUID | text |
| date | text, ``2026-01-31T12:00:00Z`` |
| decimal | a number if a double holds all of its digits, else text |
| binary | base64 |
| anything else that JSON has not | extended JSON |
"""

from __future__ import annotations

import json
from typing import Any

from seatrial_runner.scenario.action import SeenError
from seatrial_runner.scenario.databases import rows

# By number.
_NAMES = {
    11000: "uniqueViolation",
    11001: "uniqueViolation",
    18: "accessDenied",
    13: "permissionDenied",
    121: "checkViolation",
    26: "undefinedTable",
    48: "duplicateTable",
    112: "serializationFailure",
    251: "transactionAborted",
    50: "timeout",
    262: "timeout",
    59: "unknownCommand",
    2: "invalidValue",
    9: "syntaxError",
    14: "invalidValue",
    40415: "syntaxError",
}
HOPELESS = frozenset({"syntaxError", "unknownCommand"})


class DocumentError(ValueError):
    """A document that is no extended JSON; the message says which part."""


def to_bson(value: Any) -> Any:
    """Give what extended JSON stands for; raises DocumentError."""
    from bson import json_util
    from bson.errors import BSONError
    from bson.json_util import JSONOptions

    try:
        return json_util.loads(json.dumps(value), json_options=JSONOptions(tz_aware=True))
    except (BSONError, ValueError, TypeError) as error:
        raise DocumentError(f"no extended JSON: {error}") from error


def to_json(value: Any) -> Any:
    """Give the JSON form of a value of a document."""
    from bson import Decimal128, Int64, ObjectId, json_util

    match value:
        case ObjectId():
            return str(value)
        case Decimal128():
            return rows.to_json(value.to_decimal())
        case Int64():
            return int(value)
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case list():
            return [to_json(item) for item in value]
        case None | bool() | int() | float() | str() | bytes():
            return rows.to_json(value)
        case _ if type(value).__module__.startswith("bson"):
            return json.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))
        case _:
            return rows.to_json(value)


def seen_error(error: Any) -> SeenError:
    """Say what a server answered, from pymongo's OperationFailure."""
    told = dict(error.details or {})
    first = (told.get("writeErrors") or [None])[0]
    if isinstance(first, dict):
        told = {**told, **first}
    code = int(told.get("code") or error.code or 0)
    message = " ".join(str(told.get("errmsg") or error).split())
    details: dict[str, Any] = {"number": code} if code else {}
    for key in ("codeName", "keyPattern", "keyValue", "index", "errInfo"):
        if key in told:
            details[key] = to_json(told[key])
    return SeenError(_NAMES.get(code, "other"), message, str(code or ""), details)
