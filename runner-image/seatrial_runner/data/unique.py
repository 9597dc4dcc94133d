"""
Values that never come again in a run: each is of the lane of whoever makes it.

Texts end with a number of the lane. What has an order, or can be counted, is chosen by chance and
moved to the nearest value whose number is of the lane. Of what is neither, values are made until
the hash of one is of the lane.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

from seatrial.api.data_specification import FIRST_DAY, LAST_DAY, DataError, FieldPlan, moment
from seatrial.api.lanes import Lane

from seatrial_runner.data.pattern_spaces import space_of

Make = Callable[[int], Any]
_DRAWS = 50  # by chance, before the next one that is free is taken
_TRIES = 200  # for each share that the values are divided into
_NODE = 1 << 48


@dataclass(frozen=True)
class _Ranked:
    """
    Values that have numbers.

    Attributes:
        rank: Gives the number of one, by chance.
        value: Gives the value of a number.
        low: The least number; None: there is none.
        high: The largest.
    """

    rank: Callable[[int], int]
    value: Callable[[int], Any]
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Making:
    """How a field is made when it need not be unique, for one that has to be."""

    plan: FieldPlan
    make: Make
    rng: Random
    where: str


def unique_maker(making: Making, lane: Lane, key: tuple[str, str]) -> Make:
    """
    Give the function that makes values of a lane.

    Args:
        making: The field.
        lane: Whose values they are.
        key: Table and field: of another, values may be the same.
    """
    plan, make = making.plan, making.make
    options = plan.options
    match plan.kind:
        case "sequence":
            start, step = options.get("start", 1), options.get("step", 1)
            return lambda _: start + lane.number(key) * step
        case "text":
            return _bounded_text(making, lane, key)
        case "provider" if options == "uuid":
            return _uuid(making, lane, key)
        case "provider" if options != "ipv4":
            place = _PLACES.get(options, _behind)
            return lambda n: place(str(make(n)), str(lane.number(key)))
    seen = (*key, repr((plan.kind, options)))
    ranked = _ranked(making)
    if ranked is None:
        return _by_hash(making, lane, seen)
    return _by_rank(making, ranked, lane, seen)


def _behind(text: str, number: str) -> str:
    return f"{text} {number}"


def _in_email(text: str, number: str) -> str:
    name, _, domain = text.partition("@")
    return f"{name}.{number}@{domain}"


def _in_hostname(text: str, number: str) -> str:
    name, _, domain = text.partition(".")
    return f"{name}-{number}.{domain}"


def _in_file_name(text: str, number: str) -> str:
    name, _, suffix = text.rpartition(".")
    return f"{name}-{number}.{suffix}"


# By provider, where the number goes: what has a form keeps it.
_PLACES: dict[str, Callable[[str, str], str]] = {
    "email": _in_email,
    "hostname": _in_hostname,
    "fileName": _in_file_name,
    "url": lambda text, number: f"{text.rstrip('/')}/{number}",
    "username": lambda text, number: f"{text}-{number}",
}


def _bounded_text(making: Making, lane: Lane, key: tuple[str, str]) -> Make:
    options = making.plan.options
    most = options.get("max", max(40, options.get("min", 1)))

    def text(n: int) -> str:
        number = str(lane.number(key))
        if len(number) > most:
            raise _too_few(making, lane, f"texts of {most} characters end")
        made = str(making.make(n))
        if len(number) + 1 >= most:
            return number.rjust(min(len(made), most), "x")
        return f"{made[: max(len(made) - len(number) - 1, 1)]} {number}"

    return text


def _uuid(making: Making, lane: Lane, key: tuple[str, str]) -> Make:
    def made(_: int) -> str:
        number = lane.number(key)
        if number >= _NODE:
            raise _too_few(making, lane, f"they are {_NODE}")
        # Times an odd number it is another one of as many, and does not look like a count.
        node = number * 0x9E3779B97F4B % _NODE
        return str(uuid.UUID(int=making.rng.getrandbits(80) << 48 | node, version=4))

    return made


def _ranked(making: Making) -> _Ranked | None:
    plan, make, rng = making.plan, making.make, making.rng
    options = plan.options
    match plan.kind:
        case "provider":  # ipv4
            from ipaddress import IPv4Address

            return _Ranked(
                lambda n: int(IPv4Address(make(n))), lambda r: str(IPv4Address(r)), 0, 2**32 - 1
            )
        case "boolean":
            return _Ranked(lambda n: int(make(n)), bool, 0, 1)
        case "oneOf":
            ranks = {repr(value): rank for rank, value in enumerate(options)}
            if len(ranks) < len(options):
                raise DataError(making.where, "is unique, and oneOf names a value twice")
            return _Ranked(lambda n: ranks[repr(make(n))], options.__getitem__, 0, len(options) - 1)
        case "integer":
            low, high = _bounds(options)
            return _Ranked(make, int, low, high)
        case "number":
            return _decimal(making)
        case "date":
            first, last = _days(options)
            return _Ranked(lambda n: make(n).toordinal(), date.fromordinal, first, last)
        case "timestamp":
            begin = moment(options.get("from", FIRST_DAY))
            end = moment(options.get("to", LAST_DAY))
            return _Ranked(
                lambda n: int((make(n) - begin).total_seconds()),
                lambda rank: begin + timedelta(seconds=rank),
                0,
                int((end - begin).total_seconds()),
            )
        case "pattern" if (space := space_of(options)) is not None:
            size = space.size
            return _Ranked(lambda _: rng.randrange(size), space.at, 0, size - 1)
    return None


def _bounds(options: Any) -> tuple[Any, Any]:
    low, high = options.get("min"), options.get("max")
    if options.get("distribution", "uniform") == "uniform":
        low = 0 if low is None else low
        high = low + 100 if high is None else high
    return low, high


def _decimal(making: Making) -> _Ranked:
    low, high = _bounds(making.plan.options)
    decimals = making.plan.options.get("decimals", 2)
    scale = 10**decimals
    return _Ranked(
        lambda n: round(making.make(n) * scale),
        lambda rank: round(rank / scale, decimals),
        # What floating point adds, as in 0.1 * 3, is none of the bound.
        None if low is None else math.ceil(round(low * scale, 6)),
        None if high is None else math.floor(round(high * scale, 6)),
    )


def _days(options: Any) -> tuple[int, int]:
    return (
        moment(options.get("from", FIRST_DAY)).toordinal(),
        moment(options.get("to", LAST_DAY)).toordinal(),
    )


def _by_rank(making: Making, ranked: _Ranked, lane: Lane, key: tuple[str, ...]) -> Make:
    low, high, stride = ranked.low, ranked.high, lane.stride
    first = None if low is None else low + (lane.offset - low) % stride
    last = None if high is None else high - (high - lane.offset) % stride
    size = None if first is None or last is None else max((last - first) // stride + 1, 0)
    in_all = None if low is None or high is None else high - low + 1

    def nearest(rank: int) -> int:
        rank -= (rank - lane.offset) % stride
        if first is not None and rank < first:
            return first
        return last if last is not None and rank > last else rank

    def another(n: int) -> Any:
        seen = lane.seen(key)
        if size is not None and len(seen) >= size:
            raise _exhausted(making, lane, len(seen), in_all)
        for _ in range(_DRAWS):
            rank = nearest(ranked.rank(n))
            if rank not in seen:
                break
        while rank in seen:
            rank += stride
            if last is not None and rank > last:
                # Where there is no least one, those below are free without end.
                rank = first if first is not None else min(seen) - stride
        seen.add(rank)
        return ranked.value(rank)

    return another


def _by_hash(making: Making, lane: Lane, key: tuple[str, ...]) -> Make:
    tries = max(1000, _TRIES * lane.stride)

    def another(n: int) -> Any:
        seen = lane.seen(key)
        for _ in range(tries):
            value = making.make(n)
            mark = _hash(value)
            if mark % lane.stride == lane.offset % lane.stride and mark not in seen:
                seen.add(mark)
                return value
        raise _exhausted(making, lane, len(seen), None)

    return another


def _hash(value: Any) -> int:
    text = json.dumps(value, sort_keys=True, default=str)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _exhausted(making: Making, lane: Lane, count: int, all_of_them: int | None) -> DataError:
    known = "" if all_of_them is None else f" of {all_of_them}"
    return _too_few(making, lane, f"no more than {count} different values{known} are for it")


def _too_few(making: Making, lane: Lane, what: str) -> DataError:
    if lane.stride == 1:
        return DataError(making.where, f"is unique, and {what}: give it more values to choose from")
    return DataError(
        making.where,
        f"is unique in the whole run, and {what}: this test and this attempt have one of"
        f" {lane.stride} shares; give it more values to choose from, or write unique: load where"
        " other steps and tests may make the same",
    )
