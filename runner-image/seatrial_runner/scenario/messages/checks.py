"""What must hold among messages: no duplicates, order, a schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.helpers.difference import HelperError
from seatrial_runner.scenario.messages.judging import Judge, NoValueError
from seatrial_runner.scenario.messages.reading import Reading
from seatrial_runner.scenario.values import normal, show

MAX_TOLD = 3  # offences told on the one line of a message


@dataclass(frozen=True)
class Offence:
    """
    Something that does not hold.

    Attributes:
        text: A sentence without its full stop.
        numbers: Of the messages that show it, from 1.
    """

    text: str
    numbers: tuple[int, ...]


def duplicates(expression: str, readings: Iterable[Reading], judge: Judge) -> Iterator[Offence]:
    """Find messages that are equal in an expression to one before them."""
    first: dict[str, int] = {}
    for reading in readings:
        value, offence = _value(expression, "unique", reading, judge)
        if offence:
            yield offence
            continue
        key = _key(value)
        if key in first:
            numbers = (first[key], reading.number)
            text = f"{expression} is {show(value, 80)} in messages {numbers[0]} and {numbers[1]}"
            yield Offence(text, numbers)
        else:
            first[key] = reading.number


def out_of_order(
    by: str, within: str | None, readings: Iterable[Reading], judge: Judge
) -> Iterator[Offence]:
    """Find messages whose value is less than that of the one before them, in the same group."""
    last: dict[str, tuple[Any, int]] = {}
    for reading in readings:
        value, offence = _value(by, "ordered.by", reading, judge)
        group: Any = None
        if within and not offence:
            group, offence = _value(within, "ordered.within", reading, judge)
        if offence:
            yield offence
            continue
        key = _key(group)
        before = last.get(key)
        last[key] = value, reading.number
        if before and (problem := _falls(before[0], value)):
            where = f" where {within} is {show(group, 80)}" if within else ""
            numbers = (before[1], reading.number)
            text = f"{by} {problem}{where} (messages {numbers[0]} and {numbers[1]})"
            yield Offence(text, numbers)


def schema_violations(
    errors_of: Callable[[Any], list[str]], readings: Iterable[Reading]
) -> Iterator[Offence]:
    """Find messages that do not meet a schema, with what is wrong in each."""
    for reading in readings:
        value, why = reading.json
        errors = [why] if why else errors_of(value)
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            yield Offence(f"message {reading.number}: {errors[0]}{more}", (reading.number,))


def schema_checker(schema: Any) -> Callable[[Any], list[str]]:
    """
    Give a function that lists what is wrong with the JSON of a message, each with its path.

    Raises:
        StepFailure: It is no JSON Schema, or refers to another document, or the library is
            missing.
    """
    from seatrial_runner.scenario.helpers.schemas import matches_schema

    def errors_of(value: Any) -> list[str]:
        return [
            f"message.json{path}: {text.removeprefix('does not match the schema: ')}"
            for path, text in matches_schema(value, schema)
        ]

    try:
        errors_of(None)
    except HelperError as error:
        raise StepFailure(f"schema: {error}", permanent=True) from error
    return errors_of


def told(what: str, offences: list[Offence]) -> str:
    """Put offences on a line."""
    shown = "; ".join(offence.text for offence in offences[:MAX_TOLD])
    more = len(offences) - MAX_TOLD
    rest = f"; and {more} more" if more > 0 else ""
    return f"{what}: {shown}{rest}"


def _value(
    expression: str, what: str, reading: Reading, judge: Judge
) -> tuple[Any, Offence | None]:
    try:
        return judge.value(expression, what, reading), None
    except NoValueError as error:
        text = f"message {reading.number} has no {expression}: {error}"
        return None, Offence(text, (reading.number,))


def _falls(before: Any, value: Any) -> str:
    """Say how a value is not after the one before it; empty if it is, or is equal."""
    try:
        if value >= before:
            return ""
    except TypeError:
        return f"cannot be compared: {show(before, 80)} and {show(value, 80)}"
    return f"falls from {show(before, 80)} to {show(value, 80)}"


def _key(value: Any) -> str:
    return json.dumps(normal(value), sort_keys=True, default=str)
