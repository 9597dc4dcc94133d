"""What all scenarios take that run at the same time fits into the conductor's pod."""

from __future__ import annotations

import pytest
from seatrial.api import memory
from seatrial.plan.objects import conductor_pod

from tests.support.builders import a_test
from tests.support.conducted import a_conductor, a_run_doc, a_scenario, order
from tests.support.loopback import Answer, Loopback
from tests.support.run_namespace import RunNamespace
from tests.support.simulation import SETTINGS
from tests.support.virtual_time import in_virtual_time
from tests.unit.test_plan_objects import blueprint


@pytest.mark.parametrize("at_once", range(1, 17))
def test_the_shares_of_all_are_no_more_than_the_pod_has(at_once: int) -> None:
    shares = at_once * memory.of_a_scenario(at_once)
    assert memory.BESIDE + shares <= memory.of_the_pod(at_once)


def test_one_alone_has_as_much_as_two() -> None:
    assert memory.of_a_scenario(1) == 2 * memory.of_a_scenario(2)
    assert memory.of_the_pod(1) == 512 * memory.MIB


@pytest.mark.parametrize(
    ("parallelism", "tests", "expected"),
    [
        pytest.param(1, 5, "512Mi", id="one-after-another"),
        pytest.param(16, 1, "512Mi", id="one-alone"),
        pytest.param(2, 2, "544Mi", id="two"),
        pytest.param(4, 5, "928Mi", id="four"),
    ],
)
def test_the_pod_has_room_for_those_that_run_at_the_same_time(
    parallelism: int, tests: int, expected: str
) -> None:
    scenarios = [a_test(f"t{n}", scenario=[{"expect": ["true"]}]) for n in range(tests)]
    run = blueprint(parallelism=parallelism, services=[], tests=scenarios)
    [container] = conductor_pod(run, SETTINGS).body["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": expected}


@pytest.mark.parametrize(
    ("parallelism", "says"),
    [
        (1, "out of memory: it may take 320 MiB: let it read less at once"),
        (2, "out of memory: it may take 160 MiB, its share where 2 scenarios run at a time"),
    ],
)
def test_a_scenario_that_takes_more_than_its_share_says_so(parallelism: int, says: str) -> None:
    with Loopback() as system:
        # What is 20 times as much in memory as it is on the way.
        system.respond = lambda asked: Answer(text="[" + "[{}]," * 1_500_000 + "1]")
        greedy = a_scenario("greedy", {"http": {"get": system.url}, "expect": ["true"]})

        async def course() -> RunNamespace:
            namespace = RunNamespace()
            order(namespace, a_run_doc(tests=[greedy, a_scenario()], parallelism=parallelism))
            await a_conductor(namespace)
            return namespace

        tests = in_virtual_time(course()).summary()["tests"]
    states = {each["name"]: each for each in tests}
    assert states["paid"]["outcome"] == "Passed"
    assert states["greedy"]["outcome"] != "Passed"
    assert says in str(states["greedy"])
