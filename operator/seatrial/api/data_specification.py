"""
What data is to be made, as a specification says it: read and checked. Plain, and pure.

::

    customers:
      count: 100
      fields:
        id: {sequence: {start: 1}}
        name: fullName
        email: {provider: email, unique: true}
    orders:
      count: {per: customers, min: 0, max: 5}
      fields:
        id: {sequence: {}}
        customer: {reference: customers.id}
        status: {oneOf: [new, paid], weights: [1, 9]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from seatrial.api.data_schema import MAX_SIZE, is_number, pattern_problem, schema_problem

MAX_ENTITIES = 32
MAX_FIELDS = 128
MAX_ROWS = 1_000_000
# By name, the method of mimesis that makes it.
PROVIDERS = {
    "fullName": "person.full_name",
    "firstName": "person.first_name",
    "lastName": "person.last_name",
    "username": "person.username",
    "email": "person.email",
    "phone": "person.phone_number",
    "jobTitle": "person.occupation",
    "street": "address.address",
    "city": "address.city",
    "state": "address.state",
    "country": "address.country",
    "countryCode": "address.country_code",
    "postalCode": "address.zip_code",
    "latitude": "address.latitude",
    "longitude": "address.longitude",
    "company": "finance.company",
    "currency": "finance.currency_iso_code",
    "word": "text.word",
    "sentence": "text.sentence",
    "color": "text.color",
    "url": "internet.url",
    "hostname": "internet.hostname",
    "ipv4": "internet.ip_v4",
    "userAgent": "internet.user_agent",
    "fileName": "file.file_name",
}
# Those made without mimesis.
PLAIN = ("uuid",)
# By kind of field, its options and their types.
KINDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "sequence": {"start": int, "step": int},
    "integer": {
        "min": int,
        "max": int,
        "distribution": str,
        "mean": (int, float),
        "deviation": (int, float),
    },
    "number": {
        "min": (int, float),
        "max": (int, float),
        "decimals": int,
        "distribution": str,
        "mean": (int, float),
        "deviation": (int, float),
    },
    "boolean": {"probability": (int, float)},
    "date": {"from": str, "to": str},
    "timestamp": {"from": str, "to": str},
    "text": {"min": int, "max": int},
}
# By kind of field, the bounds of an option.
_RANGES: dict[str, tuple[tuple[str, int, int], ...]] = {
    "number": (("decimals", 0, 15),),
    "text": (("min", 0, MAX_SIZE), ("max", 1, MAX_SIZE)),
}
FIRST_DAY, LAST_DAY = "2020-01-01", "2025-12-31"  # where from and to are not given
DISTRIBUTIONS = ("uniform", "normal", "exponential")
SKEWS = ("uniform", "zipf")
Unique = Literal["", "load", "run"]
_SCALAR_KINDS = ("provider", "oneOf", "pattern", "constant", "reference", "schema")
_MODIFIERS = frozenset({"unique", "nulls", "weights", "distribution"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?\Z")


class DataError(ValueError):
    """A specification that cannot be carried out: ``field`` says where, the message why."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.problem = message
        super().__init__(f"{field}: {message}" if field else message)


@dataclass(frozen=True)
class FieldPlan:
    """
    How one column is made; ``options`` are those of its kind.

    Attributes:
        unique: No value comes again: in the whole run, or among the rows that are made together.
    """

    name: str
    kind: str
    options: Any = None
    unique: Unique = ""
    nulls: float = 0.0
    weights: list[float] | None = None
    distribution: str = "uniform"

    @property
    def refers_to(self) -> tuple[str, str] | None:
        """Entity and field, of a reference."""
        if self.kind != "reference":
            return None
        entity, _, name = str(self.options).rpartition(".")
        return entity, name


@dataclass(frozen=True)
class EntityPlan:
    """
    Rows of one table.

    Attributes:
        count: How many; with ``per``, how many at least for each row of that entity.
        most: With ``per``, how many at most.
        schema: JSON Schema of a row, in place of fields.
    """

    name: str
    count: int
    most: int = 0
    per: str = ""
    fields: list[FieldPlan] = field(default_factory=list)
    schema: Mapping[str, Any] | None = None


def read_specification(document: Any, where: str = "") -> list[EntityPlan]:
    """
    Give the entities, each after those that it refers to.

    Args:
        document: Entities by name.
        where: Put before the fields that errors name.

    Raises:
        DataError: The first problem.
    """
    if not isinstance(document, Mapping) or not document:
        raise DataError(where, "give entities by name, each with count and fields")
    if len(document) > MAX_ENTITIES:
        raise DataError(where, f"has {len(document)} entities, more than {MAX_ENTITIES}")
    plans = {
        str(name): _entity(str(name), body, _at(where, str(name)))
        for name, body in document.items()
    }
    _references(plans, where)
    return _in_order(plans, where)


def read_rows(document: Any, where: str = "") -> dict[str, tuple[list[str], list[list[Any]]]]:
    """
    Give columns and values of rows that are written out, by table.

    Args:
        document: Lists of maps, by table; a column that a row does not name is null.
        where: Put before the fields that errors name.

    Raises:
        DataError: The first problem.
    """
    if not isinstance(document, Mapping) or not document:
        raise DataError(where, "give lists of rows by table")
    found = {}
    for table, rows in document.items():
        here = _at(where, str(table))
        if not _NAME.match(str(table)):
            raise DataError(here, "is no name of a table: use letters, digits and _")
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise DataError(here, "give a list of rows, each a map of values by column")
        columns = list(dict.fromkeys(str(name) for row in rows for name in row))
        for column in columns:
            if not _NAME.match(column) or "." in column:
                raise DataError(_at(here, column), "is no name of a column")
        found[str(table)] = (columns, [[row.get(name) for name in columns] for row in rows])
    return found


def require_tags(tags: Mapping[str, Any], where: str = "") -> None:
    """
    See that values by column can say which rows are removed.

    Without a column all rows would go, by a null none of a table, and in MongoDB every document
    that has no such field.

    Args:
        tags: Values by column.
        where: Put before the fields that errors name.

    Raises:
        DataError: There is no column, or one is null.
    """
    if not tags:
        raise DataError(where, "names no column: give values of the rows, such as {tag: t1}")
    for column, value in tags.items():
        if value is None:
            problem = "is null, which is no tag: give the value that the rows were loaded with"
            raise DataError(_at(where, column), problem)


def _entity(name: str, body: Any, where: str) -> EntityPlan:
    if not _NAME.match(name):
        raise DataError(where, "is no name of a table: use letters, digits and _")
    if not isinstance(body, Mapping):
        raise DataError(where, "give count, and fields or schema")
    _known(body, {"count", "fields", "schema"}, where)
    fields, schema = body.get("fields"), body.get("schema")
    if (fields is None) == (schema is None):
        raise DataError(where, "give exactly one of: fields, schema")
    least, most, per = _count(body.get("count", 1), _at(where, "count"))
    if schema is not None:
        if not isinstance(schema, Mapping):
            raise DataError(_at(where, "schema"), "is no JSON Schema of an object")
        _schema(schema, _at(where, "schema"))
        return EntityPlan(name, least, most, per, schema=schema)
    if not isinstance(fields, Mapping) or not 0 < len(fields) <= MAX_FIELDS:
        raise DataError(_at(where, "fields"), f"give 1 to {MAX_FIELDS} fields by name")
    made = [_field(str(each), how, _at(where, f"fields.{each}")) for each, how in fields.items()]
    return EntityPlan(name, least, most, per, made)


def _count(value: Any, where: str) -> tuple[int, int, str]:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= MAX_ROWS:
            raise DataError(where, f"must be 0 to {MAX_ROWS}")
        return value, 0, ""
    if not isinstance(value, Mapping) or not isinstance(value.get("per"), str):
        raise DataError(where, "must be a number, or {per: ENTITY, min: 0, max: 5}")
    _known(value, {"per", "min", "max"}, where)
    least, most = value.get("min", 1), value.get("max", value.get("min", 1))
    if not (isinstance(least, int) and isinstance(most, int) and 0 <= least <= most <= 10_000):
        raise DataError(where, "min and max must be numbers, min at most max, max at most 10000")
    return least, most, str(value["per"])


def _field(name: str, how: Any, where: str) -> FieldPlan:
    if not _NAME.match(name) or "." in name:
        raise DataError(where, "is no name of a column: use letters, digits and _")
    if isinstance(how, str):
        how = {"provider": how}
    if not isinstance(how, Mapping):
        raise DataError(where, "write the name of a provider, or a map such as {oneOf: [a, b]}")
    kinds = [key for key in how if key in KINDS or key in _SCALAR_KINDS]
    if len(kinds) != 1:
        known = ", ".join(sorted([*KINDS, *_SCALAR_KINDS]))
        raise DataError(where, f"give exactly one of: {known}")
    kind = kinds[0]
    _known(how, {kind, *_MODIFIERS}, where)
    options = _options(kind, how[kind], _at(where, kind))
    nulls = how.get("nulls", 0.0)
    if not is_number(nulls) or not 0 <= nulls <= 1:
        raise DataError(_at(where, "nulls"), "must be a share from 0 to 1")
    unique = _unique(how.get("unique", False), kind, options, where)
    skew = how.get("distribution", "uniform")
    if skew not in SKEWS or (skew != "uniform" and kind not in ("reference", "oneOf")):
        problem = f"must be {' or '.join(SKEWS)}, of a reference or oneOf"
        raise DataError(_at(where, "distribution"), problem)
    weights = _weights(how.get("weights"), options, kind, _at(where, "weights"))
    return FieldPlan(name, kind, options, unique, float(nulls), weights, skew)


def _unique(value: Any, kind: str, options: Any, where: str) -> Unique:
    if not isinstance(value, bool) and value != "load":
        raise DataError(_at(where, "unique"), "must be true, false or load")
    if not value:
        return ""
    if kind == "constant" or (kind == "sequence" and options.get("step") == 0):
        raise DataError(_at(where, "unique"), "is the same in each row: leave out unique")
    if options in ("latitude", "longitude"):
        problem = "a number has to be found for it: write number: {min, max, decimals} instead"
        raise DataError(_at(where, "unique"), problem)
    return "load" if value == "load" else "run"


def _weights(value: Any, options: Any, kind: str, where: str) -> list[float] | None:
    if value is None:
        return None
    if kind != "oneOf":
        raise DataError(where, "goes with oneOf")
    good = isinstance(value, list) and all(is_number(each) and each >= 0 for each in value)
    if not good or len(value) != len(options) or not any(value):
        raise DataError(where, "give a number for each value of oneOf, not all of them 0")
    return [float(each) for each in value]


def _options(kind: str, value: Any, where: str) -> Any:
    match kind:
        case "provider":
            if not isinstance(value, str) or value not in (*PROVIDERS, *PLAIN):
                known = ", ".join(sorted([*PROVIDERS, *PLAIN]))
                raise DataError(where, f"there is no {value!r}; there are: {known}")
        case "oneOf":
            if not isinstance(value, list) or not 0 < len(value) <= 1000:
                raise DataError(where, "give 1 to 1000 values")
        case "pattern":
            _pattern(value, where)
        case "reference":
            if not isinstance(value, str) or "." not in value:
                raise DataError(where, "write ENTITY.FIELD")
        case "schema":
            if not isinstance(value, Mapping):
                raise DataError(where, "is no JSON Schema")
            _schema(value, where)
        case "constant":
            pass
        case _:
            return _of_kind(kind, value, where)
    return value


def _of_kind(kind: str, value: Any, where: str) -> Mapping[str, Any]:
    value = {} if value is None else value
    if not isinstance(value, Mapping):
        raise DataError(where, f"give a map of: {', '.join(KINDS[kind])}")
    _known(value, KINDS[kind], where)
    for key, each in value.items():
        if isinstance(each, bool) or not isinstance(each, KINDS[kind][key]):
            raise DataError(_at(where, key), f"{each!r} is of the wrong type")
        if not isinstance(each, str) and not is_number(each):
            raise DataError(_at(where, key), "must be a number below 2^63")
    for key, least, most in _RANGES.get(kind, ()):
        if not least <= value.get(key, least) <= most:
            raise DataError(_at(where, key), f"must be {least} to {most}")
    low, high = value.get("min"), value.get("max")
    if low is not None and high is not None and low > high:
        raise DataError(where, "min is more than max")
    if kind in ("date", "timestamp"):
        _span(value, where)
    if value.get("distribution", "uniform") not in DISTRIBUTIONS:
        raise DataError(_at(where, "distribution"), f"must be one of: {', '.join(DISTRIBUTIONS)}")
    if not 0 <= value.get("probability", 0.5) <= 1:
        raise DataError(_at(where, "probability"), "must be 0 to 1")
    return value


def _span(value: Mapping[str, Any], where: str) -> None:
    begin = moment(value.get("from", FIRST_DAY), _at(where, "from"))
    end = moment(value.get("to", LAST_DAY), _at(where, "to"))
    if (begin.tzinfo is None) != (end.tzinfo is None):
        raise DataError(where, "give from and to, both with an offset from UTC or both without")
    if begin > end:
        raise DataError(where, f"from is after to, which is {value.get('to', LAST_DAY)}")


def _schema(schema: Mapping[str, Any], where: str) -> None:
    if problem := schema_problem(schema, where):
        raise DataError(*problem)


def moment(text: str, where: str = "") -> datetime:
    """Read a date or a moment in ISO 8601; a date is its first second."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise DataError(where, f"{text!r} is no date: write 2026-01-31") from None


def _pattern(value: Any, where: str) -> None:
    if problem := pattern_problem(value):
        raise DataError(where, problem)


def _references(plans: Mapping[str, EntityPlan], where: str) -> None:
    for plan in plans.values():
        if plan.per and (plan.per not in plans or plan.per == plan.name):
            raise DataError(
                _at(where, f"{plan.name}.count.per"), f"there is no entity {plan.per!r}"
            )
        for each in plan.fields:
            if each.refers_to is None:
                continue
            entity, name = each.refers_to
            here = _at(where, f"{plan.name}.fields.{each.name}.reference")
            if entity not in plans:
                raise DataError(here, f"there is no entity {entity!r}")
            if plans[entity].schema is None and name not in [f.name for f in plans[entity].fields]:
                raise DataError(here, f"entity {entity} has no field {name!r}")


def _in_order(plans: Mapping[str, EntityPlan], where: str) -> list[EntityPlan]:
    before = {
        name: {
            *([plan.per] if plan.per else []),
            *(
                each.refers_to[0]
                for each in plan.fields
                if each.refers_to and each.refers_to[0] != name
            ),
        }
        for name, plan in plans.items()
    }
    try:
        return [plans[name] for name in TopologicalSorter(before).static_order()]
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise DataError(where, f"entities refer to one another: {circle}") from None


def _known(value: Mapping[str, Any], keys: Any, where: str) -> None:
    for key in value:
        if key not in keys:
            raise DataError(
                _at(where, str(key)), f"is not known; known are: {', '.join(sorted(keys))}"
            )


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


__all__ = [
    "DataError",
    "EntityPlan",
    "FieldPlan",
    "moment",
    "read_rows",
    "read_specification",
    "require_tags",
]
