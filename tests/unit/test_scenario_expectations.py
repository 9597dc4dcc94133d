"""What holds, what does not, and what a person is told of it."""

import pytest

from tests.support.loopback import Loopback
from tests.support.scenarios import a_world, get, run_steps

ORDER = {
    "id": 1,
    "status": "new",
    "price": 9.5,
    "items": [{"sku": "A1"}, {"sku": "B2"}],
    "note": None,
    "text": "a\nb",
}


@pytest.fixture
def system():
    with Loopback() as each:
        each.answer("GET /orders/1", json=ORDER)
        each.answer("GET /page", text="<h1>sorry</h1>", status=502)
        yield each


def expecting(system, *expectations, path="/orders/1"):
    return run_steps([{"http": get(path), "expect": list(expectations)}], a_world(system.url))


@pytest.mark.parametrize(
    "expectation",
    [
        "response.status == 200",
        "response.json.id == 1",
        "response.json.id == 1.0",
        "response.json.price == 9.5",
        "response.json.note == null",
        "response.json.items[1].sku == 'B2'",
        "response.json.items.exists(item, item.sku == 'A1')",
        "response.json.items == [{'sku': 'A1'}, {'sku': 'B2'}]",
        "size(response.json.items) == 2",
        "!has(response.json.error)",
        "response.json.?error.orValue('none') == 'none'",
        "response.json.status in ['new', 'paid']",
        "response.json.status.upperAscii() == 'NEW'",
        "response.json.status.matches('^n')",
        "math.greatest(response.json.id, 0) == 1",
        "response.elapsed > duration('0s')",
        "response.headers['content-type'] == 'application/json'",
        "response.status >= 200 && response.status < 300 || false",
    ],
)
def test_an_expectation_holds(system, expectation):
    assert expecting(system, expectation).outcome == "passed"


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ("response.status == 201", "response.status is 200"),
        ("response.status == 200 && response.json.id == 2", "response.json.id is 1"),
        ("(response.json.id == 2)", "response.json.id is 1"),
        ("response.json.id > 1", "response.json.id is 1"),
        ("!(response.json.id == 1)", "response.json.id is 1"),
        ("response.json.id == 2 || response.json.id == 3", "response.json.id is 1"),
        ("response.json.status in ['paid']", 'response.json.status is "new"'),
        ("response.json.status == response.json.text", 'response.json.status is "new", '),
        ("size(response.json.items) == 3", "size(response.json.items) is 2"),
        ("response.json.items.all(i, i.sku == 'A1')", 'response.json.items is [{"sku": "A1"}'),
        ("response.json.status.contains('x')", 'response.json.status is "new"'),
        ("response.elapsed > duration('1h')", "response.elapsed is "),
        (
            "response.json.ordr == 1",
            "response.json.ordr: no such key 'ordr';"
            " keys are: id, items, note, price, status, text",
        ),
        (
            "response.headers['x-id'] == '1'",
            "response.headers['x-id']: no such key 'x-id'; keys are: content-length,",
        ),
        (
            "response.json.items[2].sku == 'C'",
            "response.json.items[2]: no element [2]: the list has 2",
        ),
        (
            "response.json.note.id == 1",
            "response.json.note.id: it is a field of null, which has none",
        ),
        (
            "response.json.status.id == 1",
            'response.json.status.id: it is a field of a string ("new"), which has none',
        ),
        ("response.json.id", "it is an int (1), not true or false"),
        ("response.json.note", "it is null, not true or false"),
        ("response.json.?error", "it gives an optional value: end it with .orValue(...)"),
        ("response.json.id < 'x'", "int < string cannot be computed: convert one side"),
        ("response.status == '200'", "int == string cannot be computed: convert one side"),
        ("response.json.price + 1 == 10", "double + int cannot be computed: convert one side"),
        ("response.json.id / 0 == 1", "divide by zero"),
        (
            "response.statuss == 1",
            "response has no field 'statuss';"
            " its fields are: base64, elapsed, headers, json, size, status, text, url, version",
        ),
        (
            "order == 1",
            "nothing is named 'order'; known names are: env, now, response, run, services",
        ),
        ("response.status = 200", "a single = is no operator: compare with =="),
        ("response.status ==", "syntax error: mismatched input '<EOF>'"),
        ("size(response.status) == 1", "no such function for these types: size(int)"),
    ],
)
def test_an_expectation_does_not_hold_and_says_why(system, expectation, told):
    result = expecting(system, expectation)
    assert result.outcome == "failed"
    assert f"expected {expectation}, but {told}" in result.message
    assert "\n" not in result.message


def test_what_is_no_json_is_said_where_json_is_missed(system):
    result = expecting(system, "response.json.id == 1", path="/page")
    assert result.message.endswith(
        "it is a field of null, which has none"
        " (the body is no JSON: Expecting value: line 1 column 1 (char 0); text/plain)"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the body is empty"),
        ('{"a": NaN}', "the body is no JSON: NaN is no JSON number"),
        ("[" * 100_000, "the body is nested too deeply"),
        ("9" * 5000, "the body is no JSON: Exceeds the limit"),
    ],
)
def test_odd_bodies_are_no_json(system, text, problem):
    system.answer("GET /odd", text=text)
    assert problem in expecting(system, "response.json.a == 1", path="/odd").message


def test_details_show_the_expectation_the_request_and_the_response(system):
    result = expecting(system, "response.json.id == 2")
    text = result.details
    assert "Expected:\n  response.json.id == 2\n    response.json.id = 1\n" in text
    assert "Request:\n  GET http://orders:8080/orders/1\n" in text
    assert "Response:\n  200 OK, after " in text
    assert '  {\n    "id": 1,\n' in text
    assert "Steps:\n  failed " in text


def test_every_expectation_that_fails_is_shown(system):
    result = expecting(system, "response.json.id == 2", "true", "response.json.status == 'paid'")
    assert result.message.endswith("response.json.id is 1 (and 1 more)")
    assert 'response.json.status = "new"' in result.details


def test_long_values_are_compared_line_by_line(system):
    texts = expecting(system, "response.json.text == 'a\\nc'").details
    assert "Difference (- expected, + actual):\n  @@ -1,2 +1,2 @@\n   a\n  -c\n  +b" in texts
    values = expecting(system, "{'sku': 'A1', 'n': 1.0} == response.json.items[0]").details
    assert '  -  "n": 1\n' in values


def test_equal_numbers_of_other_types_are_no_difference(system):
    details = expecting(system, "response.json.items[0] == {'sku': 'A1', 'n': 1.0}").details
    assert '   {\n  -  "n": 1\n     "sku": "A1"\n   }' in details


def test_details_are_bounded(system):
    system.answer("GET /long", text="x" * 100_000)
    expectations = [f"response.text == 'y{number}'" for number in range(32)]
    result = expecting(system, *expectations, path="/long")
    assert len(result.details.encode()) <= 16 * 1024
    assert "bytes left out" in result.details
    assert len(result.message) <= 500
