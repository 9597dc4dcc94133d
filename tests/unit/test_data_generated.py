"""Data from a specification: seeded, unique, referring, distributed; and what is refused."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter
from datetime import date

import jsonschema_rs
import pytest
from seatrial_runner.data import DataError, Generator, read_specification

SHOP = {
    "orders": {
        "count": {"per": "customers", "min": 0, "max": 4},
        "fields": {
            "id": {"sequence": {"start": 100, "step": 10}},
            "customer": {"reference": "customers.id"},
            "product": {"reference": "products.sku", "distribution": "zipf"},
            "total": {"number": {"min": 1, "max": 500, "decimals": 2}},
            "status": {"oneOf": ["new", "paid"], "weights": [1, 9]},
            "at": {"date": {"from": "2025-01-01", "to": "2025-12-31"}},
        },
    },
    "customers": {
        "count": 200,
        "fields": {
            "id": "uuid",
            "name": "fullName",
            "email": {"provider": "email", "unique": True},
            "note": {"text": {"min": 5, "max": 10}, "nulls": 0.5},
            "referrer": {"reference": "customers.id"},
        },
    },
    "products": {
        "count": 26,
        "fields": {"sku": {"pattern": "[A-Z]", "unique": True}, "tag": {"constant": "x"}},
    },
}


def rows(specification, seed="s"):
    return Generator(read_specification(specification), seed).documents()


def test_the_same_seed_gives_the_same_and_another_something_else():
    assert rows(SHOP) == rows(SHOP)
    assert rows(SHOP) != rows(SHOP, "t")


def test_what_refers_comes_after_what_it_refers_to():
    made = rows(SHOP)
    assert list(made).index("orders") == 2
    customers = {each["id"] for each in made["customers"]}
    assert {each["customer"] for each in made["orders"]} <= customers
    assert {each["product"] for each in made["orders"]} <= {p["sku"] for p in made["products"]}
    per_customer = Counter(each["customer"] for each in made["orders"])
    assert max(per_customer.values()) == 4
    assert len(per_customer) < 200
    first, *others = made["customers"]
    assert first["referrer"] is None
    assert all(each["referrer"] in customers for each in others)


def test_values_keep_to_what_is_said_of_them():
    made = rows(SHOP)
    orders, customers = made["orders"], made["customers"]
    assert [each["id"] for each in orders] == [100 + 10 * n for n in range(len(orders))]
    assert all(1 <= each["total"] <= 500 for each in orders)
    assert all(round(each["total"], 2) == each["total"] for each in orders)
    assert all(date(2025, 1, 1) <= each["at"] <= date(2025, 12, 31) for each in orders)
    paid = sum(each["status"] == "paid" for each in orders) / len(orders)
    assert 0.8 < paid < 1
    assert len({each["email"] for each in customers}) == 200
    assert all(re.fullmatch(r"[^@ ]+@[^@ ]+", each["email"]) for each in customers)
    missing = sum(each["note"] is None for each in customers)
    assert 60 < missing < 140
    assert len({each["sku"] for each in made["products"]}) == 26
    most, *_, least = [n for _, n in Counter(each["product"] for each in orders).most_common()]
    assert most > 5 * least


def test_a_field_that_is_added_leaves_the_others_as_they_were():
    more = {**SHOP["customers"]["fields"], "city": "city"}
    changed = {**SHOP, "customers": {"count": 200, "fields": more}}
    before, after = rows(SHOP), rows(changed)
    assert [c["name"] for c in before["customers"]] == [c["name"] for c in after["customers"]]
    assert before["orders"] == after["orders"]


@pytest.mark.parametrize(
    ("distribution", "check"),
    [
        ({"distribution": "normal"}, lambda ns: sum(400 < n < 600 for n in ns) > 400),
        ({"distribution": "exponential", "mean": 100}, lambda ns: sum(n < 100 for n in ns) > 550),
        ({}, lambda ns: 150 < sum(n < 200 for n in ns) < 250),
    ],
)
def test_numbers_have_a_distribution(distribution, check):
    number = {"number": {"min": 0, "max": 1000, **distribution}}
    made = rows({"t": {"count": 1000, "fields": {"n": number}}})["t"]
    numbers = [each["n"] for each in made]
    assert all(0 <= n <= 1000 for n in numbers)
    assert check(numbers)


def test_every_provider_makes_something():
    from seatrial.api.data_specification import PLAIN, PROVIDERS

    fields = {f"f{n}": name for n, name in enumerate([*PROVIDERS, *PLAIN])}
    [row] = rows({"t": {"count": 1, "fields": fields}})["t"]
    assert all(value not in (None, "") for value in row.values())


def test_a_million_rows_take_the_memory_of_few():
    specification = {
        "t": {
            "count": 1_000_000,
            "fields": {"id": {"sequence": {}}, "n": {"integer": {"max": 9}}},
        },
        "u": {"count": 0, "fields": {"t": {"reference": "t.id"}}},
    }
    [(_, _, made), *_] = Generator(read_specification(specification), "s").entities()
    tracemalloc.start()
    count = sum(1 for _, row in zip(range(50_000), made, strict=False) if row)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("entity", "field", "message"),
    [
        ({"fields": {"a": "nam"}}, "t.fields.a.provider", "there is no 'nam'; there are: city"),
        ({"fields": {"a": {}}}, "t.fields.a", "give exactly one of: boolean, constant"),
        ({"fields": {"a": {"oneOf": []}}}, "t.fields.a.oneOf", "give 1 to 1000 values"),
        ({"fields": {"a": {"pattern": "["}}}, "t.fields.a.pattern", "is no regular expression"),
        ({"fields": {"a": {"reference": "x.id"}}}, "t.fields.a.reference", "no entity 'x'"),
        ({"fields": {"a": {"reference": "t.id"}}}, "t.fields.a.reference", "has no field 'id'"),
        ({"fields": {"a": {"number": {"min": 2, "max": 1}}}}, "t.fields.a.number", "min is more"),
        ({"fields": {"a": {"number": {"mn": 2}}}}, "t.fields.a.number.mn", "is not known"),
        ({"fields": {"a": {"date": {"from": "x"}}}}, "t.fields.a.date.from", "is no date"),
        ({"fields": {"a": "city"}, "count": -1}, "t.count", "must be 0 to 1000000"),
        ({"fields": {"a": "city"}, "count": {"per": "t"}}, "t.count.per", "there is no entity"),
        ({"fields": {"a": {"oneOf": [1], "weights": [0]}}}, "t.fields.a.weights", "not all of"),
        (
            {"fields": {"a": {"provider": "city", "nulls": 2}}},
            "t.fields.a.nulls",
            "must be a share",
        ),
        ({"fields": {"a": {"provider": ["x"]}}}, "t.fields.a.provider", "there is no ['x']"),
        (
            {"fields": {"a": {"integer": {"min": 10**400}}}},
            "t.fields.a.integer.min",
            "must be a number below 2^63",
        ),
        (
            {"fields": {"a": {"number": {"decimals": 16}}}},
            "t.fields.a.number.decimals",
            "must be 0 to 15",
        ),
        ({"fields": {"a": {"text": {"max": 0}}}}, "t.fields.a.text.max", "must be 1 to 100000"),
        (
            {"fields": {"a": {"date": {"from": "2025-01-01T00:00:00Z"}}}},
            "t.fields.a.date",
            "both with an offset from UTC or both without",
        ),
        (
            {"fields": {"a": {"timestamp": {"from": "2030-01-01"}}}},
            "t.fields.a.timestamp",
            "from is after to, which is 2025-12-31",
        ),
        (
            {"fields": {"a": {"pattern": "((a{1000}){1000}){9}"}}},
            "t.fields.a.pattern",
            "matches only texts of more than 100000 characters",
        ),
        (
            {"fields": {"a": {"schema": {"items": {"minLength": "x"}}}}},
            "t.fields.a.schema.items.minLength",
            "must be a whole number, at least 0",
        ),
        ({"schema": {"allOf": [{"enum": []}]}}, "t.schema.allOf[0].enum", "must be a list that"),
        ({"fields": {"a b": "city"}}, "t.fields.a b", "is no name of a column"),
        ({}, "t", "give exactly one of: fields, schema"),
    ],
)
def test_what_cannot_be_made_is_said_with_its_field(entity, field, message):
    with pytest.raises(DataError) as error:
        read_specification({"t": entity})
    assert error.value.field == field
    assert message in error.value.problem


def test_a_circle_is_refused():
    both = {
        name: {"fields": {"id": "uuid", "other": {"reference": f"{other}.id"}}}
        for name, other in (("a", "b"), ("b", "a"))
    }
    with pytest.raises(DataError, match="entities refer to one another: "):
        read_specification(both)


@pytest.mark.parametrize(
    ("field", "count", "message"),
    [
        ({"oneOf": [1, 2], "unique": True}, 3, "no more than 2 different values"),
        ({"pattern": "[ab]", "unique": True}, 3, "no more than 2 different values"),
    ],
)
def test_what_runs_out_of_values_is_said(field, count, message):
    with pytest.raises(DataError, match=message):
        rows({"t": {"count": count, "fields": {"a": field}}})


SCHEMAS = [
    {
        "type": "object",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "email": {"type": "string", "format": "email"},
            "age": {"type": "integer", "minimum": 18, "exclusiveMaximum": 99},
            "price": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
            "step": {"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 10},
            "code": {"type": "string", "pattern": "^[A-Z]{3}-\\d{2,4}(x|y)?$"},
            "name": {"type": "string", "minLength": 3, "maxLength": 5},
            "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True},
            "pair": {
                "type": "array",
                "prefixItems": [{"type": "boolean"}, {"type": "null"}],
                "items": False,
                "minItems": 2,
            },
            "kind": {"const": "order"},
            "maybe": {"type": ["string", "null"]},
            "at": {"type": "string", "format": "date-time"},
        },
        "required": ["id", "age", "price", "code", "name", "tags", "pair", "kind", "step"],
        "additionalProperties": False,
    },
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["value"],
            }
        },
        "$ref": "#/$defs/node",
    },
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5}}},
            {"required": ["a"], "properties": {"b": {"anyOf": [{"const": 1}, {"type": "null"}]}}},
        ]
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=["bounds", "recursive", "all-of"])
def test_what_a_schema_gives_is_valid_by_it(schema):
    from random import Random

    from seatrial_runner.data.json_schema import Sampler

    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    sampler, rng = Sampler(schema), Random("s")
    for _ in range(300):
        validator.validate(sampler.sample(rng))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"not": {"type": "string"}}, "not is not known here"),
        ({"$ref": "#/x"}, "leads nowhere"),
        ({"$ref": "https://x/y"}, "leads out of the schema"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "no integer is within its bounds"),
        ({"$ref": "#"}, "its references go round in a circle"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            "goes on without end",
        ),
        ({"type": "string", "pattern": "(?=a)b"}, "no texts can be made for assert"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema, message):
    from random import Random

    from seatrial_runner.data.json_schema import Sampler

    with pytest.raises(DataError, match=re.escape(message)):
        Sampler(schema).sample(Random("s"))


def test_rows_come_from_a_schema_too_and_can_be_referred_to():
    made = rows(
        {
            "people": {"count": 5, "schema": SCHEMAS[0]},
            "pets": {"count": 9, "fields": {"owner": {"reference": "people.id"}}},
        }
    )
    assert {each["owner"] for each in made["pets"]} <= {each["id"] for each in made["people"]}
    assert all(18 <= each["age"] < 99 for each in made["people"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", []),
        ("enum", 5),
        ("oneOf", {}),
        ("anyOf", []),
        ("allOf", 5),
        ("allOf", [5]),
        ("properties", "x"),
        ("properties", {"a": 5}),
        ("required", 5),
        ("required", [5]),
        ("items", [{}]),
        ("prefixItems", 5),
        ("minProperties", "x"),
        ("minItems", 10**9),
        ("minLength", 10**10),
        ("maxLength", -1),
        ("pattern", "("),
        ("pattern", 5),
        ("minimum", "x"),
        ("exclusiveMinimum", True),
        ("maximum", float("nan")),
        ("multipleOf", 0),
        ("$ref", 5),
    ],
)
def test_a_keyword_that_holds_something_else_is_named(key, value):
    with pytest.raises(DataError) as error:
        read_specification({"t": {"fields": {"a": {"schema": {key: value}}}}})
    assert error.value.field.startswith(f"t.fields.a.schema.{key}")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, "go round in a circle"),
        ({"allOf": [{"minLength": 5}, {"maxLength": 2}]}, "minLength is more than maxLength"),
    ],
)
def test_parts_that_cannot_be_put_together_are_refused(schema, message):
    with pytest.raises(DataError, match=message):
        rows({"t": {"fields": {"a": {"schema": schema}}}})
