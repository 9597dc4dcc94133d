"""Why a message was put aside, as brokers and frameworks say it."""

from __future__ import annotations

import pytest
from seatrial_runner.scenario.brokers.dead_letters import by_deaths, by_headers


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, {}),
        ({"trace": "a"}, {}),
        # Headers that many messages have say nothing by themselves.
        ({"reason": "because", "attempts": "3"}, {}),
        (
            {"kafka_dlt-exception-message": "no stock", "kafka_dlt-original-topic": "orders"},
            {"reason": "no stock", "from": "orders"},
        ),
        (
            {"__connect.errors.exception.message": "bad", "__connect.errors.topic": "in"},
            {"reason": "bad", "from": "in"},
        ),
        (
            {"dead-letter-reason": "bad", "dead-letter-topic": "in", "attempts": "3"},
            {"reason": "bad", "from": "in", "count": 3},
        ),
        ({"X-Dead-Letter-Reason": "bad"}, {"reason": "bad"}),
    ],
)
def test_headers_of_frameworks_say_why(headers, found):
    assert by_headers(headers) == found


def test_the_newest_death_counts():
    deaths = [
        {"reason": "rejected", "queue": "work", "exchange": "x", "count": 2, "routing-keys": ["a"]},
        {"reason": "expired", "queue": "wait", "count": 2},
    ]
    assert by_deaths(deaths) == {
        "reason": "rejected",
        "from": "work",
        "exchange": "x",
        "count": 2,
        "routingKeys": ["a"],
        "deaths": deaths,
    }


@pytest.mark.parametrize("deaths", [None, [], "x", ["x"]])
def test_what_is_no_list_of_deaths_is_none(deaths):
    assert by_deaths(deaths) == {}
