"""Judges an expectation, and says why it does not hold: the values in it, and what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from seatrial_runner.scenario import cel_source
from seatrial_runner.scenario.expressions import RESERVED, ExpressionError, evaluate
from seatrial_runner.scenario.helpers import COMPARING, watched
from seatrial_runner.scenario.helpers.difference import unequal
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.values import kind, normal, show

MAX_VALUES = 8
MAX_KEYS = 20
MAX_DIFFERENCES = 20


@dataclass(frozen=True)
class Unmet:
    """
    An expectation that does not hold.

    Attributes:
        expression: As the scenario has it.
        summary: What is the case instead, on one line.
        values: The expression's parts, with their values at length.
        differences: Where two values differ, as many as a person reads.
        diff: Unified diff of two long values, or empty.
        permanent: The expression can't be compiled: trying again would not help.
    """

    expression: str
    summary: str
    values: list[tuple[str, str]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    diff: str = ""
    permanent: bool = False

    @property
    def message(self) -> str:
        """What was expected and what is, on one line."""
        return f"expected {self.expression}, but {self.summary}"


def judge(expression: str, bindings: Mapping[str, Any]) -> Unmet | None:
    """Give None if the expression is true, else why not. Anything but a bool is a failure."""
    try:
        value = evaluate(expression, bindings)
    except ExpressionError as error:
        reason = why_no_value(expression, bindings, error)
        values = [] if error.permanent else _values(_parts(expression), bindings)
        return Unmet(expression, reason, values, permanent=error.permanent)
    if value is True:
        return None
    if value is not False:
        return Unmet(expression, f"it is {_described(value)}, not true or false")
    return _why_false(expression, bindings)


def why_no_value(expression: str, bindings: Mapping[str, Any], error: ExpressionError) -> str:
    """Say which part of an expression has no value: ``response.json.ordr: no such key ...``."""
    if error.permanent:
        return str(error)
    for path in cel_source.paths(expression):
        parent: Any = None
        for prefix in cel_source.prefixes(path):
            try:
                parent = evaluate(prefix, bindings)
            except ExpressionError as problem:
                # ``response`` alone, and names bound by a macro, do not compile by themselves.
                if problem.permanent:
                    continue
                return f"{prefix}: {_missing(problem, parent)}"
    return str(error)


def _missing(problem: ExpressionError, parent: Any) -> str:
    text = str(problem)
    if isinstance(parent, dict) and text.startswith("no such key"):
        keys = ", ".join(sorted(str(key) for key in parent)[:MAX_KEYS]) or "(none)"
        more = f" and {len(parent) - MAX_KEYS} more" if len(parent) > MAX_KEYS else ""
        return f"{text}; keys are: {keys}{more}"
    if text.startswith("a field of"):
        return f"it is a field of {_described(parent)}, which has none"
    return text


def _why_false(expression: str, bindings: Mapping[str, Any]) -> Unmet:
    inner = cel_source.unwrap(expression)
    for part in cel_source.conjuncts(inner):
        if part != inner and _is_false(part, bindings):
            found = _why_false(part, bindings)
            return replace(found, expression=expression)
    if (of_function := _compared_by_function(inner, bindings)) is not None:
        return replace(of_function, expression=expression)
    compared = cel_source.comparison(inner)
    if compared is None:
        values = _values(_parts(inner), bindings)
        return Unmet(expression, _summary(values) or "it is false", values)
    sides = [side for side in (compared.left, compared.right) if not _is_literal(side)]
    differences, diff = _difference(compared, bindings)
    return Unmet(
        expression,
        _told(differences) or _summary(_values(sides, bindings, limit=200)) or "it is false",
        _values(dict.fromkeys([*sides, *_parts(inner)]), bindings),
        differences[:MAX_DIFFERENCES],
        diff,
    )


def _compared_by_function(expression: str, bindings: Mapping[str, Any]) -> Unmet | None:
    """Explain an expression that one of our functions made false; None if none did."""
    if not any(name in expression for name in COMPARING):
        return None
    found = watched(lambda: _is_false(expression, bindings))
    if found is None:
        return None
    called = [each for each in cel_source.calls(expression) if each.name == found.function]
    # Of several calls nobody knows which it was.
    subject = called[0].arguments[0] if len(called) == 1 else "a value"
    differences = [f"{subject}{path} {text}" for path, text in found.differences]
    values = _values(_parts(expression), bindings)
    return Unmet(expression, _told(differences), values, differences[:MAX_DIFFERENCES])


def _told(differences: list[str]) -> str:
    more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
    return f"{differences[0]}{more}" if differences else ""


def _is_false(expression: str, bindings: Mapping[str, Any]) -> bool:
    try:
        return evaluate(expression, bindings) is False
    except ExpressionError:
        return False


def _parts(expression: str) -> list[str]:
    """Give the two sides of every comparison joined by ``&&`` or ``||``, then the variables."""
    found: dict[str, None] = {}
    for conjunct in cel_source.conjuncts(cel_source.unwrap(expression)):
        for part in cel_source.alternatives(cel_source.unwrap(conjunct)):
            compared = cel_source.comparison(cel_source.unwrap(part))
            sides = [compared.left, compared.right] if compared else []
            found.update(dict.fromkeys(side for side in sides if not _is_literal(side)))
    found.update(dict.fromkeys(cel_source.paths(expression)))
    return [part for part in found if part not in RESERVED]


def _values(
    parts: Mapping[str, None] | list[str], bindings: Mapping[str, Any], limit: int = 1000
) -> list[tuple[str, str]]:
    values = []
    for part in list(parts)[:MAX_VALUES]:
        try:
            values.append((part, show(evaluate(part, bindings), limit)))
        except ExpressionError as error:
            if not error.permanent:
                reason = why_no_value(part, bindings, error)
                values.append((part, f"no value: {reason.removeprefix(f'{part}: ')}"))
    return values


def _summary(values: list[tuple[str, str]]) -> str:
    short = [(part, cut(text, 240)) for part, text in values[:3]]
    return ", ".join(
        f"{part} has {text}" if text.startswith("no value") else f"{part} is {text}"
        for part, text in short
    )


def _is_literal(expression: str) -> bool:
    return not cel_source.paths(expression)


def _difference(
    compared: cel_source.Comparison, bindings: Mapping[str, Any]
) -> tuple[list[str], str]:
    """
    Say where what is differs from what was expected, each with its path, and as a unified diff.

    Both are empty where one look at the values is enough.
    """
    if compared.relation != "==":
        return [], ""
    try:
        actual = evaluate(compared.left, bindings)
        expected = evaluate(compared.right, bindings)
    except ExpressionError:
        return [], ""
    subject = compared.left
    if _is_literal(compared.left) and not _is_literal(compared.right):
        actual, expected = expected, actual
        subject = compared.right
    found = unequal(actual, expected) if isinstance(expected, (list, dict)) else ()
    differences = [f"{subject}{path} {text}" for path, text in found]
    old, new = _lines(expected), _lines(actual)
    if len(old) < 2 and len(new) < 2:
        return differences, ""
    import difflib

    diff = difflib.unified_diff(old, new, "expected", "actual", lineterm="", n=2)
    return differences, "\n".join(diff)


def _lines(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    text = json.dumps(normal(value), indent=2, sort_keys=True, ensure_ascii=False, default=str)
    # Without commas: a line that only ceases to be the last of its list is no difference.
    return [line.rstrip(",") for line in text.splitlines()]


def _described(value: Any) -> str:
    name = kind(value)
    article = "an" if name[0] in "aeiou" else "a"
    return name if value is None else f"{article} {name} ({show(value, 80)})"
