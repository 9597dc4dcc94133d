"""What is left to chance in a run can be had again: the seed travels to all who draw."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.objects.jobs import job_objects
from seatrial.plan.rundoc import run_document
from seatrial.plan.settings import PlanSettings

from tests.support.builders import a_run

SETTINGS = PlanSettings("registry.example/runner:1")
SUITE = {"name": "suite", "pytest": {"configMap": "suite"}}
LABELLED = {"labels": {"seatrial.dev/readable-by": "runs"}}
STORED = {("ConfigMap", "suite"): {"metadata": LABELLED, "data": {"test_a.py": ""}}}


@pytest.mark.parametrize("given", [{}, {"seed": "f0c1-2.1"}])
def test_the_seed_of_a_run_is_told_to_conductor_and_test_pods(given: dict[str, str]) -> None:
    run = parse_run(a_run(tests=[SUITE], **given))
    blueprint = draw(run.metadata, run.spec, STORED, SETTINGS)
    document = run_document(blueprint, SETTINGS, datetime(2026, 1, 1, tzinfo=UTC))
    assert document.get("seed") == given.get("seed")
    [job] = [
        each.body for test in run.spec.tests for each in job_objects(blueprint, test, SETTINGS)
    ]
    [container] = job["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert told.get("SEATRIAL_SEED") == given.get("seed")
