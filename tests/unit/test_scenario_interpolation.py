"""``{{ ... }}``: values in texts, and everything a template must not do."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from seatrial_runner.scenario import sandbox, templates
from seatrial_runner.scenario.interpolation import TemplateError, render, render_json
from seatrial_runner.scenario.values import clean

from tests.support.loopback import Loopback
from tests.support.scenarios import FakeTime, a_world, get, run_steps
from tests.unit.test_scenario_values import JSON

VALUES = {
    "order": "o1",
    "n": 3,
    "half": 1.5,
    "yes": True,
    "none": None,
    "cart": {"items": [{"sku": "A"}, {"sku": "B"}], "keys": "k"},
    "big": "x" * 500_000,
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain { } text }}", "plain { } text }}"),
        ("a{{ order }}b", "ao1b"),
        ("{{order}}/{{ n }}", "o1/3"),
        ("{{ yes }} {{ none }} {{ half }}", "true null 1.5"),
        ("{{ cart.items }}", '[{"sku": "A"}, {"sku": "B"}]'),
        ("{{ cart.keys }}", "k"),
        ("{{ cart.items[1].sku | lower }}", "b"),
        ("{{ cart['items'] | length }}", "2"),
        ("{{ n + 1 }} {{ n * 2 }} {{ 'a' + 'b' }}", "4 6 ab"),
        ("{{ nope | default('x') }}", "x"),
        ("{{ half | round }} {{ 1.25 | round(1, 'floor') }}", "2.0 1.2"),
        ("{% if yes %}y{% else %}n{% endif %}", "y"),
        ("{% for i in cart.items %}{{ loop.index }}{{ i.sku }} {% endfor %}", "1A 2B "),
        ("{% for k, v in {'a': 1} | items %}{{ k }}={{ v }}{% endfor %}", "a=1"),
        ("a\r\n{{ n + 0 }}\r\n", "a\r\n3\r\n"),
        ("{# no comment #} {{ n + 0 }}\n", "{# no comment #} 3\n"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ '{{' }}", "{{"),
    ],
)
def test_a_text_is_filled_in(text, filled):
    assert render(text, VALUES) == filled


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ n }}", 3),
        ("{{ yes }}", True),
        ("{{ none }}", None),
        ("{{ cart.items[0] }}", {"sku": "A"}),
        ("{{ n + 1 }}", 4),
        ("{{ cart.items | length }}", 2),
        ("{{ order | upper }}", "O1"),
        (" {{ n }}", " 3"),
        ("{{ n }}{{ n }}", "33"),
        ("{{ true }}", True),
    ],
)
def test_a_lone_expression_keeps_its_type_in_json(text, value):
    assert render_json({"a": [text]}, VALUES) == {"a": [value]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ nope }}", "nothing is named 'nope'; known names are: big, cart,"),
        ("{{ nope | upper }}", "nothing is named 'nope'; known names are: big, cart,"),
        ("{{ cart.x }}", "no field 'x'; fields are: items, keys"),
        ("{{ cart.x | upper }}", "no field 'x'; fields are: items, keys"),
        ("{{ cart.items[9].sku }}", "no field 9 in a list"),
        ("{{ order.x }}", "no field 'x' in a string"),
        ("{{ n if not yes }}", "no else section was defined"),
        ("{{", "unexpected 'end of template'"),
        ("{{ }}", "Expected an expression"),
        ("{% if x %}", "Unexpected end of template"),
        ("{{ n | center }}", "there is no filter 'center'; there are: abs,"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ n() }}", "a call cannot be used here"),
        ("{{ order.upper() }}", "a call cannot be used here"),
        ("{{ n ~ n }}", "~ (write {{ a }}{{ b }}) cannot be used here"),
        ("{{ 2 ** 2 }}", "** cannot be used here"),
        ("{% set x = 1 %}", "{% set %} cannot be used here"),
        ("{% macro f() %}{% endmacro %}", "{% macro %} cannot be used here"),
        ("{% include 'x' %}", "Include cannot be used here"),
        ("{{ ''.__class__ }}", "no field '__class__' in a string"),
        ("{{ n.__class__ }}", "no field '__class__' in a int"),
        ("{{ cart.items.append }}", "no field 'append' in a list"),
        ("{{ self }}", "nothing is named 'self'"),
        ("{{ '%s' % 1 }}", "% takes numbers"),
    ],
)
def test_what_cannot_be_filled_in_says_why(text, problem):
    with pytest.raises(TemplateError) as caught:
        render(text, VALUES)
    assert problem in str(caught.value)
    assert text in str(caught.value)
    with pytest.raises(TemplateError):
        render_json([text], VALUES)


@pytest.mark.parametrize(
    "bomb",
    [
        "{{'x'*200000000}}",
        "{{ 200000000 * 'x' }}",
        "{{ [1] * 100000000 }}",
        "{{ [big] * 1000 }}",
        "{{ big + big + big }}",
        "{{ big }}{{ big }}{{ big }}",
        "{{ big + '' }}{{ big }}{{ big }}",
        "{{ [big, big, big] }}",
        "{{ [big, big, big] | join }}",
        "{{ big | replace('x', 'yyyyy') }}",
        "{{ big | replace('', big) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ " + "9999999999 * " * 500 + "1 }}",
        "{{ range(999999999) }}",
        "{{ 1 | round(999999999, 'ceil') }}",
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% for i in range(9999) %}{{ big }}{% endfor %}",
        "{% for i in big %}{% endfor %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "9" * 10_000 + " }}",
    ],
)
def test_a_bomb_is_refused(bomb):
    with pytest.raises(TemplateError):
        render(bomb, VALUES)
    with pytest.raises(TemplateError):
        render_json({"a": bomb}, VALUES)


def test_a_rendering_that_takes_long_is_stopped(monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_TIME_S", 0.0)
    with pytest.raises(TemplateError, match="took longer than 0 s"):
        render("{{ n + 1 }}", VALUES)


def test_a_failed_template_fails_its_step_before_anything_is_sent():
    result = run_steps([{"http": get("/{{ ordr }}"), "retries": 3}])
    known = "known names are: env, now, run, services"
    assert f"{{{{ ordr }}}}: nothing is named 'ordr'; {known}" in result.message
    assert (result.requests, result.steps[0].attempts) == (0, 1)


NAMES = st.sampled_from(["a", "b", "c.d", "c.e.f", "nope", "c.nope", "true", "none", "a.b"])
PIECES = st.one_of(
    NAMES.map(lambda name: f"{{{{ {name} }}}}"),
    st.text(alphabet="ab {}%#\n\r\"'", max_size=6),
)


@given(st.lists(PIECES, max_size=5).map("".join), JSON, JSON)
@example("{{ a }}\n", 1, 2)
@example("{{{ a }}", 1, 2)
def test_the_short_way_gives_what_jinja_gives(text, a, inner):
    values = clean({"a": a, "b": 1.0, "c": {"d": inner, "e": {"f": [None, True]}}})
    for short, long in ((render, templates.render), (render_json, templates.render_native)):
        assert outcome_of(short, text, values) == outcome_of(long, text, values)


def outcome_of(function, text, values):
    try:
        return repr(function(text, values))
    except TemplateError:
        return "refused"


@given(st.text(alphabet="{}%| ().[]'\"abn0123456789+-*/~,:=<>_\n#", max_size=50))
def test_no_template_breaks_anything(text):
    for function in (render, render_json):
        try:
            function("{{" + text, {"a": 1, "b": {"n": [1]}})
        except TemplateError as error:
            assert str(error)  # noqa: PT017 - any text may also be a good template


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{ cart | map(attribute='sku') | join(',') }}", "A1,B2"),
        ("{{ cart | map('tojson') | first }}", '{"sku": "A1"}'),
        ("{{ cart | tojson }}", '[{"sku": "A1"}, {"sku": "B2"}]'),
        ("{{ '<a&b>' | tojson }}", '"<a&b>"'),
        ("{{ 'ann:pässword' | b64encode }}", "YW5uOnDDpHNzd29yZA=="),
        ("{{ now }}", "2026-01-01T00:00:00.000Z"),
        ("{{ run.test }}", "pays"),
    ],
)
def test_what_testers_write_can_be_written(text, filled):
    steps = [{"http": {"get": "http://orders:8080/", "query": {"q": text}}}]
    with Loopback() as system:
        lines = [{"sku": "A1"}, {"sku": "B2"}]
        run_steps(steps, a_world(system.url, FakeTime()), vars={"cart": lines})
        assert system.asked[0].query == {"q": [filled]}


@pytest.mark.parametrize(
    "text",
    [
        "{{ cart | map('safe') | list }}",
        "{{ cart | map(attribute='__class__') | list }}",
        "{{ range(9999) | map('string') | map('upper') | join(big) }}",
        "{{ big | b64encode }}",
    ],
)
def test_new_filters_are_within_the_limits(text):
    variables = {"cart": [{"sku": "A1"}], "big": "x" * 1024 * 1024}
    with pytest.raises(TemplateError):
        render(text, variables)
