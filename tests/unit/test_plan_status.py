"""The status: what it takes over, what it refuses to forget, and how large it may get."""

import json
import re
from datetime import UTC, datetime

from seatrial.api import names
from seatrial.api.status import RunStatus
from seatrial.api.verdict import Phase, Verdict
from seatrial.plan.conditions import Claim, Type, update
from seatrial.plan.status import is_transition, progress, read_status, write_status

from tests.support.builders import (
    a_failed_probe_state,
    a_fault_state,
    a_probe_state,
    a_run,
    a_summary,
    a_test_state,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 20, 13, tzinfo=UTC)


def test_what_is_written_is_read_back_the_same():
    status = progress(RunStatus(), a_summary(faults=[a_fault_state()]))
    assert read_status({"status": write_status(status)}) == status


def test_moments_are_written_to_the_millisecond():
    moment = "2026-11-20T12:00:31.075Z"
    fault = a_fault_state(requested=moment, applied=moment)
    status = progress(RunStatus(start_time=NOW), a_summary(faults=[fault], gateOpenedAt=moment))
    claims = update([], [Claim(Type.PASSED, "Unknown", "Running")], NOW, 1)
    document = write_status(status.model_copy(update={"conditions": claims}))
    written = re.findall(r"20\d\d-[^\"]*", json.dumps(document))
    assert {"2026-11-20T12:00:00.000Z", moment} <= set(written)
    assert [each for each in written if not re.fullmatch(r".{19}\.\d{3}Z", each)] == []


def test_the_largest_summary_fits_and_says_that_it_was_shortened():
    long = "x" * 2048
    service = {
        "name": "s", "state": "Failed", "readyReplicas": 0, "replicas": 1, "restarts": 0,
        "message": long,
    }  # fmt: skip
    targets = [{"kind": "Pod", "name": "p" * 253, "uid": "u" * 36, "replacedBy": None}] * 50
    status = progress(
        RunStatus(),
        a_summary(
            services=[service] * 32,
            tests=[a_test_state(message=long)] * 64,
            faults=[a_fault_state(message=long, targets=targets)] * 64,
            probes=[a_failed_probe_state(message=long, duringFaults=["f" * 50] * 64)] * 16,
        ),
    )
    document = write_status(status)
    assert len(json.dumps(document)) <= names.MAX_STATUS_BYTES
    assert document["tests"][0]["message"].endswith("(shortened; the report has all of it)")
    assert len(document["tests"]) == 64
    assert write_status(read_status({"status": document})) == document


def test_a_status_that_someone_has_spoiled_keeps_what_can_be_read():
    spoiled = {
        "phase": "Running",
        "startTime": "2026-11-20T12:00:00Z",
        "verdict": "Splendid",
        "tests": [{"name": 7}],
        "unknown": True,
    }
    status = read_status(a_run(status=spoiled))
    assert status.phase is Phase.RUNNING
    assert status.start_time == NOW
    assert status.verdict is None


def test_a_condition_keeps_its_time_until_its_status_flips():
    first = update([], [Claim(Type.PASSED, "Unknown", "Running")], NOW, 1)
    same = update(first, [Claim(Type.PASSED, "Unknown", "Other", "why")], LATER, 2)
    assert (same[0].last_transition_time, same[0].reason) == (NOW, "Other")
    assert same[0].observed_generation == 2
    flipped = update(same, [Claim(Type.PASSED, "True", "AllPassed")], LATER, 2)
    assert flipped[0].last_transition_time == LATER


def test_conditions_without_a_claim_stay():
    first = update([], [Claim(Type.ABORTING, "True", "AbortRequested")], NOW, 1)
    both = update(first, [Claim(Type.PASSED, "False", "AbortRequested")], LATER, 1)
    assert [each.type for each in both] == ["Aborting", "Passed"]


def test_the_proof_of_faults_and_probes_is_counted_for_the_columns():
    summary = a_summary(
        faults=[a_fault_state(), a_fault_state("g", hits=0)],
        probes=[a_probe_state(), a_failed_probe_state("q"), a_probe_state("r", checks=0)],
    )

    status = progress(RunStatus(), summary)

    assert (status.summary.faults, status.summary.probes) == ("1/2", "1/3")
    assert [probe.state for probe in status.probes] == ["Held", "Failed", "Unchecked"]
    assert progress(RunStatus(), a_summary()).summary.faults is None


def test_a_fault_that_met_nothing_says_so_once_the_tests_have_ended():
    fault = a_fault_state(hits=0, firstHit=None)
    running, ended = a_summary(faults=[fault], finished=None), a_summary(faults=[fault])
    assert progress(RunStatus(), running).faults[0].message == ""
    message = progress(RunStatus(), ended).faults[0].message
    assert "met no traffic of a test. Begin the fault while a test is at work" in message
    assert progress(RunStatus(), a_summary(faults=[a_fault_state()])).faults[0].message == ""


def test_counts_are_no_transition_and_everything_else_is_one():
    before = RunStatus(phase=Phase.RUNNING)
    assert not is_transition(before, progress(before, a_summary(gateOpenedAt=None)))
    assert is_transition(before, before.model_copy(update={"phase": Phase.COLLECTING}))
    assert is_transition(before, before.model_copy(update={"verdict": Verdict.PASSED}))
    assert is_transition(before, progress(before, a_summary()))  # the gate has opened
