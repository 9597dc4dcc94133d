"""Values on their way between JSON, CEL and variables."""

import json
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.scenario.expressions import ExpressionError, evaluate
from seatrial_runner.scenario.values import clean, show, to_variable

from tests.support.scenarios import run_steps

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def same(left, right):
    """Equal, and of equal types: 1 is not True, and not 1.0."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@given(JSON)
def test_json_comes_back_from_cel_as_it_went_in(value):
    cleaned = clean(value)
    assert same(evaluate("value", {"value": cleaned}), cleaned)
    assert evaluate("value == other", {"value": cleaned, "other": cleaned}) is True


@given(JSON)
def test_cleaning_changes_nothing_that_cel_can_hold(value):
    text = json.dumps(value)
    wide = any(abs(number) >= 2**63 for number in _integers(value))
    if "\\u0000" not in text and "\\ud" not in text.lower() and not wide:
        assert same(clean(value), value)


def _integers(value):
    match value:
        case bool():
            return []
        case int():
            return [value]
        case list():
            return [n for item in value for n in _integers(item)]
        case dict():
            return [n for item in value.values() for n in _integers(item)]
        case _:
            return []


@given(st.text(max_size=60))
def test_no_text_makes_an_expression_break_anything(text):
    try:
        evaluate(text, {"a": 1, "response.status": 200})
    except ExpressionError as error:
        assert str(error)  # noqa: PT017 - any text may also be a good expression


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a\0b", "a\u2400b"),
        ("\ud800", "\ufffd"),
        (2**64, float(2**64)),
        (2**64 - 1, 2**64 - 1),
        (-(2**63) - 1, -float(2**63)),
        (10**400, float("inf")),
    ],
)
def test_what_cel_cannot_hold_is_replaced(value, kept):
    assert clean({"x": [value]}) == {"x": [kept]}
    assert evaluate("x", {"x": clean(value)}) == kept


def test_nulls_cost_no_references():
    # cel-expr-python 0.1.3 gives away a reference to None with each null it converts itself.
    bindings = {"x": {"a": None, "b": [None, {"c": None}]}}
    evaluate("x", bindings)
    before = sys.getrefcount(None)
    for _ in range(2000):
        evaluate("x", bindings)
        evaluate("null", bindings)
    assert abs(sys.getrefcount(None) - before) < 1000


def test_an_endless_computation_is_stopped():
    ten = "[0,1,2,3,4,5,6,7,8,9]"
    expression = "true"
    for name in "abcdefg":
        expression = f"{ten}.all({name}, {expression})"
    with pytest.raises(ExpressionError, match="iteration budget exceeded"):
        evaluate(expression, {})


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("{1: 2}", "the key 1 of a map is no text"),
        ("[duration('1s')]", "a duration or timestamp inside a list or map: use string()"),
        ("b'x'", "bytes is not a JSON type: use string()"),
    ],
)
def test_what_no_later_step_could_use_is_not_kept(expression, problem):
    result = run_steps([{"set": {"x": expression}}])
    assert result.message.endswith(f"set x: {expression}: {problem}")


def test_durations_and_timestamps_stay_what_they_are():
    result = run_steps(
        [
            {"set": {"d": "duration('90s')", "t": "timestamp('2026-01-01T00:00:00Z')"}},
            {"expect": ["d < duration('2m')", "t.getFullYear() == 2026", "string(d) == '90s'"]},
        ]
    )
    assert result.outcome == "passed", result.message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (timedelta(milliseconds=250), "0.25s"),
        ("ü", '"ü"'),
        ({"b": 1.0, "a": None}, '{"a": null, "b": 1}'),
        ({1: 2, "a": 3}, '{"1": 2, "a": 3}'),
        (b"abc", "3 bytes"),
        ("x" * 300, '"' + "x" * 199 + "… (302 characters)"),
    ],
)
def test_values_are_shown_on_one_line(value, shown):
    assert show(value) == shown


@given(JSON)
def test_every_json_value_can_be_a_variable(value):
    assert same(to_variable(clean(value)), clean(value))
