"""What kstatus takes a run for, and with it Flux: in progress until its verdict stands."""

import pytest
from seatrial.api.verdict import Judgement, Verdict
from seatrial.plan.conditions import Claim, ended, in_progress

from tests.support.builders import a_run
from tests.support.kstatus import kstatus


def with_conditions(claims: list[Claim]):
    conditions = [{"type": str(each.type), "status": each.status} for each in claims]
    status = {"observedGeneration": 1, "conditions": conditions}
    return a_run(status=status)


def test_a_run_without_a_verdict_is_in_progress():
    assert kstatus(a_run()) == "InProgress"
    assert kstatus(with_conditions(in_progress("Running", ""))) == "InProgress"


@pytest.mark.parametrize("verdict", Verdict)
def test_only_a_run_that_has_passed_is_current(verdict):
    claims = ended(Judgement(verdict, "Reason", ""), has_faults=False)

    assert kstatus(with_conditions(claims)) == ("Current" if verdict == "Passed" else "Failed")
