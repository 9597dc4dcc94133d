"""Conditions on what has come so far of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seatrial_runner.scenario.expressions import ExpressionError, evaluate
from seatrial_runner.scenario.scope import Scope
from seatrial_runner.scenario.values import clean


class Condition:
    """An ``until``: looked at after everything that comes."""

    def __init__(self, expression: str | None, scope: Scope) -> None:
        self._expression = expression
        self._scope = scope
        self._problem = ""

    def holds(self, seen: Mapping[str, Any]) -> bool:
        """
        Tell whether it is true of what was seen; false where it has no value.

        Args:
            seen: Values by dotted name, as of ``Observation``; of one variable.

        Raises:
            ExpressionError: It never can be.
        """
        if not self._expression:
            return False
        variables = {name.partition(".")[0] for name in seen}
        bindings = {
            name: value
            for name, value in self._scope.bindings().items()
            if name.partition(".")[0] not in variables
        }
        for name, value in seen.items():
            # Lists of all that came grow with each: only where they are asked for.
            if not isinstance(value, list) or name.partition(".")[2] in self._expression:
                bindings[name] = clean(value)
        try:
            value = evaluate(self._expression, bindings)
        except ExpressionError as error:
            if error.permanent:
                raise
            self._problem = str(error)
            return False
        self._problem = ""
        return value is True

    def told(self) -> list[str]:
        """Write it for a message, with why it had no value the last time; none if there is none."""
        if not self._expression:
            return []
        return [f"{self._expression} ({self._problem})" if self._problem else self._expression]
