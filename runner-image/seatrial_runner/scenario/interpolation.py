"""
Puts values into the texts of a scenario: ``{{ order }}``, ``{{ order.items[0].sku | upper }}``.

Plain names and fields are put in here; anything more is rendered by Jinja2, sandboxed and bounded
(``templates.py``), which is imported only then (0.13 s). Both give the same result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.values import as_json, kind

MAX_OUTPUT = 1024 * 1024  # characters
# NB: not after another brace. To Jinja2 the first two of {{{ a }} begin an expression.
_SIMPLE = re.compile(r"(?<!\{)\{\{\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*\}\}")
# Jinja2 gives these a meaning of its own.
_WORDS = frozenset({"true", "false", "none", "True", "False", "None", "not", "and", "or", "in"})


class TemplateError(Exception):
    """A text that cannot be filled in; the message says why."""


def render(text: str, variables: Mapping[str, Any]) -> str:
    """
    Fill in a text.

    Raises:
        TemplateError: A name is not defined, the syntax is wrong, or a limit is exceeded.
    """
    if not is_template(text):
        return text
    if not _is_simple(text):
        return str(_templates().render(text, variables))
    parts, end = [], 0
    for match in _SIMPLE.finditer(text):
        parts += [text[end : match.start()], to_text(_look_up(match[1], variables))]
        end = match.end()
    result = "".join([*parts, text[end:]])
    if len(result) > MAX_OUTPUT:
        raise TemplateError(f"{_excerpt(text)}: the result is longer than 1 MiB")
    return result


def render_json(value: Any, variables: Mapping[str, Any]) -> Any:
    """Fill in every text of a JSON value; one that is a lone ``{{ ... }}`` keeps its type."""
    match value:
        case str() if not is_template(value):
            return value
        case str():
            lone = _SIMPLE.fullmatch(value)
            if lone and lone[1] not in _WORDS:
                return as_json(_look_up(lone[1], variables))
            simple = _is_simple(value)
            return (render if simple else _templates().render_native)(value, variables)
        case list():
            return [render_json(item, variables) for item in value]
        case dict():
            return {key: render_json(item, variables) for key, item in value.items()}
        case _:
            return value


def is_template(text: str) -> bool:
    """Tell whether there is anything to fill in."""
    return "{{" in text or "{%" in text


def needs_jinja(value: Any) -> bool:
    """Tell whether any text of a JSON value is more than plain names and fields."""
    match value:
        case str():
            return is_template(value) and not _is_simple(value)
        case list():
            return any(needs_jinja(item) for item in value)
        case dict():
            return any(needs_jinja(item) for item in value.values())
        case _:
            return False


def to_text(value: Any) -> str:
    """Write a value into a text: texts as they are, everything else as JSON (true, null, [1])."""
    match value:
        case str():
            return value
        case timedelta() | datetime():
            return str(as_json(value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def undefined_name(name: str, variables: Mapping[str, Any]) -> str:
    """Say that a name is not defined, and which are."""
    return f"nothing is named {name!r}; known names are: {', '.join(sorted(variables)) or '(none)'}"


def undefined_field(owner: Any, field: object) -> str:
    """Say that a value has no such field, and which it has."""
    if isinstance(owner, dict):
        return f"no field {field!r}; fields are: {', '.join(sorted(owner)) or '(none)'}"
    return f"no field {field!r} in a {kind(owner)}"


def _look_up(path: str, variables: Mapping[str, Any]) -> Any:
    name, *fields = path.split(".")
    if name not in variables:
        raise TemplateError(f"{{{{ {path} }}}}: {undefined_name(name, variables)}")
    value = variables[name]
    for each in fields:
        if not isinstance(value, dict) or each not in value:
            raise TemplateError(f"{{{{ {path} }}}}: {undefined_field(value, each)}")
        value = value[each]
    return value


def _is_simple(text: str) -> bool:
    rest = _SIMPLE.sub(lambda match: "{{" if match[1].split(".")[0] in _WORDS else "", text)
    return not any(mark in rest for mark in ("{{", "{%", "}}", "%}"))


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return cut(line, 80)


def _templates() -> Any:
    from seatrial_runner.scenario import templates

    return templates
