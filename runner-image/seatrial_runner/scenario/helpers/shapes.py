"""
``hasShape``: matching by type and shape.

A shape is a text with names of types (``"string|null"``), a regular expression between slashes
(``"/^o-[0-9]+$/"``), a text that it must be (``"=paid"``), a type of CEL (``string``), a map of
shapes by key, a list of shapes, or any other value, which it must equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from seatrial_runner.scenario.helpers.difference import (
    Difference,
    HelperError,
    below,
    described,
    equal,
    in_order,
)
from seatrial_runner.scenario.helpers.times import parse_moment

REST = "*"  # a key that stands for all that are not named
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")


def has_shape(value: Any, shape: Any) -> list[Difference]:
    """Find where a value has not the shape."""
    return list(_unlike(value, shape, ""))


def _unlike(value: Any, shape: Any, path: str) -> Iterator[Difference]:
    match shape:
        case str():
            yield from _unlike_word(value, shape, path)
        case dict():
            yield from _unlike_map(value, shape, path)
        case list():
            yield from _unlike_list(value, shape, path)
        case _ if hasattr(shape, "is_message"):  # a type of CEL: string, int, ...
            name = shape.name().partition("<")[0].lower()
            yield from _unlike_word(value, _OF_CEL.get(name, name), path)
        case _ if not equal(value, shape):
            yield Difference(path, f"is {described(value)}, not {described(shape)}")


def _unlike_map(value: Any, shape: dict[str, Any], path: str) -> Iterator[Difference]:
    if not isinstance(value, dict):
        yield Difference(path, f"is {described(value)}, not a map")
        return
    rest = shape.get(REST, "any")
    named = set()
    for key, each in in_order(shape):
        if key == REST:
            continue
        name = key.removesuffix("?")
        named.add(name)
        if name in value:
            yield from _unlike(value[name], each, below(path, name))
        elif name == key:
            yield Difference(below(path, name), f"is missing; {_wanted(each)} is wanted")
    for key, each in in_order(value):
        if key not in named:
            yield from _unlike(each, rest, below(path, key))


def _unlike_list(value: Any, shape: list[Any], path: str) -> Iterator[Difference]:
    if not isinstance(value, list):
        yield Difference(path, f"is {described(value)}, not a list")
    elif len(shape) == 1:
        for index, each in enumerate(value):
            yield from _unlike(each, shape[0], below(path, index))
    elif len(value) != len(shape):
        count = "1 element" if len(value) == 1 else f"{len(value)} elements"
        yield Difference(path, f"has {count}, not {len(shape)}")
    else:
        for index, (each, wanted) in enumerate(zip(value, shape, strict=True)):
            yield from _unlike(each, wanted, below(path, index))


def _unlike_word(value: Any, word: str, path: str) -> Iterator[Difference]:
    if word.startswith("="):
        if value != word[1:]:
            yield Difference(path, f"is {described(value)}, not {described(word[1:])}")
        return
    if len(word) > 1 and word.startswith("/") and word.endswith("/"):
        if not isinstance(value, str) or not _matches(value, word[1:-1]):
            yield Difference(path, f"is {described(value)}, which does not match {word}")
        return
    names = [name.strip() for name in word.split("|")]
    for name in names:
        if name not in _TYPES:
            raise HelperError(
                f"{word!r} is no shape; types are: {', '.join(_TYPES)}; a text that must be there"
                f" is written '={word}', a regular expression '/{word}/'"
            )
    if "never" in names:
        yield Difference(path, f"is there: {described(value)}")
    elif not any(_TYPES[name](value) for name in names):
        yield Difference(path, f"is {described(value)}, not {_wanted(word)}")


def _wanted(shape: Any) -> str:
    match shape:
        case str() if shape.startswith(("=", "/")):
            return shape if shape.startswith("/") else described(shape[1:])
        case str():
            return " or ".join(_PLAIN.get(each.strip(), each.strip()) for each in shape.split("|"))
        case dict():
            return "a map"
        case list():
            return "a list"
        case _ if hasattr(shape, "is_message"):
            return f"a {shape.name().partition('<')[0].lower()}"
        case _:
            return described(shape)


def _matches(text: str, pattern: str) -> bool:
    # By CEL, whose regular expressions (RE2) take linear time whatever they are.
    from seatrial_runner.scenario.expressions import ExpressionError, evaluate

    try:
        return evaluate("text.matches(pattern)", {"text": text, "pattern": pattern}) is True
    except ExpressionError as error:
        raise HelperError(f"/{pattern}/ is no regular expression: {error}") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_int(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_url(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(urlsplit(value).scheme and urlsplit(value).netloc)
    except ValueError:
        return False


def _is_time(value: Any) -> bool:
    if isinstance(value, datetime):
        return True
    return isinstance(value, str) and "T" in value.upper() and parse_moment(value) is not None


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 10 and parse_moment(value) is not None


_TYPES: dict[str, Callable[[Any], bool]] = {
    "any": lambda value: True,
    "never": lambda value: False,
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "int": _is_int,
    "bool": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
    "uuid": _is_uuid,
    "time": _is_time,
    "date": _is_date,
    "email": lambda value: isinstance(value, str) and bool(_EMAIL.fullmatch(value)),
    "url": _is_url,
    "duration": lambda value: isinstance(value, timedelta),
}
# What CEL calls its types, where that is something else.
_OF_CEL = {
    "double": "number",
    "uint": "int",
    "timestamp": "time",
    "null_type": "null",
    "dyn": "any",
}
_PLAIN = {
    "string": "a string",
    "number": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "list": "a list",
    "map": "a map",
    "uuid": "a UUID",
    "time": "a time with date (RFC 3339)",
    "date": "a date (2026-01-31)",
    "email": "an e-mail address",
    "url": "a URL",
    "duration": "a duration",
    "any": "anything",
}
