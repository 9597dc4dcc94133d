"""What a run with webhooks gets in its namespace, and what variables its scenarios see."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from seatrial.api import names
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.naming import copy_name
from seatrial.plan.objects import environment
from seatrial.plan.settings import PlanSettings
from seatrial.plan.validation import Limits, validate
from seatrial_runner.runner.session import Session
from seatrial_runner.scenario.given import given_variables

from tests.support.builders import a_run, a_service, a_test
from tests.support.scenarios import a_world, run_steps
from tests.unit.test_policies_of_a_run import may, policies

READABLE = {"labels": {names.LABEL_READABLE: names.LABEL_READABLE_VALUE}}
FOUND: dict[tuple[str, str], Any] = {
    ("ConfigMap", "certs"): {"metadata": READABLE, "data": {"ca.crt": "PEM"}},
    ("Secret", "keys"): {"metadata": READABLE, "data": {"token": "eA=="}, "type": "Opaque"},
    ("ConfigMap", "suite"): {"metadata": READABLE, "data": {"test_it.py": "x"}},
}
SETTINGS = PlanSettings("registry.example/runner:1")
WAITS = {"webhook": {"name": "paid"}}
STEP = {"scenario": [WAITS]}
GROUPED = {"scenario": [{"parallel": [{"steps": [{"steps": [WAITS]}]}]}]}
CALLED = {"scenarios": [{"name": "inner", "steps": [WAITS]}]}
CALLS = {"scenario": [{"scenario": {"name": "inner"}}]}


def made(**spec: Any) -> dict[tuple[str, str], Any]:
    run = parse_run(a_run(**spec))
    drawn = draw(run.metadata, run.spec, FOUND, SETTINGS)
    started = datetime(2026, 11, 20, tzinfo=UTC)
    objects = environment(drawn, SETTINGS, started=started, seal="x", ready=["orders"])
    return {(each.key.kind, each.key.name): each.body for each in objects}


@pytest.mark.parametrize(
    "spec",
    [
        {"tests": [a_test(**STEP)]},
        {"tests": [a_test(**GROUPED)]},
        {"tests": [a_test(**CALLS)], **CALLED},
        {"tests": [a_test(**STEP)], "services": []},
    ],
)
def test_services_find_a_webhook_under_a_name_that_stays(spec: dict[str, Any]) -> None:
    objects = made(**spec)
    service = objects["Service", "seatrial-webhooks"]["spec"]
    conductor = objects["Pod", "seatrial-conductor"]["metadata"]["labels"]
    assert service["ports"] == [{"name": "http", "port": 80, "targetPort": names.WEBHOOKS_PORT}]
    assert service["selector"].items() <= conductor.items()
    run = json.loads(objects["ConfigMap", "seatrial-run"]["data"]["run.json"])
    assert run["webhooks"] is True


def test_a_run_without_webhooks_has_no_port_for_them() -> None:
    objects = made()
    assert ("Service", "seatrial-webhooks") not in objects
    assert "webhooks" not in json.loads(objects["ConfigMap", "seatrial-run"]["data"]["run.json"])
    specs = policies(services=[a_service()], tests=[a_test()])
    assert not may(specs, "service", "conductor", names.WEBHOOKS_PORT)


@pytest.mark.parametrize("source", ["service", "test", "gateway"])
def test_who_may_call(source: str) -> None:
    specs = policies(services=[a_service()], tests=[a_test(**STEP)])
    called = may(specs, source, "conductor", names.WEBHOOKS_PORT)
    assert called is (source != "gateway")
    assert not may(specs, source, "conductor", names.CONDUCTOR_PORT)


def test_a_scenario_may_send_to_its_own_webhook() -> None:
    step = {"http": {"post": "http://seatrial-webhooks/paid"}}
    with_it = parse_run(a_run(tests=[a_test(scenario=[step, WAITS])])).spec
    without = parse_run(a_run(tests=[a_test(scenario=[step])])).spec
    assert validate(with_it, None, Limits()) == []
    assert "no service of this run is named 'seatrial-webhooks'" in str(
        validate(without, None, Limits())[0]
    )


# Variables ---------------------------------------------------------------------------------------

ENV_FROM = [{"configMap": "certs"}, {"secret": "keys"}]


def test_variables_reach_scenarios_under_names_that_mean_nothing_to_the_process() -> None:
    suite = a_test("suite", pytest={"configMap": "suite"})
    objects = made(envFrom=ENV_FROM, tests=[a_test(), suite])
    pods = [
        objects["Pod", "seatrial-conductor"]["spec"],
        objects["Job", "test-suite"]["spec"]["template"]["spec"],
    ]
    expected = [
        {"prefix": "SEATRIAL_ENV_", "configMapRef": {"name": copy_name("certs")}},
        {"prefix": "SEATRIAL_SECRET_", "secretRef": {"name": copy_name("keys")}},
    ]
    assert [pod["containers"][0]["envFrom"] for pod in pods] == [expected, expected]
    assert objects["ConfigMap", copy_name("certs")]["data"] == {"ca.crt": "PEM"}
    assert objects["Secret", copy_name("keys")]["data"] == {"token": "eA=="}


ENVIRON = {
    "SEATRIAL_ENV_ca.crt": "PEM",
    "SEATRIAL_SECRET_token": "s3cret-token",
    "SEATRIAL_TOKEN": "ours",
    "HOME": "/root",
}


def test_variables_are_what_has_the_prefix_and_no_more() -> None:
    given = given_variables(ENVIRON)
    assert given == {
        "environ": {"ca.crt": "PEM", "token": "s3cret-token"},
        "secrets": ("s3cret-token",),
    }


def test_a_laptop_sees_the_same_variables() -> None:
    world = Session([], [], "", ENVIRON).world()
    assert world.environ["ca.crt"] == "PEM"
    assert world.environ["token"] == "s3cret-token"
    assert world.secrets == ("s3cret-token",)
    assert "s3cret-token" not in {k: v for k, v in world.environ.items() if k != "token"}.values()


def test_what_is_secret_is_masked_wherever_it_turns_up() -> None:
    step = {"expect": ["env.token == 'other' && env['ca.crt'] == 'PEM'"]}
    result = run_steps([step], a_world(**given_variables(ENVIRON)))
    assert result.outcome == "failed"
    assert "s3cret-token" not in result.message + result.details
    assert "***" in result.message + result.details
