"""
Values that a JSON Schema allows.

Known are: type, enum, const, the bounds of numbers, texts, lists and objects, pattern and the usual
formats, items, prefixItems, properties, required, allOf, anyOf, oneOf, and $ref within the schema.
A keyword that restricts and is not among these is refused, not ignored.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from seatrial.api.data_specification import DataError

from seatrial_runner.data.patterns import text_maker
from seatrial_runner.data.words import WORDS

MAX_DEPTH = 24
DEEP = 5  # from here on, what is optional is left out
_REFUSED = (
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "patternProperties",
    "propertyNames",
    "contains",
    "$dynamicRef",
)
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class Sampler:
    """Makes values of one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._patterns: dict[str, Callable[[Random], str]] = {}

    def sample(self, rng: Random) -> Any:
        """Give a value; raises DataError if the schema cannot be followed."""
        return self._value(self._root, rng, "schema", 0)

    def _value(self, schema: Any, rng: Random, where: str, depth: int) -> Any:
        schema = self._resolved(schema, where)
        if depth > MAX_DEPTH:
            raise DataError(where, "goes on without end: make something in it optional")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return rng.choice(list(schema["enum"]))
        for key in ("oneOf", "anyOf"):
            if choices := schema.get(key):
                rest = {name: each for name, each in schema.items() if name != key}
                index = rng.randrange(len(choices))
                chosen = self._resolved(choices[index], f"{where}.{key}[{index}]")
                return self._value(merged(rest, chosen), rng, where, depth + 1)
        match self._type(schema, rng):
            case "object":
                return self._object(schema, rng, where, depth)
            case "array":
                return self._array(schema, rng, where, depth)
            case "string":
                return self._text(schema, rng, where)
            case "integer":
                return _integer(schema, rng, where)
            case "number":
                return _number(schema, rng, where)
            case "boolean":
                return rng.random() < 0.5
            case "null":
                return None
            case other:
                raise DataError(where, f"there is no type {other!r}")

    def _resolved(
        self, schema: Any, where: str, through: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Follow references, and put the parts of allOf into one; ``through``: those followed."""
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise DataError(where, "is no schema")
        found = dict(schema)
        while "$ref" in found:
            reference = str(found.pop("$ref"))
            if reference in through:
                raise DataError(where, "its references go round in a circle")
            through |= {reference}
            found = merged(found, self._target(reference, where))
        for part in found.pop("allOf", ()):
            found = merged(found, self._resolved(part, where, through))
        for key in _REFUSED:
            if key in found:
                raise DataError(where, f"{key} is not known here: no values can be made for it")
        return found

    def _target(self, reference: str, where: str) -> Mapping[str, Any]:
        if not reference.startswith("#"):
            raise DataError(where, f"$ref {reference!r} leads out of the schema")
        node: Any = self._root
        for part in reference[1:].strip("/").split("/") if reference != "#" else ():
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping) or part not in node:
                raise DataError(where, f"$ref {reference!r} leads nowhere")
            node = node[part]
        if not isinstance(node, Mapping):
            raise DataError(where, f"$ref {reference!r} leads to no schema")
        return node

    def _type(self, schema: Mapping[str, Any], rng: Random) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return str(rng.choice(kind))
        if kind is not None:
            return str(kind)
        if "properties" in schema or "required" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
        return "number" if "minimum" in schema or "maximum" in schema else "string"

    def _object(
        self, schema: Mapping[str, Any], rng: Random, where: str, depth: int
    ) -> dict[str, Any]:
        properties = dict(schema.get("properties") or {})
        required = list(schema.get("required") or ())
        for name in required:
            properties.setdefault(name, {})
        made = {}
        for name, each in properties.items():
            wanted = name in required or (depth < DEEP and rng.random() < 0.8)
            if wanted:
                made[name] = self._value(each, rng, f"{where}.{name}", depth + 1)
        if len(made) < schema.get("minProperties", 0):
            for name in properties:
                if name not in made:
                    made[name] = self._value(properties[name], rng, f"{where}.{name}", depth + 1)
        if not schema.get("minProperties", 0) <= len(made) <= schema.get("maxProperties", 10**9):
            raise DataError(where, "its number of properties cannot be kept to")
        return made

    def _array(self, schema: Mapping[str, Any], rng: Random, where: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        items = schema.get("items", {})
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, len(first), 3)))
        if least > most:
            raise DataError(where, "minItems is more than maxItems")
        size = least if depth >= DEEP else rng.randint(least, min(most, least + 5))
        if items is False:
            size = min(size, len(first))
        made: list[Any] = []
        for index in range(size):
            each = first[index] if index < len(first) else items
            for _ in range(100):
                value = self._value(each, rng, f"{where}[{index}]", depth + 1)
                if not schema.get("uniqueItems") or value not in made:
                    made.append(value)
                    break
            else:
                if len(made) < least:
                    raise DataError(where, "there are too few different items")
        return made

    def _text(self, schema: Mapping[str, Any], rng: Random, where: str) -> str:
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10**6))
        if least > most:
            raise DataError(where, "minLength is more than maxLength")
        if pattern := schema.get("pattern"):
            maker = self._patterns.setdefault(pattern, text_maker(pattern))
            for _ in range(100):
                if least <= len(text := maker(rng)) <= most:
                    return text
            raise DataError(where, "no text of this length was found for the pattern")
        if (made := _formatted(schema.get("format"), rng)) is not None:
            return made
        size = rng.randint(least, min(most, max(least + 12, 12)))
        text = " ".join(rng.choice(WORDS) for _ in range(size // 4 + 1))
        while len(text) < size:
            text += f" {rng.choice(WORDS)}"
        text = text[:size].strip()
        return text + "x" * (max(least, 1 if most else 0) - len(text))


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Give a schema that asks for both."""
    found = dict(first)
    for key, value in second.items():
        match key:
            case "properties" | "$defs" | "definitions":
                found[key] = {**found.get(key, {}), **value}
            case "required":
                found[key] = list(dict.fromkeys([*found.get(key, ()), *value]))
            case "minimum" | "minLength" | "minItems" | "exclusiveMinimum" | "minProperties":
                found[key] = max(found.get(key, value), value)
            case "maximum" | "maxLength" | "maxItems" | "exclusiveMaximum" | "maxProperties":
                found[key] = min(found.get(key, value), value)
            case "enum" if "enum" in found:
                found[key] = [each for each in found[key] if each in value]
            case _:
                found[key] = value
    return found


def _formatted(kind: Any, rng: Random) -> str | None:
    moment = _EPOCH + timedelta(seconds=rng.randrange(10 * 365 * 86400)) if kind else _EPOCH
    match kind:
        case "uuid":
            return str(uuid.UUID(int=rng.getrandbits(128), version=4))
        case "date":
            return moment.date().isoformat()
        case "time":
            return moment.strftime("%H:%M:%SZ")
        case "date-time":
            return moment.isoformat().replace("+00:00", "Z")
        case "duration":
            return f"PT{rng.randrange(1, 3600)}S"
        case "email":
            return f"{rng.choice(WORDS)}.{rng.randrange(10000)}@example.org"
        case "hostname":
            return f"{rng.choice(WORDS)}-{rng.randrange(1000)}.example.org"
        case "uri" | "uri-reference" | "iri" | "url":
            return f"https://example.org/{rng.choice(WORDS)}/{rng.randrange(10000)}"
        case "ipv4":
            return ".".join(str(rng.randrange(1, 255)) for _ in range(4))
        case "ipv6":
            return ":".join(f"{rng.randrange(65536):x}" for _ in range(8))
        case _:
            return None


def _bounds(schema: Mapping[str, Any], spread: float) -> tuple[float, float]:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None and (low is None or above >= low):
        low = math.nextafter(above, math.inf)
    if below is not None and (high is None or below <= high):
        high = math.nextafter(below, -math.inf)
    if low is None:
        low = 0 if high is None or high > 0 else high - spread
    return low, low + spread if high is None else high


def _integer(schema: Mapping[str, Any], rng: Random, where: str) -> int:
    low, high = _bounds(schema, 1000)
    step = schema.get("multipleOf", 1)
    first, last = math.ceil(low / step), math.floor(high / step)
    if first > last:
        raise DataError(where, "no integer is within its bounds")
    return int(rng.randint(first, last) * step)


def _number(schema: Mapping[str, Any], rng: Random, where: str) -> float:
    low, high = _bounds(schema, 1000.0)
    if step := schema.get("multipleOf"):
        first, last = math.ceil(low / step), math.floor(high / step)
        if first > last:
            raise DataError(where, "no number is within its bounds")
        return float(rng.randint(first, last) * step)
    if low > high:
        raise DataError(where, "no number is within its bounds")
    short = round(rng.uniform(low, high), 2)
    return short if low <= short <= high else rng.uniform(low, high)
