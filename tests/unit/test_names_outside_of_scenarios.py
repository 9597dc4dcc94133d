"""Checks of probes and of recovery know no names of scenarios: neither in texts nor in CEL."""

from __future__ import annotations

import pytest
from seatrial.plan.expressions import unknown_name_problem


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
