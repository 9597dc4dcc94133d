"""
Hundreds of short faults of all kinds in a row: none left on, none lost, each kind on time.

How late they are is measured in tests/bench, on a quiet machine. Here a machine that has other
things to do may make any of them late, but not every one of a kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.conducted_storm import conducted_storm
from tests.support.fault_storm import Weather, left_on, storm
from tests.support.gateway_process import Gateway
from tests.support.http_storm import HTTP, carried_http
from tests.support.network_storm import LAYER_4


@pytest.fixture(scope="module")
def _gateway_with_envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with carried_http(tmp_path_factory.mktemp("envoy")) as gateway:
        yield gateway


@pytest.fixture(params=[pytest.param(LAYER_4, id="layer-4"), pytest.param(HTTP, id="http")])
def weather(request: pytest.FixtureRequest) -> Weather:
    of: Weather = request.param
    return of


@pytest.fixture
def carrying(request: pytest.FixtureRequest, weather: Weather) -> Gateway:
    name = "_gateway_with_envoy" if weather is HTTP else "gateway"
    gateway: Gateway = request.getfixturevalue(name)
    return gateway


def test_many_short_faults_in_a_row(carrying: Gateway, weather: Weather) -> None:
    seen = storm(carrying, 20 * len(weather.shapes), weather)
    print(seen.table())

    assert seen.lost == []
    for shape in weather.shapes:
        assert min(seen.by_kind[shape].begun_late_s) < 0.2, shape
        assert min(seen.by_kind[shape].ended_late_s) < 0.2, shape
        assert seen.hits[shape] > 0, shape
    assert left_on(carrying, weather) == []


async def test_a_conductor_loses_none_of_many_short_faults(
    carrying: Gateway, weather: Weather
) -> None:
    """Ordered, begun, ended and told by the journal are as many."""
    seen = await conducted_storm(carrying, 15 * len(weather.shapes), weather)
    print(seen.sums(), seen.hits)

    assert seen.problems() == []
    assert left_on(carrying, weather) == []
