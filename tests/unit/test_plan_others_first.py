"""Environments that are over wait for those that begin, but not for long."""

from datetime import timedelta

import pytest

from tests.support.builders import a_service, a_test
from tests.support.simulation import Simulation

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {"services": [a_service()], "tests": [a_test()]}


def beside_one_that_starts(**spec):
    """Bring run ``first`` to its clean-up while the conductor of ``second`` says nothing."""
    simulation = Simulation()
    simulation.apply("first", **spec)
    simulation.apply("second", **PLAIN)
    second = simulation.conductors.pop("itr-second-00000002")
    drain(simulation, until=lambda: simulation.status("first").get("phase") == "Cleaning")
    return simulation, second


def drain(simulation, until):
    """Let everything happen that needs no time to pass."""
    for _ in range(200):
        if until():
            return
        simulation.deliver()
        simulation.look()
        if not simulation.queue.due:
            simulation.conduct()
            simulation.cluster.collect_namespaces()
    raise AssertionError(f"it never comes to that: {simulation.seen}")


def look_at_all(simulation):
    simulation.deliver()
    simulation.queue.ring()
    while simulation.queue.due:
        simulation.look()
        simulation.deliver()


def is_going(simulation, name="first"):
    return any("delete Namespace itr-" + name in each for each in simulation.cluster.writes)


def test_a_namespace_is_not_deleted_while_another_run_starts():
    simulation, _ = beside_one_that_starts(**PLAIN)
    look_at_all(simulation)
    assert not is_going(simulation)
    assert simulation.condition("ReportAvailable", "first")["status"] == "True"
    assert simulation.condition("CleanedUp", "first")["status"] == "False"


def test_it_is_deleted_as_soon_as_the_other_is_at_work():
    simulation, second = beside_one_that_starts(**PLAIN)
    look_at_all(simulation)
    simulation.conductors["itr-second-00000002"] = second
    drain(simulation, until=lambda: simulation.status("second").get("phase") == "Running")
    look_at_all(simulation)
    assert is_going(simulation)


def test_it_does_not_wait_longer_than_fifteen_seconds():
    simulation, _ = beside_one_that_starts(**PLAIN)
    look_at_all(simulation)
    simulation.cluster.pass_time(timedelta(seconds=14))
    look_at_all(simulation)
    assert not is_going(simulation)
    simulation.cluster.pass_time(timedelta(seconds=1))
    look_at_all(simulation)
    assert is_going(simulation)


def test_services_hold_what_the_others_may_wait_for_so_they_go_at_once():
    simulation, _ = beside_one_that_starts(**WHOLE)
    look_at_all(simulation)
    assert is_going(simulation)


def test_a_run_that_its_user_deletes_goes_at_once():
    simulation, _ = beside_one_that_starts(**PLAIN)
    simulation.cluster.remove(simulation.runs[0])
    look_at_all(simulation)
    assert is_going(simulation)


@pytest.mark.parametrize("restarts", [0, 1])
def test_waiting_costs_no_write(restarts):
    simulation, _ = beside_one_that_starts(**PLAIN)
    look_at_all(simulation)
    before = simulation.status("first")
    for _ in range(restarts):
        simulation.start_operator()
    look_at_all(simulation)
    assert simulation.status("first") == before
    assert not is_going(simulation)
