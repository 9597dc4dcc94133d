"""Empty values: a mistake, which the API server refuses; but data inside of JSON of any shape."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import JsonValue

from seatrial.api.errors import SpecError
from seatrial.api.fields import Model
from seatrial.api.paths import below
from seatrial.api.spec import RunSpec

# Bodies and the like, in which the value itself may be null too.
_BODIES = frozenset({"json", "matrix", "vars", "with", "default", "content"})

# Objects of Kubernetes, where null is none: those who read their parts need not expect it.
_OBJECTS = frozenset({"apply", "manifest"})


def nulls(value: Any, field: str, within: str = "spec") -> Iterator[SpecError]:
    """
    Find empty values that are no data.

    Args:
        value: Of JSON, as the API server or a file has it; nothing is known of it yet.
        field: Its path, for messages.
        within: The name of the field it is, or is an entry of.
    """
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in _BODIES:
                inside = below(field, key)
                is_json = (within, key) in _json_fields()
                yield from _direct(each, inside) if is_json else nulls(each, inside, key)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from nulls(each, below(field, index), within)
    elif value is None:
        yield _problem(field)


def _direct(value: Any, field: str) -> Iterator[SpecError]:
    """Find what is empty itself: a row, a document or a message that is null is none."""
    if value is None:
        yield _problem(field)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            if each is None:
                yield _problem(below(field, index))


def _problem(field: str) -> SpecError:
    return SpecError(field, "is empty.", "Leave it out, or give a value; {} where all is default.")


@cache
def _json_fields() -> frozenset[tuple[str, str]]:
    """Give the names of fields that hold JSON, each after that of the field it is a part of."""
    found: set[tuple[str, str]] = set()
    seen: set[tuple[str, type[Model]]] = set()

    def look(name: str, model: type[Model]) -> None:
        if (name, model) in seen:
            return
        seen.add((name, model))
        for attribute, info in model.model_fields.items():
            key = info.alias or attribute
            for part in _parts(info.annotation):
                if part is JsonValue and key not in _OBJECTS:
                    found.add((name, key))
                elif isinstance(part, type) and issubclass(part, Model):
                    look(key, part)

    look("spec", RunSpec)
    return frozenset(found)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from _parts(each)
