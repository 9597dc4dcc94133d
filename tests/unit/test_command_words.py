"""Commands that are texts: split as in a shell, before values are put in."""

import pytest
from seatrial.api.command_words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET a", ["GET", "a"]),
        ("SET 'a b' \"c d\"", ["SET", "a b", "c d"]),
        ("SET k {{ a b }}:{{ c }} {% if x %}y{% endif %}", None),
        ("GET order:{{ id | upper }}", ["GET", "order:{{ id | upper }}"]),
        ("SET k '{{ a }} {{ b }}'", ["SET", "k", "{{ a }} {{ b }}"]),
        ("  ", []),
    ],
)
def test_a_command_is_split_and_templates_are_left_in_one_piece(text, expected):
    expected = expected or (
        ["SET", "k", "{{ a b }}:{{ c }}", "{% if x %}y{% endif %}"] if "{%" in text else []
    )
    assert words(text) == expected


def test_a_quote_that_is_not_closed_is_refused():
    with pytest.raises(ValueError, match="No closing quotation"):
        words("GET 'a")
