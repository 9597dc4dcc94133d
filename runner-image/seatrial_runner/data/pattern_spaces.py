"""All texts that a regular expression matches, by number: where each is made in one way only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from seatrial_runner.data.patterns import letters_of, repetitions

_COUNTED = 10_000  # texts of branches, which are compared one by one


@dataclass(frozen=True)
class Space:
    """
    Texts by number, no two of them alike.

    Attributes:
        size: How many there are.
        at: Gives one, from 0.
        length: Of each of them; None: they differ.
    """

    size: int
    at: Callable[[int], str]
    length: int | None


def space_of(pattern: str) -> Space | None:
    """Give the texts of a pattern; None where the same text may be made in two ways."""
    return _sequence(parser.parse(pattern))


def _sequence(parts: Any) -> Space | None:
    spaces: list[Space] = []
    for kind, argument in parts:
        space = _part(str(kind), argument)
        if space is None:
            return None
        spaces.append(space)
    varying = sum(space.length is None for space in spaces)
    if varying > 1:
        return None  # as in [ab]?[ab]?: nobody can tell which of them an "a" is of
    size = 1
    for space in spaces:
        size *= space.size

    def at(number: int) -> str:
        texts = []
        for space in reversed(spaces):
            number, index = divmod(number, space.size)
            texts.append(space.at(index))
        return "".join(reversed(texts))

    return Space(size, at, None if varying else sum(space.length or 0 for space in spaces))


def _part(kind: str, argument: Any) -> Space | None:
    if (letters := letters_of(kind, argument)) is not None:
        return Space(len(letters), letters.__getitem__, 1)
    match kind:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _repeated(*argument)
        case "SUBPATTERN":
            return _sequence(argument[-1])
        case "ATOMIC_GROUP":
            return _sequence(argument)
        case "BRANCH":
            return _branches(argument[1])
        case "AT":
            return Space(1, lambda _: "", 0)
        case _:
            return None


def _repeated(least: int, most: Any, inner: Any) -> Space | None:
    space = _sequence(inner)
    first, last = repetitions(least, most)
    if space is None or (first, last) == (1, 1):
        return space
    if not space.length:
        return None
    sizes = [space.size**count for count in range(first, last + 1)]

    def at(number: int) -> str:
        count = first
        while number >= sizes[count - first]:
            number -= sizes[count - first]
            count += 1
        texts = []
        for _ in range(count):
            number, index = divmod(number, space.size)
            texts.append(space.at(index))
        return "".join(texts)

    return Space(sum(sizes), at, first * space.length if first == last else None)


def _branches(branches: Sequence[Any]) -> Space | None:
    spaces = [_sequence(each) for each in branches]
    if any(space is None or space.size > _COUNTED for space in spaces):
        return None
    texts = [space.at(n) for space in spaces if space for n in range(space.size)]
    if len(texts) > _COUNTED or len(set(texts)) < len(texts):
        return None
    lengths = {len(text) for text in texts}
    return Space(len(texts), texts.__getitem__, lengths.pop() if len(lengths) == 1 else None)
