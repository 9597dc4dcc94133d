"""The table of what steps say when the other side fails: whole, and shown as it is."""

import pytest
from seatrial.api.scenario import ACTIONS
from seatrial.api.steps.message import ADDRESSES
from seatrial_runner.scenario.databases.drivers import SCHEMES, dialect_of

from tests.support.told import ALONE, PAGE, TOLD, Situation, agrees, page

DATABASES = {dialect_of(f"{scheme}://") for scheme in SCHEMES}
BROKERS = {{"amqp": "rabbitmq"}.get(scheme, scheme) for scheme in ADDRESSES}


def test_the_page_shows_the_table():
    assert PAGE.read_text(encoding="utf-8") == page(), "make generate writes it"


def test_every_kind_of_step_is_in_the_table_in_every_situation():
    assert {kind.partition(",")[0] for kind in TOLD} | ALONE == set(ACTIONS)
    for kind, situations in TOLD.items():
        assert set(situations) == set(Situation), kind


@pytest.mark.parametrize(
    ("kind", "products"),
    [
        ("sql", DATABASES),
        ("data", {*DATABASES, "redis", "mongodb"}),
        ("message", BROKERS),
    ],
)
def test_every_product_that_a_step_speaks_to_is_in_the_table(kind, products):
    of_kind = [each.partition(", ")[2] for each in TOLD if each.partition(",")[0] == kind]
    assert {each.lower() for each in of_kind} == products


def test_words_are_compared_but_for_times_and_what_is_left_open():
    assert agrees("no answer within 0.98s (timeout)", "no answer within 1 s (timeout)")
    assert agrees("not there: something", "not there: …")
    assert not agrees("no answer", "no answer in time")
    assert not agrees("no answer in time", "no answer")
    assert not agrees("there: something", "not there: …")
