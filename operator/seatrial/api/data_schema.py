"""JSON Schemas that values are to be made for: whether their keywords hold what they have to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_DEPTH = 64
MAX_SIZE = 100_000  # of a text or a list that is made
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")


def schema_problem(schema: Any, where: str, depth: int = 0) -> tuple[str, str] | None:
    """Give the first keyword that is wrong, as its path and what it must be; None: all is well."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, Mapping):
        return where, "is no schema: write a map"
    if depth > MAX_DEPTH:
        return where, f"is nested more than {MAX_DEPTH} levels"
    for key, value in schema.items():
        if (check := _CHECKS.get(key)) and (problem := check(value)):
            return f"{where}.{key}", problem
    for kind in ("Length", "Items"):
        if schema.get(f"min{kind}", 0) > schema.get(f"max{kind}", MAX_SIZE):
            return f"{where}.min{kind}", f"is more than max{kind}"
    for part, inner in _inner(schema):
        if problem_there := schema_problem(inner, f"{where}.{part}", depth + 1):
            return problem_there
    return None


def pattern_problem(value: Any) -> str:
    """Say why no text can be made for a regular expression; empty: it can be read, and is short."""
    if not isinstance(value, str):
        return "is no regular expression: write a text"
    try:
        least, _ = parser.parse(value).getwidth()
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression: {error}"
    return f"matches only texts of more than {MAX_SIZE} characters" if least > MAX_SIZE else ""


def is_number(value: Any) -> bool:
    """Tell whether it is a finite number that one can calculate with."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in _MAPS:
        for name, inner in schema.get(key, {}).items():
            yield f"{key}.{name}", inner
    for key in _LISTS:
        for number, inner in enumerate(schema.get(key, ())):
            yield f"{key}[{number}]", inner
    if "items" in schema:
        yield "items", schema["items"]


def _count(value: Any) -> str:
    whole = is_number(value) and value == int(value) and value >= 0
    return "" if whole else "must be a whole number, at least 0"


def _least(value: Any) -> str:
    if problem := _count(value):
        return problem
    return "" if value <= MAX_SIZE else f"is more than {MAX_SIZE}, which are the most that are made"


def _type(value: Any) -> str:
    names = value if isinstance(value, list) else [value]
    good = names and all(isinstance(name, str) for name in names)
    return "" if good else "must be the name of a type, or a list of names"


def _step(value: Any) -> str:
    return "" if is_number(value) and value > 0 else "must be a number above 0"


def _names(value: Any) -> str:
    good = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return "" if good else "must be a list of names"


def _number(value: Any) -> str:
    return "" if is_number(value) else "must be a number"


def _some(value: Any) -> str:
    return "" if isinstance(value, list) and value else "must be a list that is not empty"


def _list(value: Any) -> str:
    return "" if isinstance(value, list) else "must be a list"


def _map(value: Any) -> str:
    return "" if isinstance(value, Mapping) else "must be a map"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "must be a text"


_CHECKS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(_NUMBERS, _number),
    **{key: _least if key.startswith("min") else _count for key in _COUNTS},
    **dict.fromkeys(_MAPS, _map),
    **dict.fromkeys(("enum", "anyOf", "oneOf"), _some),
    **dict.fromkeys(("allOf", "prefixItems"), _list),
    **dict.fromkeys(("$ref", "format"), _text),
    "pattern": pattern_problem,
    "required": _names,
    "type": _type,
    "multipleOf": _step,
}
