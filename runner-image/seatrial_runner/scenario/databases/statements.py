"""SQL as a scenario has it (``:name`` for values) in the form that a driver takes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# What is left alone: texts, quoted names, comments, PostgreSQL's dollar quotes and casts.
_KEPT = r"""
    (?P<kept>
        [eE]'(?:\\.|''|[^'\\])*'
        |{text}
        |"(?:""|[^"])*"
        |`(?:``|[^`])*`
        |--[^\n]*
        |/\*.*?\*/
        |(?P<dollar>\$(?:[A-Za-z_]\w*)?\$).*?(?P=dollar)
        |::
        |\w+
    )
    |:(?P<name>[A-Za-z_]\w*)
    |(?P<end>;)
"""
_STANDARD = r"'(?:''|[^'])*'"
_BACKSLASHES = r"'(?:\\.|''|[^'\\])*'"
_FLAGS = re.VERBOSE | re.DOTALL
# By dialect: whether a backslash escapes a quote inside of a text.
_TOKENS = {
    "postgresql": re.compile(_KEPT.format(text=_STANDARD), _FLAGS),
    "sqlite": re.compile(_KEPT.format(text=_STANDARD), _FLAGS),
    "mysql": re.compile(_KEPT.format(text=_BACKSLASHES), _FLAGS),
}
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CONTROL = re.compile(
    r"^\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*"
    r"(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b",
    re.IGNORECASE | re.DOTALL,
)


class StatementError(ValueError):
    """A statement and its values do not go together; the message says how."""


@dataclass(frozen=True)
class Prepared:
    """What a driver takes: text, and a map of values, one for each time, or None."""

    sql: str
    values: dict[str, Any] | list[dict[str, Any]] | None


@dataclass(frozen=True)
class _Marker:
    name: str
    in_list: bool


def control_word(query: str) -> str:
    """Give the word by which a statement begins or ends a transaction; empty if it does not."""
    found = _CONTROL.match(query)
    return " ".join(found[1].lower().split()) if found else ""


def has_several(query: str, dialect: str) -> bool:
    """Tell whether something follows a semicolon that is no part of a text or comment."""
    ends = [match.end() for match in _TOKENS[dialect].finditer(query) if match["end"]]
    rest = _COMMENT.sub("", query[ends[0] :]) if ends else ""
    return bool(rest.strip(" \t\r\n;"))


def prepare(query: str, params: Any, dialect: str) -> Prepared:
    """
    Put a driver's markers in place of ``:name``.

    Args:
        query: One statement. A list that follows ``in`` is written out as its elements.
        params: Values by name, a list of such maps, or None.
        dialect: ``postgresql``, ``mysql`` or ``sqlite``.

    Raises:
        StatementError: A value is missing, not used, or of a kind that no column has.
    """
    parts = _parts(query, dialect)
    names = list(dict.fromkeys(part.name for part in parts if isinstance(part, _Marker)))
    if isinstance(params, list):
        if any(isinstance(part, _Marker) and part.in_list for part in parts):
            for row in params:
                _no_lists(row)
        sql = _written(parts, params[0] if params else {}, dialect)
        return Prepared(sql, [_values(names, row, dialect) for row in params])
    if not names and not params:
        return Prepared(query, None)
    given = params or {}
    values = _values(names, given, dialect)
    for part in parts:
        if isinstance(part, _Marker) and part.in_list and isinstance(given[part.name], list):
            values |= dict(_elements(part.name, given[part.name]))
    used = {
        part.name
        for part in parts
        if isinstance(part, _Marker) and not (part.in_list and isinstance(given[part.name], list))
    }
    for name in names:
        if name not in used:
            del values[name]
    return Prepared(_written(parts, given, dialect), values)


def _values(names: list[str], given: Mapping[str, Any], dialect: str) -> dict[str, Any]:
    missing = [name for name in names if name not in given]
    if missing:
        raise StatementError(f"the query has :{missing[0]}, and params has no {missing[0]!r}")
    unused = [name for name in given if name not in names]
    if unused:
        known = ", ".join(f":{name}" for name in names) or "no :name at all"
        raise StatementError(f"params.{unused[0]} is not in the query, which has {known}")
    return {name: _adapted(given[name], dialect) for name in names}


def _adapted(value: Any, dialect: str) -> Any:
    """Give a value the driver's type; maps become JSON, lists an array where there are arrays."""
    match value:
        case dict() if dialect == "postgresql":
            from psycopg.types.json import Jsonb

            return Jsonb(value)
        case dict() | list() if dialect != "postgresql":
            return json.dumps(value, ensure_ascii=False)
        case _:
            return value


def _elements(name: str, values: list[Any]) -> Iterator[tuple[str, Any]]:
    if not values:
        raise StatementError(f"params.{name} is an empty list: there is nothing it could be in")
    for index, value in enumerate(values):
        if isinstance(value, (list, dict)):
            raise StatementError(f"params.{name}[{index}] is no single value")
        yield f"{name}_{index}", value


def _no_lists(row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, list):
            raise StatementError(f"params.{name}: a list of params takes no list after in")


def _written(parts: tuple[str | _Marker, ...], given: Mapping[str, Any], dialect: str) -> str:
    return "".join(
        _marked(part, given, dialect)
        if isinstance(part, _Marker)
        # To the drivers that write %(name)s, a percent sign is one of theirs.
        else (part if dialect == "sqlite" else part.replace("%", "%%"))
        for part in parts
    )


def _marked(marker: _Marker, given: Mapping[str, Any], dialect: str) -> str:
    form = ":{}" if dialect == "sqlite" else "%({})s"
    value = given.get(marker.name)
    if marker.in_list and isinstance(value, list):
        return f"({', '.join(form.format(name) for name, _ in _elements(marker.name, value))})"
    return form.format(marker.name)


@lru_cache(maxsize=256)
def _parts(query: str, dialect: str) -> tuple[str | _Marker, ...]:
    parts: list[str | _Marker] = []
    end = 0
    for match in _TOKENS[dialect].finditer(query):
        if match["name"] is None:
            continue
        before = query[end : match.start("name") - 1]
        parts += [before, _Marker(match["name"], bool(re.search(r"\bin\s*$", before, re.I)))]
        end = match.end()
    return (*parts, query[end:])
