"""Evaluates expressions over many messages, quickly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.explain import Unmet, judge, why_no_value
from seatrial_runner.scenario.expressions import ExpressionError, evaluate
from seatrial_runner.scenario.messages.reading import NAMES, NOT_KEPT, Reading

_NAME = re.compile(r"[A-Za-z_]\w*")
_PATH = re.compile(r"message\.json((?:\.[A-Za-z_]\w*)+)")


class NoValueError(Exception):
    """An expression has no value for a message; another message may have one."""


class NotKeptError(NoValueError):
    """It needs the body of a message, which was not kept; nobody knows its value."""


class Judge:
    """
    Evaluates expressions with what a step sees, and a message in place of ``message``.

    An expression is compiled for the names and types it is given, and each of them costs: it gets
    those that occur in it.
    """

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        self._bindings = {
            name: value for name, value in bindings.items() if not name.startswith("message")
        }
        self._used: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {}

    def value(self, expression: str, what: str, reading: Reading) -> Any:
        """
        Evaluate an expression for a message.

        Args:
            expression: CEL.
            what: The field that it is of, for messages.
            reading: The message.

        Raises:
            NoValueError: There is no value for this message.
            NotKeptError: Nobody knows whether there is one.
            StepFailure: It cannot be compiled.
        """
        base, names, path = self._parts(expression)
        if path:
            return _at(path, reading)
        bindings = {**base, **reading.values(names)}
        try:
            return evaluate(expression, bindings)
        except ExpressionError as error:
            if error.unknown:
                raise NotKeptError(NOT_KEPT) from error
            if not error.permanent:
                no_json = reading.json[1] if "message.json" in expression else ""
                why = no_json or why_no_value(expression, bindings, error)
                raise NoValueError(why) from error
        everything = {**self._bindings, **reading.values()}
        try:
            return evaluate(expression, everything)
        except ExpressionError as error:
            reason = why_no_value(expression, everything, error)
            shown = reason if expression in reason else f"{expression}: {reason}"
            raise StepFailure(f"{what}: {shown}", permanent=True) from error

    def holds(self, expression: str, what: str, reading: Reading) -> bool:
        """
        Evaluate a condition.

        Raises:
            NoValueError: There is no value for this message.
            NotKeptError: Nobody knows whether there is one.
            StepFailure: It cannot be compiled, or is neither true nor false.
        """
        value = self.value(expression, what, reading)
        if not isinstance(value, bool):
            raise StepFailure(f"{what}: {expression} is not true or false", permanent=True)
        return value

    def unmet(self, expression: str, reading: Reading) -> Unmet | None:
        """Judge an expectation, with its reasons."""
        bindings = {**self._bindings, **reading.values()}
        if "messages" in expression:
            bindings["messages"] = [reading.as_map()]
        return judge(expression, bindings)

    def _parts(self, expression: str) -> tuple[dict[str, Any], list[str], list[str]]:
        found = self._used.get(expression)
        if found is None:
            words = set(_NAME.findall(expression))
            base = {
                name: value
                for name, value in self._bindings.items()
                if name.partition(".")[0] in words
            }
            names = [name for name in NAMES if name.partition(".")[2] in words]
            path = _PATH.fullmatch(expression.strip())
            found = base, names, path[1][1:].split(".") if path else []
            self._used[expression] = found
        return found


def _at(path: list[str], reading: Reading) -> Any:
    """Look a plain path into the JSON up: what most expressions are, and CEL takes its time."""
    if not reading.is_whole:
        raise NotKeptError(NOT_KEPT)
    value, why = reading.json
    if why:
        raise NoValueError(why)
    for depth, key in enumerate(path):
        if not isinstance(value, dict):
            parent = ".".join(["message.json", *path[:depth]])
            raise NoValueError(f"{parent} is no map: it has no field {key!r}")
        if key not in value:
            keys = ", ".join(sorted(value)[:20]) or "(none)"
            raise NoValueError(f"no such key {key!r}; keys are: {keys}")
        value = value[key]
    return value
