"""Values that are compared with what was stored of them, but for parts that may change."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import Any

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.explain import MAX_DIFFERENCES, Unmet
from seatrial_runner.scenario.helpers.difference import unequal
from seatrial_runner.scenario.steps import evaluated
from seatrial_runner.scenario.transcript import bounded, unmet_text
from seatrial_runner.scenario.values import ValueTypeError, as_json, normal, to_variable

IGNORED = "(ignored)"
MAX_SHOWN = 8 * 1024
_PART = re.compile(r"\[(\*|\d+)\]|(?:^|\.)(\*\*|\*|[^.\[\]]+)")


def check_snapshot(snapshot: dict[str, Any], step_name: str, instance: str, call: Call) -> None:
    """
    Compare a value with its snapshot, or store it.

    Args:
        snapshot: As in a step.
        step_name: What it is called if it has no name.
        instance: Whose it is.
        call: Its scope is seen.

    Raises:
        StepFailure: It is another one, or there is none.
    """
    snapshots = call.tools.world.snapshots
    key = f"{instance}/{call.text(snapshot.get('name') or step_name)}"
    expression = snapshot["value"]
    value = evaluated(expression, call.scope, "snapshot")
    ignore = snapshot.get("ignore") or []
    try:
        actual = without(normal(as_json(to_variable(value))), ignore)
    except ValueTypeError as error:
        raise StepFailure(f"snapshot: {expression}: {error}", permanent=True) from error
    if snapshots.updating:
        snapshots.put(key, actual)
        return
    try:
        stored = snapshots.get(key)
    except KeyError:
        shown = bounded(_written({key: actual}), MAX_SHOWN)
        raise StepFailure(
            f"there is no snapshot {key!r}: {snapshots.remedy}",
            f"Snapshot to store, if it is right:\n{shown}",
            permanent=True,
        ) from None
    _compare(expression, key, actual, without(normal(stored), ignore))


def _compare(expression: str, key: str, actual: Any, stored: Any) -> None:
    found = [f"{expression}{path} {text}" for path, text in unequal(actual, stored)]
    if not found:
        return
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    diff = "\n".join(
        difflib.unified_diff(
            _written(stored).splitlines(), _written(actual).splitlines(), lineterm="", n=2
        )
    )
    summary = f"{found[0]}{more}"
    expected = f"{expression} as in snapshot {key!r}"
    unmet = Unmet(expected, summary, differences=found[:MAX_DIFFERENCES], diff=diff)
    raise StepFailure(unmet.message, unmet_text(unmet))


def _written(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def without(value: Any, ignore: list[str]) -> Any:
    """
    Give a value with the parts at these paths made equal.

    A path has names, ``*`` for any, ``[0]`` or ``[*]`` for elements, and ``**`` for any depth:
    ``items[*].at``, ``**.etag``.
    """
    for path in ignore:
        parts = [index or name for index, name in _PART.findall(path)]
        value = _without(value, parts)
    return value


def _without(value: Any, parts: list[str]) -> Any:
    if not parts:
        return IGNORED
    first, *rest = parts
    if first == "**":
        value = _without(value, rest) if rest else IGNORED
        return _mapped(value, lambda key, each: _without(each, parts))
    return _mapped(
        value, lambda key, each: _without(each, rest) if first in ("*", str(key)) else each
    )


def _mapped(value: Any, change: Callable[[object, Any], Any]) -> Any:
    match value:
        case dict():
            return {key: change(key, each) for key, each in value.items()}
        case list():
            return [change(index, each) for index, each in enumerate(value)]
        case _:
            return value
