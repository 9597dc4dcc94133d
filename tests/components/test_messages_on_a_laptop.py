"""The scenarios that pass in the cluster pass on a laptop; the broken one fails for its reason."""

from __future__ import annotations

import pytest
from seatrial_runner.scenario import World, expand, run_instance

from tests.support.message_file import BROKEN, BROKERS, TOLD, message_tests


@pytest.fixture
def world(request):
    urls = {name: request.getfixturevalue(name).url for name in BROKERS}
    return World(connections=urls)


def test_the_same_scenarios_end_as_in_the_cluster(world):
    for test in message_tests():
        [instance] = expand(test)
        result = run_instance(instance, world)
        if test["name"] == BROKEN:
            assert TOLD in result.message
        else:
            assert result.outcome == "passed", result.details
