"""What pydantic found, in words for those who write runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from seatrial.api.errors import SpecError
from seatrial.api.fields import PATTERNS
from seatrial.api.paths import below
from seatrial.api.rules import did_you_mean
from seatrial.api.schema import Schema, spec_schema

Location = Sequence[int | str]
_A_STEP: Location = ("tests", 0, "scenario", 0)

# Sentences by type of error; {0} is what the context of the error says.
_BOUNDS = {
    # No text and no list of the resource needs more than one.
    "string_too_short": ("min_length", "is empty.", "It needs at least {0} character."),
    "string_too_long": ("max_length", "is too long.", "It may have at most {0} characters."),
    "too_short": ("min_length", "is empty.", "It needs at least {0} entry."),
    "too_long": ("max_length", "has too many entries.", "It may have at most {0}."),
    "greater_than_equal": ("ge", "is {given}.", "It must be at least {0}."),
    "less_than_equal": ("le", "is {given}.", "It must be at most {0}."),
    "literal_error": ("expected", "is {given}.", "It must be {0}."),
    "enum": ("expected", "is {given}.", "It must be {0}."),
}
_KINDS = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map of fields",
    "model_attributes_type": "a map of fields",
}


def explain(error: ValidationError, field: str) -> list[SpecError]:
    """Say each thing that is wrong; ``field`` is where the model stands, such as ``spec``."""
    return [_problem(detail, field) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, root: str) -> SpecError:
    location = [part for part in detail["loc"] if part != "[key]"]
    kind, context = detail["type"], detail.get("ctx") or {}
    field = reduce(below, location, root)
    given = _shown(detail["input"])
    if kind == "missing":
        return SpecError(field, "is missing.", _described(location))
    if kind == "extra_forbidden":
        known = _node(location[:-1]).get("properties", {})
        remedy = did_you_mean(str(location[-1]), known) or "Write {}."
        return SpecError(field, "is not a field.", remedy)
    if kind == "string_pattern_mismatch":
        remedy = PATTERNS.get(context["pattern"], f"It must match {context['pattern']}.")
        return SpecError(field, f"is {given}.", remedy)
    if kind == "value_error":
        return SpecError(field, _sentence(str(context["error"])))
    if kind in _BOUNDS:
        key, problem, remedy = _BOUNDS[kind]
        return SpecError(field, problem.format(given=given), remedy.format(context[key]))
    if kind in _KINDS:
        return SpecError(field, f"is {given}.", _hint(kind, detail, location))
    return SpecError(field, _sentence(detail["msg"]))


def _hint(kind: str, detail: ErrorDetails, location: Location) -> str:
    remedy, given = f"It must be {_KINDS[kind]}.", detail["input"]
    if kind == "string_type" and isinstance(given, (int, float)):
        pattern = _node(location).get("pattern", "")
        if re.search(pattern, str(given)):
            return f"{remedy} Put it in quotes."
        return PATTERNS.get(pattern, remedy)  # in quotes a 5 is no share yet
    return remedy


def _shown(value: object) -> str:
    """Write what was given, short, as JSON: that is how the user wrote it."""
    if isinstance(value, Mapping):
        return "a map" if value else "an empty map"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    if not text.isprintable():  # NEL and the like would break the line; JSON escapes only some
        text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + '..."'


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else text + "."


def _described(location: Location) -> str:
    return str(_node(location).get("description", ""))


def _node(location: Location) -> Schema:
    """Find the schema of a location; empty where nobody knows."""
    node = _spec()
    for part in location:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties", {})
        if node.get("type") == "object" and node.get("x-kubernetes-preserve-unknown-fields"):
            node = _node(_A_STEP)  # inside of another step
    return node


@cache
def _spec() -> dict[str, Any]:
    return spec_schema()
