"""Finding the parts of an expression that explain it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.scenario.cel_source import (
    Comparison,
    alternatives,
    calls,
    comparison,
    conjuncts,
    paths,
    prefixes,
    unwrap,
)


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("a && b", ["a", "b"]),
        ("a && (b && c)", ["a", "(b && c)"]),
        ("a && b || c", ["a && b || c"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
        ("x == 'a && b' && y", ["x == 'a && b'", "y"]),
        ('x == "\\" && " && y', ['x == "\\" && "', "y"]),
        ("x == r'\\' && y", ["x == r'\\'", "y"]),
        ("x == '''a' && b''' && y", ["x == '''a' && b'''", "y"]),
    ],
)
def test_conjuncts(expression, parts):
    assert conjuncts(expression) == parts


def test_alternatives_bind_weaker_than_conjuncts():
    assert alternatives("a && b || c") == ["a && b", "c"]
    assert alternatives("a || b ? c : d") == ["a || b ? c : d"]


@pytest.mark.parametrize(
    ("expression", "inner"),
    [("((a))", "a"), ("(a) && (b)", "(a) && (b)"), ("f(a)", "f(a)"), ("(a", "(a")],
)
def test_parentheses_around_the_whole_are_taken_off(expression, inner):
    assert unwrap(expression) == inner


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a.b == c", Comparison("a.b", "==", "c")),
        ("a in [1, 2]", Comparison("a", "in", "[1, 2]")),
        ("index <= 1", Comparison("index", "<=", "1")),
        ("[1 < 2] == x", Comparison("[1 < 2]", "==", "x")),
        ("'a == b'", None),
        ("a == b && c", None),
        ("a == b ? c : d", None),
        ("f(a == b)", None),
        ("a == b == c", None),
    ],
)
def test_comparison(expression, found):
    assert comparison(expression) == found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("response.json.items[0].id == size(other)", ["response.json.items[0].id", "other"]),
        ("a.b.matches('x.y')", ["a.b"]),
        ("a['k.l'].m", ["a['k.l'].m"]),
        ("a[b.c].d", ["a[b.c].d", "b.c"]),
        ("true && null == x", ["x"]),
        ("a.?b.orValue(1)", ["a"]),
        ("1.5e3 + 0x1F", []),
        ("a[0", ["a"]),
        ("a.", ["a"]),
    ],
)
def test_paths(expression, found):
    assert paths(expression) == found


def test_prefixes_lead_to_a_path():
    assert prefixes("a.b[c.d].e") == ["a", "a.b", "a.b[c.d]", "a.b[c.d].e"]


@given(st.text(alphabet="ab.[]()'\"&|=<>?!r\\ ,1", max_size=30))
def test_no_text_is_too_odd(text):
    conjuncts(text), alternatives(text), comparison(unwrap(text))
    assert all(prefixes(path) for path in paths(text))


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("f(a, g(b)[0], 'x,y')", [("f", ["a", "g(b)[0]", "'x,y'"]), ("g", ["b"])]),
        ("a.all(x, f(x, {'a': [1, 2]}))", [("f", ["x", "{'a': [1, 2]}"])]),
        ("f() == 1 && size(a) > 0", [("f", [""]), ("size", ["a"])]),
        ("f(a", []),
        ("a + 'f(x)'", []),
    ],
)
def test_calls_are_found(expression, found):
    assert [(each.name, each.arguments) for each in calls(expression)] == found
