"""Checks of probes and of recovery know no names of scenarios: neither in texts nor in CEL."""

from __future__ import annotations

import pytest
from seatrial.plan.expressions import expression_problem, unknown_name_problem


@pytest.mark.parametrize(
    "text",
    [
        "{{ run.name | b64encode }}",
        "{% for each in range(3) %}{{ each }}{{ loop.index }}{% endfor %}",
        "{{ now }} {{ env.A }} {{ services }} {{ webhooks }}",
        "{{ order | default('x') }}",
        "{% if order is defined %}{{ order }}{% endif %}",
        # What only the engine says.
        "{{ run.name | nope }}",
        "{{ run.name is nope }}",
        "{% block a %}{% endblock %}{% block a %}{% endblock %}",
        "{{ " + "1 + " * 3000 + "1 }}",
        "{{",
    ],
)
def test_a_text_without_unknown_names_is_no_problem(text: str) -> None:
    assert unknown_name_problem(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "{{ order }}",
        "{{ run.name + order.id | b64encode }}",
        "{{ order.id | default('x') }}",  # the engine refuses fields of what is not defined
        "{% for each in order %}{{ each }}{% endfor %}",
    ],
)
def test_a_name_that_nothing_has_is_told(text: str) -> None:
    assert unknown_name_problem(text).startswith("nothing is named 'order'; there are: env, now")


@pytest.mark.parametrize(
    ("kind", "expression", "name"),
    [
        ("http", "rows.size() == 1", "rows"),
        ("http", "rowCount == 1", "rowCount"),
        ("http", "error.code == 'x'", "error"),
        ("http", "size(messages) == 1", "messages"),
        ("sql", "response.status == 200", "response"),
        ("sql", "rows.all(row, row.id == messages[0])", "messages"),
        ("sql", "order.id == 1", "order"),
    ],
)
def test_a_name_that_another_kind_of_check_gives_is_told(
    kind: str, expression: str, name: str
) -> None:
    problem = expression_problem(expression, kind, alone=True)
    assert problem.startswith(f"nothing is named {name!r}; there are: ")


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("http", "response.status == 200 && response.json.id == env.ID"),
        ("http", "response.json.orders.all(order, order.id in run.ids && now > order.at)"),
        ("sql", "rows.size() == 1 && row.id == 1 && rowCount < 2 && elapsed < duration('1s')"),
    ],
)
def test_what_its_own_kind_gives_is_known(kind: str, expression: str) -> None:
    assert expression_problem(expression, kind, alone=True) == ""


def test_a_field_that_its_own_kind_has_not_is_told() -> None:
    problem = expression_problem("response.staus == 200", "http", alone=True)
    assert problem.startswith("response has no field 'staus'; its fields are: status, headers")
