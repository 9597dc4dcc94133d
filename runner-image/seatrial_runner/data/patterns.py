"""Texts that a regular expression matches."""

from __future__ import annotations

import string
from collections.abc import Callable
from random import Random
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from seatrial.api.data_specification import DataError

MORE = 8  # repetitions beyond the least, where there is no limit
_ANY = string.ascii_letters + string.digits
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_letters,
    "CATEGORY_NOT_WORD": "-. ",
    "CATEGORY_NOT_SPACE": _ANY,
}
_PRINTABLE = [chr(code) for code in range(32, 127)]

Part = Callable[[Random], str]


def text_maker(pattern: str) -> Part:
    """
    Give a function that makes a text for a pattern, from a source of randomness.

    Raises:
        DataError: The pattern looks around or back, which no text can be made for one by one.
    """
    return _sequence(parser.parse(pattern))


def _sequence(parts: Any) -> Part:
    made = [_part(str(kind), argument) for kind, argument in parts]
    return lambda rng: "".join(part(rng) for part in made)


def _part(kind: str, argument: Any) -> Part:
    match kind:
        case "LITERAL":
            text = chr(argument)
            return lambda _: text
        case "NOT_LITERAL" | "ANY" | "IN":
            letters = letters_of(kind, argument) or []
            return lambda rng: rng.choice(letters)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _repeated(*argument)
        case "SUBPATTERN":
            return _sequence(argument[-1])
        case "ATOMIC_GROUP":
            return _sequence(argument)
        case "BRANCH":
            branches = [_sequence(each) for each in argument[1]]
            return lambda rng: rng.choice(branches)(rng)
        case "AT":
            return lambda _: ""
        case _:
            raise DataError("pattern", f"no texts can be made for {kind.lower()}")


def _repeated(least: int, most: Any, inner: Any) -> Part:
    part = _sequence(inner)
    first, last = repetitions(least, most)
    return lambda rng: "".join(part(rng) for _ in range(rng.randint(first, last)))


def repetitions(least: int, most: Any) -> tuple[int, int]:
    """Give the least and the largest number of repetitions that are made."""
    # NB: "no limit" is a number of its own kind, larger than any other.
    return least, min(int(most), least + MORE)


def letters_of(kind: str, argument: Any) -> list[str] | None:
    """Give the letters that a part may be, each once; None: it is no single letter."""
    match kind:
        case "LITERAL":
            return [chr(argument)]
        case "NOT_LITERAL":
            return [each for each in _PRINTABLE if each != chr(argument)]
        case "ANY":
            return list(_ANY)
        case "IN":
            return _letters(argument)
        case _:
            return None


def _letters(parts: Any) -> list[str]:
    negated, found = False, set[str]()
    for kind, argument in parts:
        match str(kind):
            case "NEGATE":
                negated = True
            case "LITERAL":
                found.add(chr(argument))
            case "RANGE":
                found.update(chr(code) for code in range(argument[0], argument[1] + 1))
            case "CATEGORY":
                found.update(_CATEGORIES[str(argument)])
            case other:
                raise DataError("pattern", f"no texts can be made for {other.lower()}")
    letters = [each for each in _PRINTABLE if each not in found] if negated else sorted(found)
    if not letters:
        raise DataError("pattern", "a class of characters is empty")
    return letters
