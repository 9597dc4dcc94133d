"""The clocks of a node and of the operator may be minutes apart: no deadline is early by it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from seatrial.api.status import RunStatus
from seatrial.plan.status import progress
from seatrial.plan.status import tests_ended as end_of_tests
from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.clocks import by_our_clock, http_date

from tests.support.builders import a_summary, a_test
from tests.support.conducted import a_conductor, a_run_doc, a_service_doc, order
from tests.support.run_namespace import RunNamespace
from tests.support.simulation import Simulation
from tests.support.virtual_time import in_virtual_time, loop

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
APART = [timedelta(minutes=7), timedelta(minutes=-7)]


def a_run_that_began(at: datetime):
    run = in_virtual_time(_doc())
    return {**run, "startedAt": rfc3339(at), "deadline": rfc3339(at + timedelta(minutes=30))}


async def _doc():
    return a_run_doc()


@pytest.mark.parametrize("ahead", APART)
@pytest.mark.parametrize("age", [timedelta(0), timedelta(minutes=20)])
def test_start_and_deadline_are_what_our_clock_would_have_shown(ahead, age):
    run = by_our_clock(a_run_that_began(NOON), age, NOON + age + ahead)
    assert parse(run["startedAt"]) == NOON + ahead
    assert parse(run["deadline"]) == NOON + ahead + timedelta(minutes=30)


def test_seconds_are_no_difference():
    run = a_run_that_began(NOON)
    assert by_our_clock(run, timedelta(0), NOON + timedelta(seconds=12)) == run
    assert by_our_clock(run, None, NOON + timedelta(minutes=7)) == run


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Thu, 26 Nov 2026 23:00:01 GMT", datetime(2026, 11, 26, 23, 0, 1, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
        ("Sun, 06 Nov 1994 08:49 GMT", None),
        ("Sun, 31 Feb 2026 00:00:00 GMT", None),
    ],
)
def test_the_servers_time_is_read_from_its_answer(text, moment):
    assert http_date(text) == moment


@pytest.mark.parametrize("ahead", APART)
def test_a_node_that_is_minutes_off_gives_a_service_its_time(ahead):
    async def course() -> RunNamespace:
        namespace = RunNamespace(start_s=20.0)
        began = loop().now() - ahead  # by the operator's clock
        times = {"startedAt": rfc3339(began), "deadline": rfc3339(began + timedelta(minutes=5))}
        run = a_run_doc(services=[a_service_doc()], provisioningTimeout=60.0, **times)
        order(namespace, run)
        namespace.deployment("orders", replicas=1)
        await a_conductor(namespace)
        return namespace

    summary = in_virtual_time(course()).summary()
    assert summary["finished"]["reason"] == "Completed", summary["finished"]


@pytest.mark.parametrize("ahead", APART)
def test_the_operator_reads_the_conductors_moments_by_its_own_clock(ahead):
    began = NOON + timedelta(seconds=1)
    status = a_status(began)
    summary = a_summary(
        startedAt=rfc3339(began + ahead),
        gateOpenedAt=rfc3339(began + ahead + timedelta(seconds=5)),
        finished={
            "at": rfc3339(began + ahead + timedelta(seconds=9)),
            "reason": "Completed",
            "message": "",
        },
    )
    assert progress(status, summary).gate_time == began + timedelta(seconds=5)
    assert end_of_tests(status, summary) == began + timedelta(seconds=9)


def a_status(began):
    return RunStatus(start_time=began)


@pytest.mark.parametrize("ahead", APART)
def test_tests_get_their_time_whatever_the_nodes_clock_says(ahead):
    plain = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
    simulation = Simulation(**plain, timeouts={"tests": "5m"})
    simulation.until("Provisioning")
    [conductor] = simulation.conductors.values()
    simulation.conductors.clear()
    for _ in range(2):  # it begins, and opens the gate
        conductor.step()
    key = ("ConfigMap", "itr-checkout-00000001", "seatrial-journal")
    summary = json.loads(simulation.cluster.objects[key]["data"]["summary.json"])
    began = parse(simulation.status()["startTime"])
    summary.update(
        sequence=summary["sequence"] + 1,
        startedAt=rfc3339(began + ahead),
        gateOpenedAt=rfc3339(simulation.cluster.now + ahead),
    )
    simulation.cluster.put_data(key, {"summary.json": json.dumps(summary)})
    simulation.until("Running")
    simulation.cluster.pass_time(timedelta(minutes=4))
    simulation.deliver()
    simulation.look()
    assert simulation.status()["phase"] == "Running"
    simulation.settle()
    assert simulation.condition("Finished")["reason"] == "TimedOut"
    ended = parse(simulation.status()["completionTime"])
    assert ended - began < timedelta(minutes=5, seconds=30)
