"""A run that has started goes on by what it began with, whatever becomes of its spec."""

import json
from datetime import timedelta

import pytest
from seatrial.api import names

from tests.support.builders import a_service, a_test
from tests.support.simulation import Simulation

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {"services": [a_service("orders")], "tests": [a_test()]}
ENVIRONMENT = "itr-checkout-00000001"
JOURNAL = ("ConfigMap", ENVIRONMENT, "seatrial-journal")
MANIFESTS = ("ConfigMap", "shop", "orders")


# The API server refuses such an edit of a run that has started, where it looks: the CRD's rules
# do not see into steps inside of steps. One of a run in the queue it takes, at any moment.
MISSPELT = {"tests": [a_test(scenario=[{"expect": ["status =="]}])]}
MISSING = {"services": [a_service("orders", manifests={"configMap": "orders"})]}
UNREADABLE = {"tests": [a_test(scenario=[{"parallel": [{"steps": [{"htpp": "GET /"}]}]}])]}
ANOTHER = {"tests": [a_test("another", scenario=[{"expect": ["true"]}])]}
EDITS = {
    "misspelt": MISSPELT, "names-what-is-missing": MISSING, "unreadable": UNREADABLE,
    "another": ANOTHER,
}  # fmt: skip


def told(simulation):
    """Give the names of the tests that the conductor is told to run."""
    run = simulation.cluster.objects["ConfigMap", ENVIRONMENT, "seatrial-run"]
    return [each["name"] for each in json.loads(run["data"]["run.json"])["tests"]]


@pytest.mark.parametrize("phase", ["Provisioning", "Running"])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_run_that_has_started_goes_on_by_the_spec_it_began_with(phase, edit):
    simulation = Simulation(**WHOLE)
    simulation.until(phase)
    began = told(simulation)
    simulation.cluster.edit(simulation.runs[0], **edit)
    while simulation.status().get("verdict") is None:
        simulation.deliver()
        simulation.look()
        assert told(simulation) == began
        simulation.conduct()
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"


@pytest.mark.parametrize("phase", ["Provisioning", "Running"])
def test_what_may_change_of_a_run_is_heard_although_the_rest_cannot_be_read(phase):
    simulation = Simulation(**WHOLE)
    simulation.until(phase)
    simulation.cluster.edit(simulation.runs[0], **UNREADABLE, abort=True)
    simulation.settle()
    assert simulation.status()["verdict"] == "Aborted"


@pytest.mark.parametrize("edit", [MISSPELT, MISSING, UNREADABLE], ids=list(EDITS)[:3])
def test_an_operator_that_is_new_ends_a_run_that_cannot_be_made_as_it_is_now(edit):
    simulation = Simulation(**WHOLE)
    simulation.until("Provisioning")
    simulation.cluster.edit(simulation.runs[0], **edit)
    simulation.start_operator()
    simulation.settle()
    assert simulation.status()["verdict"] == "Error"
    assert simulation.condition("Finished")["reason"] == "InvalidSpec"
    assert simulation.status()["message"].startswith(f"spec.{next(iter(edit))}[0].")
    assert simulation.cluster.in_namespace(ENVIRONMENT) == []


def test_an_operator_that_is_new_says_when_what_the_tests_began_with_cannot_be_read():
    simulation = Simulation(**WHOLE)
    simulation.until("Running")
    simulation.cluster.edit(simulation.runs[0], **UNREADABLE)
    simulation.start_operator()
    simulation.settle()
    assert simulation.status()["verdict"] == "Error"
    assert simulation.condition("Finished")["reason"] == "InvalidSpec"
    message = "The spec was changed after the tests had begun, and cannot be read: spec.tests[0]."
    assert simulation.status()["message"].startswith(message)


@pytest.mark.parametrize("phase", ["Provisioning", "Running"])
@pytest.mark.parametrize("edit", [MISSPELT, MISSING, UNREADABLE], ids=list(EDITS)[:3])
@pytest.mark.parametrize("early", [True, False], ids=["told-before", "told-to-nobody"])
def test_a_run_that_was_told_to_abort_is_aborted_whatever_its_spec_is_now(phase, edit, early):
    simulation = Simulation(**WHOLE)
    simulation.until(phase)
    if early:
        simulation.cluster.edit(simulation.runs[0], abort=True)
        simulation.deliver()
        simulation.look()
    simulation.cluster.edit(simulation.runs[0], **edit, abort=True)
    simulation.start_operator()
    simulation.settle()
    assert simulation.status()["verdict"] == "Aborted"
    assert simulation.condition("Finished")["reason"] == "AbortRequested"
    assert simulation.cluster.in_namespace(ENVIRONMENT) == []


@pytest.mark.parametrize("edit", [MISSPELT, UNREADABLE], ids=["misspelt", "unreadable"])
def test_a_run_that_waits_is_aborted_although_it_could_not_work(edit):
    simulation = Simulation(**edit, abort=True)
    simulation.settle()
    assert simulation.condition("Finished")["reason"] == "AbortRequested"


def test_what_may_change_of_a_run_whose_spec_cannot_be_read_is_heard_after_its_end():
    simulation = Simulation(**WHOLE)
    simulation.until("Running")
    keep, ttl = {"onFailure": "10m"}, "1h"
    given = {**UNREADABLE, "keepEnvironment": keep, "ttlAfterFinished": ttl}
    simulation.cluster.edit(simulation.runs[0], **given)
    simulation.start_operator()
    simulation.settle(within=timedelta(minutes=5))
    assert simulation.condition("CleanedUp")["reason"] == "Kept"
    simulation.settle(within=timedelta(minutes=30))
    assert simulation.status()["phase"] == "Finished"
    simulation.settle()
    assert simulation.runs == []


@pytest.mark.parametrize("phase", ["Finished", "Queued"])
def test_a_run_whose_spec_cannot_be_read_goes_when_its_time_has_come(phase):
    """Whether the operator that meets it has ended it itself, or finds it at rest."""
    simulation = Simulation(**(UNREADABLE if phase == "Queued" else WHOLE), ttlAfterFinished="7h")
    simulation.settle()
    if phase == "Finished":
        simulation.cluster.edit(simulation.runs[0], **UNREADABLE)
        simulation.start_operator()
        simulation.settle()
    assert simulation.status()["phase"] == "Finished"
    simulation.settle(within=timedelta(hours=8))
    assert simulation.runs == []


def test_tests_that_have_begun_go_on_although_they_could_not_begin_any_more():
    simulation = Simulation(**WHOLE)
    simulation.until("Running")
    simulation.cluster.edit(simulation.runs[0], **MISSPELT)
    simulation.start_operator()
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"


def with_manifests():
    """Make a run whose service is in a ConfigMap."""
    simulation = Simulation(**{**PLAIN, **MISSING})
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders"},
        "spec": {"template": {"spec": {"containers": [{"name": "orders", "image": "orders:1"}]}}},
    }
    labels = {names.LABEL_READABLE: names.LABEL_READABLE_VALUE}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "orders", "namespace": "shop", "labels": labels, "uid": "orders"},
        "data": {"orders.yaml": json.dumps(manifest)},
    }
    simulation.cluster.objects[MANIFESTS] = body
    return simulation


def test_an_operator_that_is_new_refuses_what_it_cannot_make_any_more():
    simulation = with_manifests()
    simulation.until("Provisioning")
    del simulation.cluster.objects[MANIFESTS]
    simulation.start_operator()
    simulation.settle()
    assert simulation.condition("Finished")["reason"] == "InvalidSpec"
    assert simulation.status()["message"].startswith("spec.services[0].manifests.configMap")


def test_what_a_run_is_made_from_is_read_once_although_what_may_change_of_it_does():
    simulation = with_manifests()
    simulation.until("Provisioning")
    del simulation.cluster.objects[MANIFESTS]
    simulation.cluster.edit(simulation.runs[0], suspend=True, priority=3)
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"


def is_open(simulation):
    """Tell whether the conductor has opened the gate; the operator may not have heard of it."""
    data = simulation.cluster.objects.get(JOURNAL, {}).get("data") or {}
    return bool(json.loads(data.get(names.SUMMARY_KEY, "{}")).get("gateOpenedAt"))


def test_a_new_operator_hears_that_the_gate_is_open_before_it_refuses():
    simulation = with_manifests()
    simulation.until("Provisioning")
    del simulation.cluster.objects[MANIFESTS]
    while not is_open(simulation):
        simulation.deliver()
        simulation.look()
        simulation.conduct()
    simulation.start_operator()
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"


def test_a_run_that_is_edited_while_it_is_admitted_is_made_as_it_was_edited():
    edited = a_test("edited", scenario=[{"expect": ["true"]}])
    simulation = Simulation(**PLAIN)
    simulation.deliver()
    simulation.cluster.edit(simulation.runs[0], tests=[edited])
    simulation.look()  # it has worked out what to make, and learns that this is no longer so
    simulation.until("Running")
    assert told(simulation) == ["edited"]
