"""Taps: what the conductor is told, what is refused, and the memory that they get."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.objects import conductor_pod
from seatrial.plan.rundoc import run_document
from seatrial.plan.settings import PlanSettings
from seatrial.plan.validation import Limits, validate

from tests.support.builders import a_run

SETTINGS = PlanSettings("registry.example/runner:1")
LOG = {"name": "log", "preset": "kafka"}
TEST = {"name": "a", "scenario": [{"expect": ["true"]}]}
TAP = {"name": "orders", "from": "log", "topic": "orders"}


def a_tapped_run(*taps: dict[str, Any]) -> Any:
    return parse_run(a_run(services=[LOG], tests=[TEST], taps=list(taps)))


def test_the_conductor_is_told_the_step_that_subscribes_from_the_first_message() -> None:
    run = a_tapped_run(TAP)
    blueprint = draw(run.metadata, run.spec, {}, SETTINGS)
    document = run_document(blueprint, SETTINGS, datetime(2026, 1, 1, tzinfo=UTC))
    assert document["taps"] == [{**TAP, "subscribe": True, "earlier": True}]


def test_what_records_has_memory_of_its_own() -> None:
    limits = []
    for taps in ([], [TAP]):
        run = a_tapped_run(*taps)
        pod = conductor_pod(draw(run.metadata, run.spec, {}, SETTINGS), SETTINGS).body
        [container] = pod["spec"]["containers"]
        limits.append(container["resources"]["limits"]["memory"])
    assert limits == ["512Mi", "704Mi"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param(
            {"from": "lgo"},
            "spec.taps[0].from: no service of this run is named 'lgo'. Did you mean log?",
            id="service",
        ),
        pytest.param(
            {"from": "nats://events:4222"},
            "spec.taps[0].from: a broker of nats has no topic. It has: subject, stream.",
            id="place",
        ),
        pytest.param({"topic": "{{ x"}, "spec.taps[0].topic: cannot be filled in", id="template"),
    ],
)
def test_a_tap_that_cannot_work_is_refused(wrong: dict[str, str], says: str) -> None:
    run = a_tapped_run({**TAP, **wrong})
    [problem] = map(str, validate(run.spec, None, Limits()))
    assert problem.startswith(says)
