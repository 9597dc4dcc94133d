"""Functions that expectations have beside those of CEL: each holds, and each fails with a path."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.functions import FUNCTIONS
from seatrial.plan.expressions import expression_problem
from seatrial_runner.scenario.explain import judge
from seatrial_runner.scenario.expressions import ExpressionError, evaluate
from seatrial_runner.scenario.helpers import COMPARING
from seatrial_runner.scenario.helpers.shapes import _TYPES
from seatrial_runner.scenario.transcript import unmet_text

ORDER = {
    "id": "o-1",
    "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "at": "2026-01-01T12:00:00.5+01:00",
    "day": "2026-01-01",
    "mail": "ann@example.com",
    "link": "http://orders:8080/o-1",
    "note": None,
    "paid": True,
    "total": 12.5,
    "items": [{"sku": "A1", "count": 2}, {"sku": "B2", "count": 1}],
    "tags": ["new", "gift"],
}
BINDINGS = {
    "order": ORDER,
    "now": datetime(2026, 1, 1, 11, 0, 3, tzinfo=UTC),
    "patience": timedelta(seconds=5),
    "schema": {
        "type": "object",
        "required": ["id", "items"],
        "properties": {"items": {"items": {"properties": {"count": {"type": "integer"}}}}},
    },
}

# By function: an expression that holds, one that does not, and what is said then.
CASES = [
    # Type and shape ------------------------------------------------------------------------------
    ("hasShape(order, {'id': 'string', 'total': 'number'})", "hasShape(order, {'id': 'int'})",
     'order.id is "o-1", not a whole number'),
    ("hasShape(order, {'id': string, 'total': double, 'paid': bool, 'note': null_type})",
     "hasShape(order, {'total': string})", "order.total is 12.5, not a string"),
    ("hasShape(order.items, [{'sku': 'string', 'count': 'int'}])",
     "hasShape(order.items, [{'sku': 'string', 'count': 'string'}])",
     "order.items[0].count is 2, not a string (and 1 more)"),
    ("hasShape(order.items, ['map', {'sku': '=B2'}])",
     "hasShape(order.items, ['any', 'any', 'any'])",
     "order.items has 2 elements, not 3"),
    ("hasShape(order, {'note': 'string|null'})", "hasShape(order, {'note': 'string|int'})",
     "order.note is null, not a string or a whole number"),
    ("hasShape(order, {'uuid': 'uuid'})", "hasShape(order, {'id': 'uuid'})",
     'order.id is "o-1", not a UUID'),
    ("hasShape(order, {'at': 'time', 'day': 'date'})", "hasShape(order, {'day': 'time'})",
     'order.day is "2026-01-01", not a time with date (RFC 3339)'),
    ("hasShape(order, {'mail': 'email'})", "hasShape(order, {'id': 'email'})",
     "not an e-mail address"),
    ("hasShape(order, {'link': 'url'})", "hasShape(order, {'mail': 'url'})", "not a URL"),
    ("hasShape(order, {'id': '/^o-[0-9]+$/'})", "hasShape(order, {'id': '/^[0-9]+$/'})",
     'order.id is "o-1", which does not match /^[0-9]+$/'),
    ("hasShape(order, {'id': '=o-1', 'total': 12.5})", "hasShape(order, {'id': '=o-2'})",
     'order.id is "o-1", not "o-2"'),
    ("hasShape(order, {'gift?': 'bool'})", "hasShape(order, {'gift': 'bool'})",
     "order.gift is missing; true or false is wanted"),
    ("hasShape(order.items[0], {'sku': 'any', 'count': 'any', '*': 'never'})",
     "hasShape(order.items[0], {'sku': 'any', '*': 'never'})", "order.items[0].count is there: 2"),
    ("hasShape(patience, 'duration')", "hasShape(order, {'total': 'duration'})",
     "order.total is 12.5, not a duration"),
    ("hasShape(order.note, 'null')", "hasShape(order.total, 'null')",
     "order.total is 12.5, not null"),
    ("hasShape(order.tags, 'list')", "hasShape(order, {'id': 'list'})",
     'order.id is "o-1", not a list'),
    ("hasShape(order.paid, 'bool')", "hasShape(order, {'total': 'bool'})",
     "order.total is 12.5, not true or false"),
    ("hasShape(order.items[0].count, 'int')", "hasShape(order, {'total': 'int'})",
     "order.total is 12.5, not a whole number"),
    ("hasShape(order.total, 'number')", "hasShape(order, {'paid': 'number'})",
     "order.paid is true, not a number"),
    ("hasShape(order.items[0], 'map')", "hasShape(order, {'tags': 'map'})",
     'order.tags is a list ["new", "gift"], not a map'),
    ("hasShape(order.day, 'date')", "hasShape(order, {'at': 'date'})",
     'order.at is "2026-01-01T12:00:00.5+01:00", not a date (2026-01-31)'),
    ("hasShape(order.id, 'any')", "hasShape(order, {'price': 'any'})",
     "order.price is missing; anything is wanted"),
    # Types of CEL.
    ("hasShape(order.items[0].count, int)", "hasShape(order, {'id': int})",
     'order.id is "o-1", not a whole number'),
    ("hasShape(order.items[0].count, uint)", "hasShape(order, {'total': uint})",
     "order.total is 12.5, not a whole number"),
    ("hasShape(order.total, double)", "hasShape(order, {'id': double})",
     'order.id is "o-1", not a number'),
    ("hasShape(order.paid, bool)", "hasShape(order, {'note': bool})",
     "order.note is null, not true or false"),
    ("hasShape(order.tags, list)", "hasShape(order, {'paid': list})",
     "order.paid is true, not a list"),
    ("hasShape(order, map)", "hasShape(order, {'paid': map})", "order.paid is true, not a map"),
    ("hasShape(order.note, null_type)", "hasShape(order, {'paid': null_type})",
     "order.paid is true, not null"),
    ("hasShape(now, google.protobuf.Timestamp)",
     "hasShape(order, {'paid': google.protobuf.Timestamp})",
     "order.paid is true, not a time with date (RFC 3339)"),
    ("hasShape(patience, google.protobuf.Duration)",
     "hasShape(order, {'paid': google.protobuf.Duration})", "order.paid is true, not a duration"),
    ("hasShape(order.paid, true)", "hasShape(order.items, 'map')", "order.items is a list [{"),
    # Subset --------------------------------------------------------------------------------------
    ("includes(order, {'id': 'o-1', 'items': [{'sku': 'B2'}]})", "includes(order, {'id': 'o-2'})",
     'order.id is "o-1", not "o-2"'),
    ("includes(order.tags, ['gift'])", "includes(order.tags, ['old'])",
     'order.tags has no element with "old"'),
    ("includes(order.items, [{'count': 1}, {'sku': 'A1'}])",
     "includes(order.items, [{'sku': 'A1'}, {'sku': 'A1'}])",
     'order.items has no other element with a map {"sku": "A1"}'),
    ("includes(order.total, 12.5)", "includes(order, {'gift': true})",
     "order.gift is missing, not true"),
    # Without order -------------------------------------------------------------------------------
    ("sameItems(order.tags, ['gift', 'new'])", "sameItems(order.tags, ['gift', 'old'])",
     'order.tags lacks "old" (and 1 more)'),
    ("sameItems({'a': [1, [2, 3]]}, {'a': [[3, 2], 1.0]})",
     "sameItems({'a': [1, 1]}, {'a': [1, 2]})",
     "{'a': [1, 1]}.a lacks 2 (and 1 more)"),
    ("sameItems([1, 1, 2], [2, 1, 1])", "sameItems(order.tags, ['gift', 'new', 'new'])",
     'order.tags lacks "new" 1 more times'),
    # Tolerance -----------------------------------------------------------------------------------
    ("near(order.total, 12.4, 0.2)", "near(order.total, 12, 0.2)",
     "order.total is 12.5, 0.5 from 12: more than 0.2"),
    ("near(order.at, now, patience)", "near(order.at, now, duration('1s'))",
     'order.at is "2026-01-01T12:00:00.5+01:00", 2.5s from 2026-01-01T11:00:03.000Z: more than 1s'),
    ("near([1, {'a': 2.05}], [1.0, {'a': 2}], 0.1)", "near([1, {'a': 2.5}], [1.0, {'a': 2}], 0.1)",
     "[1, {'a': 2.5}][1].a is 2.5, 0.5 from 2: more than 0.1"),
    ("near(duration('1s'), duration('2s'), duration('1s'))", "near(order.id, 1, 5)",
     'order.id is "o-1", not near 1'),
    # JSON Schema ---------------------------------------------------------------------------------
    ("matchesSchema(order, schema)", "matchesSchema({'items': [{'count': 'x'}]}, schema)",
     "{'items': [{'count': 'x'}]}"),
    ("matchesSchema(order.uuid, {'format': 'uuid'})", "matchesSchema(order.id, {'format': 'uuid'})",
     'order.id does not match the schema: "o-1" is not a "uuid"'),
    # Lists ---------------------------------------------------------------------------------------
    ("isSorted([1, 1, 2.5])", "isSorted(order.items.map(i, i.count))",
     "order.items.map(i, i.count)[1] is 1, after 2"),
    ("duplicates(order.tags) == []", "duplicates(['a', 'b', 'a', 'a']) == []",
     "duplicates(['a', 'b', 'a', 'a']) has 1 element, not 0"),
    ("sum(order.items.map(i, i.count)) == 3", "sum(order.items.map(i, i.count)) == 4",
     "sum(order.items.map(i, i.count)) is 3"),
    # Time ----------------------------------------------------------------------------------------
    ("parseTime(order.at) < now && parseTime(order.day) < parseTime(order.at)",
     "parseTime(order.at) > now", 'parseTime(order.at) is "2026-01-01T11:00:00.500Z"'),
    ("parseTime('Thu, 01 Jan 2026 11:00:00 GMT') == timestamp('2026-01-01T11:00:00Z')",
     "now - parseTime(order.at) < duration('2s')", "now - parseTime(order.at) is 2.5s"),
]  # fmt: skip


@pytest.mark.parametrize(("holds", "fails", "told"), CASES, ids=[case[1] for case in CASES])
def test_a_function_holds_and_fails_with_the_path_and_the_values(holds, fails, told):
    unmet = judge(holds, BINDINGS)
    assert unmet is None, unmet
    found = judge(fails, BINDINGS)
    assert found is not None
    assert not found.permanent
    assert told.replace('"2026-01-01T11:00:00.500Z"', "2026-01-01T11:00:00.500Z") in found.summary
    assert found.expression == fails


def test_every_word_of_a_shape_has_a_case_in_which_it_holds_and_one_in_which_it_fails():
    for index in (0, 1):
        words = {
            word.strip()
            for case in CASES
            for text in re.findall(r"'([a-z|]+)'", case[index])
            for word in text.split("|")
        }
        assert set(_TYPES) - words == set(), index


def test_every_function_has_a_case_in_which_it_fails():
    called = {name for _, fails, _ in CASES for name in re.findall(r"(\w+)\(", fails)}
    assert set(FUNCTIONS) <= called


@pytest.mark.parametrize("expression", [each for case in CASES for each in case[:2]])
def test_the_operator_accepts_what_the_pods_do(expression):
    assert expression_problem(expression) == ""


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("hasShape(order)", "hasShape takes 2 arguments"),
        ("near(1, 2)", "near takes 3 arguments"),
        ("true &&\n sum(1, 2) == 1", "sum takes 1 argument"),
        ("hasshape(order, 1)", "there is no function 'hasshape'"),
        ("order.tags.sort() == []", "there is no function 'sort'"),
        ("parseTime(1) < now", "parseTime"),
    ],
)
def test_the_operator_refuses_what_the_pods_cannot_compile(expression, told):
    with pytest.raises(ExpressionError) as refused:
        evaluate(expression, BINDINGS)
    assert refused.value.permanent
    assert told in str(refused.value)
    assert told in expression_problem(expression)


def test_the_operator_takes_macros_over_values_it_does_not_know():
    assert expression_problem("captured.all(each, each.id in others.map(o, o.id))") == ""
    assert "a single =" in expression_problem("captured.all(each, each.id = 1)")


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (
            "hasShape(order, {'id': 'strng'})",
            "hasShape: 'strng' is no shape; types are: any, never,",
        ),
        ("hasShape(order.id, '/[/')", "hasShape: /[/ is no regular expression"),
        ("near(1, 2, -1)", "near: the tolerance is -1: it must not be below 0"),
        ("near(1, 2, 'a')", 'near: the tolerance is "a", not a number or a duration'),
        ("matchesSchema(1, {'type': 'strng'})", "matchesSchema: the schema is none: "),
        (
            "matchesSchema(1, {'$ref': 'file:///etc/hostname'})",
            "matchesSchema: the schema is none: Resource 'file:///etc/hostname' is not present",
        ),
    ],
)
def test_what_no_answer_could_mend_is_permanent(expression, told):
    unmet = judge(expression, BINDINGS)
    assert unmet is not None
    assert unmet.permanent
    assert told in unmet.message


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("sum(order.tags) == 1", 'sum: element [0] is "new", not a number'),
        ("sum(order) == 1", "is no list"),
        ("isSorted([1, 'a'])", "isSorted: a string and a int have no order"),
        ("parseTime(order.id) < now", 'parseTime: "o-1" is no date or time'),
    ],
)
def test_values_that_a_function_cannot_use_may_change(expression, told):
    unmet = judge(expression, BINDINGS)
    assert unmet is not None
    assert not unmet.permanent
    assert told in unmet.message


def test_a_failure_at_length_has_every_difference():
    unmet = judge("hasShape(order.items, [{'sku': 'int', 'count': 'string'}])", BINDINGS)
    assert unmet is not None
    text = unmet_text(unmet)
    assert 'order.items = [{"count": 2, "sku": "A1"}, {"count": 1, "sku": "B2"}]' in text
    for line in (
        'order.items[0].sku is "A1", not a whole number',
        "order.items[1].count is 1, not a string",
    ):
        assert f"\n  {line}\n" in f"{text}\n"


def test_equality_tells_the_path_of_what_differs_too():
    unmet = judge("order.items == [{'sku': 'A1', 'count': 2}, {'sku': 'B2', 'count': 3}]", BINDINGS)
    assert unmet is not None
    assert unmet.summary == "order.items[1].count is 1, not 3"
    assert '+    "count": 1' in unmet_text(unmet)


def test_a_comparison_inside_of_a_macro_tells_what_differs():
    unmet = judge("order.items.all(item, hasShape(item, {'count': 'string'}))", BINDINGS)
    assert unmet is not None
    assert unmet.summary == "item.count is 2, not a string"


def test_of_two_comparisons_it_is_not_said_which_one_it_was():
    unmet = judge("hasShape(order.id, 'int') || hasShape(order.total, 'string')", BINDINGS)
    assert unmet is not None
    assert unmet.summary == "a value is 12.5, not a string"


NEGATED = {
    "hasShape": ("order.tags, ['string']", 'order.tags is ["new", "gift"]'),
    "includes": ("order.tags, ['gift']", 'order.tags is ["new", "gift"]'),
    "sameItems": ("order.tags, ['gift', 'new']", 'order.tags is ["new", "gift"]'),
    "near": ("order.total, 12, 1", "order.total is 12.5"),
    "matchesSchema": ("order.tags, {'type': 'array'}", 'order.tags is ["new", "gift"]'),
    "isSorted": ("order.items.map(item, -item.count)", "order.items is "),
}


@pytest.mark.parametrize("name", sorted(COMPARING))
def test_a_negation_is_told_with_its_values(name):
    arguments, told = NEGATED[name]
    unmet = judge(f"!{name}({arguments})", BINDINGS)
    assert unmet is not None
    assert not unmet.permanent
    assert told in unmet.summary


_leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
_keys = st.text(max_size=4)
json_values = st.recursive(
    _leaves | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@given(json_values, json_values)
def test_comparing_anything_gives_an_answer(left, right):
    from seatrial_runner.scenario.values import clean

    bindings = {"a": clean(left), "b": clean(right)}
    for expression in ("includes(a, b)", "sameItems(a, b)", "near(a, b, 1)", "a == b"):
        found = judge(expression, bindings)
        assert found is None or found.summary
    assert judge("includes(a, a)", bindings) is None
    assert judge("sameItems(a, a)", bindings) is None


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(10**400, id="beyond-a-double"),
        pytest.param(-(10**400), id="below-one"),
        pytest.param(2**64, id="beyond-64-bits"),
        pytest.param(-(2**63), id="the-least"),
    ],
)
def test_a_number_is_near_itself_however_large_it_is(number):
    from seatrial_runner.scenario.values import clean

    assert judge("near(a, a, 1)", {"a": clean(number)}) is None
    assert judge("near(a, 1, 1)", {"a": clean(number)}).summary


def test_what_is_nested_too_deeply_to_compare_is_told():
    value = 0
    for _ in range(400):
        value = [value]
    unmet = judge("includes(a, a)", {"a": value})
    assert unmet.summary == "includes: the values are nested too deeply to be compared"


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_a_part_of_a_list_is_there_as_often_as_it_is_asked_for(whole, part):
    from collections import Counter

    holds = judge("includes(a, b)", {"a": whole, "b": part}) is None
    assert holds == (not Counter(part) - Counter(whole))


def test_an_element_gives_way_to_one_that_has_no_other_choice():
    whole = [{"a": 1, "b": 1}, {"a": 1}]
    assert judge("includes(a, b)", {"a": whole, "b": [{"a": 1}, {"b": 1}]}) is None


def test_what_grows_with_each_call_is_not_even_expanded():
    chain = "optional.of(1)" + ".optMap(x, x)" * 8
    assert expression_problem(chain) == ""
    problem = expression_problem(f"{chain}.optFlatMap(x, optional.of(x))")
    assert "more than 8 of optMap and optFlatMap; make several expectations of it" in problem
