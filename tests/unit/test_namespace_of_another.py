"""A namespace that someone makes in a run's name, knowing its UID, does not become the run's."""

import pytest
from seatrial.api import names

from tests.support.builders import a_service, a_test
from tests.support.fake_cluster import OperatorKilledError
from tests.support.simulation import Simulation

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {"services": [a_service("orders")], "tests": [a_test()]}
ENVIRONMENT = "itr-checkout-00000001"
KEY = ("Namespace", "", ENVIRONMENT)


def forge(simulation, **annotations):
    """Make the namespace with everything that can be known of it while the run is in the queue."""
    [run] = simulation.runs
    labels = {
        names.LABEL_RUN_UID: simulation.cluster.objects[run]["metadata"]["uid"],
        names.LABEL_RUN_NAME: "checkout",
        names.LABEL_RUN_NAMESPACE: "shop",
        names.LABEL_COMPONENT: names.COMPONENT_ENVIRONMENT,
        names.MANAGED_BY: names.MANAGED_BY_VALUE,
    }
    body = {
        "kind": "Namespace",
        "metadata": {
            "name": ENVIRONMENT,
            "uid": "theirs",
            "resourceVersion": "7",
            "labels": labels,
            "annotations": annotations,
        },
    }
    simulation.cluster.objects[KEY] = body
    return body


@pytest.mark.parametrize("watched", [False, True], ids=["unseen", "seen"])
@pytest.mark.parametrize("seal", [{}, {names.ANNOTATION_SEAL: "a guess"}], ids=["none", "guessed"])
@pytest.mark.parametrize("spec", [PLAIN, WHOLE], ids=["plain", "whole"])
def test_a_namespace_made_beforehand_gets_nothing_of_the_run(spec, seal, watched):
    simulation = Simulation(**spec)
    theirs = forge(simulation, **seal)
    if watched:
        simulation.take_in("ADDED", theirs)
    simulation.settle()
    assert simulation.condition("Finished")["reason"] == "NamespaceTaken"
    assert [key for key in simulation.cluster.objects if key[1] == ENVIRONMENT] == []
    assert simulation.cluster.objects[KEY] == theirs  # nor is it deleted


def test_what_status_says_of_the_seal_does_not_tell_it():
    simulation = Simulation(**PLAIN)
    simulation.until("Running")
    seal = simulation.cluster.objects[KEY]["metadata"]["annotations"][names.ANNOTATION_SEAL]
    assert len(seal) >= 20
    assert seal not in str(simulation.status())


def test_an_operator_killed_before_it_has_made_the_namespace_comes_back_to_the_same_end():
    simulation = Simulation(**WHOLE)
    kills = 0

    def die(what):
        nonlocal kills
        if what.startswith("create Namespace") and kills < 6:
            kills += 1
            raise OperatorKilledError(what)

    simulation.cluster.before_write = die
    simulation.settle()
    assert kills == 6
    assert simulation.status()["verdict"] == "Passed"
    assert len(simulation.status()["seals"]) <= 4


def test_a_namespace_that_the_killed_operator_has_just_made_is_known_by_the_next():
    simulation = Simulation(**WHOLE)
    killed = []

    def die(what):
        if what.startswith("create Namespace") and not killed:
            killed.append(what)
            raise OperatorKilledError(what)

    simulation.cluster.after_write = die
    simulation.settle()
    assert killed
    assert simulation.status()["verdict"] == "Passed"
    assert len(simulation.status()["seals"]) == 1
