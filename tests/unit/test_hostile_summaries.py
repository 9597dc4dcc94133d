"""The operator reads what comes from a namespace of user code: nothing in it may break it."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api import names
from seatrial.plan.seen import see_summary
from seatrial.plan.status import progress, read_status, write_status

from tests.support.builders import (
    a_failed_case,
    a_fault_state,
    a_summary,
    a_test,
    a_test_state,
    at,
)
from tests.support.simulation import Simulation

FULL = a_summary(
    services=[
        {
            "name": "orders",
            "state": "Ready",
            "readyReplicas": 1,
            "replicas": 1,
            "restarts": 0,
            "message": "",
        }
    ],
    environmentFailure={"reason": "CrashLoop", "message": "it ended", "service": "orders"},
    environmentLostAt=at(40),
    tests=[a_test_state(failures=[a_failed_case()])],
    faults=[a_fault_state()],
    lostEvidence=["something"],
)


def seen(summary):
    return see_summary({"data": {names.SUMMARY_KEY: summary}})


def places(value, path=()):
    """Give the path of every value in a document."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else items:
        yield from places(inner, (*path, key))


def changed(path, new):
    summary = copy.deepcopy(FULL)
    *way, last = path
    inner = summary
    for key in way:
        inner = inner[key]
    inner[last] = new
    return summary


def test_a_whole_summary_is_taken_as_it_is():
    assert seen(json.dumps(FULL)) == FULL
    assert seen(json.dumps(a_summary())) == a_summary()


ODD = [None, "", "x", "x" * 5000, "\ud800", -1, 2**70, 1.5, True, [], {}, [[]], [None], at(1)[:-1]]


@pytest.mark.parametrize("path", [path for path in places(FULL) if path], ids=str)
def test_no_odd_value_anywhere_breaks_what_rests_on_the_summary(path):
    taken = 0
    for odd in ODD:
        summary = json.dumps(changed(path, odd))
        if seen(summary) is not None:
            taken += 1
            simulation = Simulation(tests=[a_test()])
            simulation.until("Provisioning")
            journal = ("ConfigMap", "itr-checkout-00000001", names.JOURNAL_CONFIGMAP)
            simulation.cluster.put_data(journal, {names.SUMMARY_KEY: summary})
            simulation.deliver()
            simulation.look()
            assert simulation.status()["verdict"]
    assert taken < len(ODD)  # something of it is refused


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[" * 60_000,
        '{"version": 1}',
        json.dumps({**FULL, "version": 2}),
        json.dumps({**FULL, "starts": 10**400}),
        json.dumps({**FULL, "lostEvidence": ["x" * 300_000]}),
        json.dumps(changed(("tests", 0, "passed"), 1)).replace('"passed": 1', '"passed": NaN'),
    ],
    ids=["empty", "cut", "null", "deep", "bare", "newer", "digits", "huge", "nan"],
)
def test_what_is_no_summary_counts_as_none(text):
    assert seen(text) is None


def test_half_a_character_is_replaced_and_the_rest_is_kept():
    summary = seen(json.dumps(a_summary(tests=[a_test_state(message="got '\ud800'")])))

    assert summary["tests"][0]["message"] == "got '?'"
    assert progress(read_status({}), summary).tests[0].message == "got '?'"


def test_a_word_of_a_newer_conductor_is_taken():
    summary = seen(json.dumps(a_summary(faults=[a_fault_state(state="Postponed")])))

    assert summary["faults"][0]["state"] == "Postponed"


@given(st.lists(st.text(max_size=3000), max_size=64))
def test_the_status_stays_within_its_bound_whatever_tests_say(messages):
    tests = [a_test_state(f"t{i}", message=text) for i, text in enumerate(messages)]
    summary = seen(json.dumps(a_summary(tests=tests)))

    if summary is not None:
        document = write_status(progress(read_status({}), summary))
        assert len(json.dumps(document)) <= names.MAX_STATUS_BYTES
