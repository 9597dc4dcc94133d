"""How a plan is carried out: in order, and what becomes of refusals."""

from __future__ import annotations

import pytest
from seatrial.api import names
from seatrial.api.errors import ClusterError, ForbiddenError
from seatrial.cluster.errors import InvalidObjectError, NotYetError

from tests.support.builders import a_service, a_test
from tests.support.simulation import Simulation

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {"services": [a_service("db")], "tests": [a_test("any", container={"image": "any:1"})]}


def refuse(simulation, what, error, *, times=1000):
    count = 0

    def before_write(write):
        nonlocal count
        if what in write and count < times:
            count += 1
            raise error

    simulation.cluster.before_write = before_write


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidObjectError("spec.ports: Invalid value", status=422), "InvalidSpec"),
        (ForbiddenError("exceeded quota: seatrial", status=403), "QuotaExceeded"),
        (ForbiddenError("violates PodSecurity", status=403), "Forbidden"),
        (ForbiddenError("denied the request: images cannot come from x", status=403), "Forbidden"),
    ],
)
def test_an_object_that_is_refused_ends_the_run_with_its_reason(error, reason):
    simulation = Simulation(**WHOLE)
    refuse(simulation, "Deployment db", error)
    simulation.settle()
    assert simulation.status()["verdict"] == "Error"
    assert simulation.condition("Finished")["reason"] == reason
    assert str(error) in simulation.status()["message"]
    assert "Deployment db" in simulation.status()["message"]


@pytest.mark.parametrize(
    "error",
    [
        ForbiddenError('User "x" cannot create resource "deployments"', status=403),
        ForbiddenError("namespace is being terminated", status=403),
        ForbiddenError("Unauthorized", status=401),
        ClusterError("etcdserver: request timed out", status=500),
    ],
)
def test_what_may_pass_is_tried_again(error):
    simulation = Simulation(**WHOLE)
    refuse(simulation, "Deployment db", error, times=3)
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"


def test_a_namespace_that_is_not_counted_yet_is_waited_for_at_once():
    simulation = Simulation(**WHOLE)
    refuse(simulation, "create Pod", NotYetError("status unknown for quota", status=403), times=2)
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"
    assert simulation.errors == []  # no later look was needed


def test_the_finalizer_and_the_status_are_written_before_anything_else():
    simulation = Simulation(**PLAIN)
    simulation.settle()
    assert simulation.cluster.writes[:3] == [
        "apply IntegrationTestRun checkout",
        "apply IntegrationTestRun checkout/status",
        "create Namespace itr-checkout-00000001",
    ]


def test_the_conductor_s_account_token_and_pod_come_in_this_order():
    simulation = Simulation(**WHOLE)
    simulation.settle()
    ours = [each for each in simulation.cluster.writes if each.endswith(f" {names.CONDUCTOR}")]
    kinds = [
        each.split()[1] for each in ours if each.split()[1] in ("ServiceAccount", "Secret", "Pod")
    ]
    assert kinds == ["ServiceAccount", "Secret", "Pod"]


def test_tokens_are_drawn_once_and_differ_from_test_to_test_and_run_to_run():
    tests = [a_test(name, container={"image": "any:1"}) for name in ("any", "other")]
    tokens = set()
    for _ in range(2):
        simulation = Simulation(**{**WHOLE, "tests": tests})
        simulation.until("Provisioning")
        secret = simulation.cluster.objects["Secret", "itr-checkout-00000001", names.ACCESS_SECRET]
        tokens.update(secret["stringData"].values())
    assert len(tokens) == 2 * len(tests)
    assert all(len(each) >= 32 for each in tokens)


def test_a_token_that_ends_before_the_run_can_ends_it_before_it_begins():
    simulation = Simulation(**PLAIN, timeout="3h")
    simulation.cluster.longest_token_s = 3600
    simulation.settle()
    status = simulation.status()
    assert status["verdict"] == "Error"
    assert "gives tokens for 1h at most" in status["message"]
    assert "Shorten spec.timeout" in status["message"]
    assert not any(each.startswith("create Pod") for each in simulation.cluster.writes)


def test_no_token_is_ever_logged(caplog):
    caplog.set_level("DEBUG")
    simulation = Simulation(**WHOLE)
    simulation.until("Provisioning")
    secret = simulation.cluster.objects["Secret", "itr-checkout-00000001", names.ACCESS_SECRET]
    assert secret["stringData"]
    assert not [token for token in secret["stringData"].values() if token in caplog.text]
    assert "a-token" not in caplog.text


def test_a_report_of_someone_else_stays_theirs():
    simulation = Simulation(**PLAIN)
    theirs = {"kind": "ConfigMap", "metadata": {"name": "checkout-report", "namespace": "shop"}}
    simulation.cluster.objects["ConfigMap", "shop", "checkout-report"] = theirs
    simulation.settle()
    assert simulation.cluster.objects["ConfigMap", "shop", "checkout-report"] == theirs
    assert simulation.condition("ReportAvailable")["reason"] == "ReportMissing"
    assert simulation.status()["verdict"] == "Passed"


def test_what_is_drawn_goes_into_the_texts_of_its_secret_and_comes_before_its_pods():
    simulation = Simulation(services=[{"name": "db", "preset": "redis"}], tests=PLAIN["tests"])
    simulation.until("Provisioning")
    (data,) = [
        body["stringData"]
        for (kind, _, name), body in simulation.cluster.objects.items()
        if (kind, name) == ("Secret", names.CONNECTIONS_SECRET)
    ]
    assert data["db.url"] == f"redis://default:{data['db.password']}@db:6379/0"
    assert len(data["db.password"]) == 64
    assert data["db.password"].isalnum()  # no command line takes it for an option
    assert data["db.url"] in data[names.CONNECTIONS_KEY]
    writes = simulation.cluster.writes
    made = writes.index(f"create Secret {names.CONNECTIONS_SECRET}")
    assert made < writes.index(f"create Pod {names.CONDUCTOR}")
    assert made < writes.index("apply StatefulSet db")
    assert data["db.password"] not in str(simulation.status())


GOING = (
    'ConfigMap shop/checkout-report: configmaps "checkout-report" is forbidden: unable to create'
    " new content in namespace shop because it is being terminated"
)


def test_a_namespace_that_is_going_takes_no_report_and_that_is_told_once(caplog):
    simulation = Simulation(**PLAIN)
    refuse(simulation, "create ConfigMap checkout-report", ForbiddenError(GOING, status=403))
    simulation.settle()
    assert simulation.errors == []
    condition = simulation.condition("ReportAvailable")
    assert (condition["reason"], condition["message"]) == ("ReportMissing", GOING)
    [record] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert record.getMessage() == "a report cannot be copied"
    assert (record.run, record.error) == ("checkout", GOING)


def test_a_missing_right_to_copy_a_report_may_still_be_granted():
    simulation = Simulation(**PLAIN)
    error = ForbiddenError('User "x" cannot create resource "configmaps"', status=403)
    refuse(simulation, "create ConfigMap checkout-report", error, times=3)
    simulation.settle()
    assert simulation.condition("ReportAvailable")["reason"] == "ReportCopied"
