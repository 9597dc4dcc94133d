"""Of which Secrets the operator knows what they were: those that a fault removes as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.settings import PlanSettings
from seatrial.plan.spares import has_spares, spares

from tests.support.builders import a_fault, a_run, a_service, a_test

LABELLED = {"name": "words", "labels": {"seatrial.dev/readable-by": "runs"}}
FOUND: dict[tuple[str, str], Any] = {
    ("Secret", "words"): {"metadata": LABELLED, "data": {"a": "b2xk"}, "type": "Opaque"}
}
LOGIN = """
{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {a: geheim}}
---
{apiVersion: v1, kind: Secret, metadata: {name: other}, stringData: {a: geheim}}
"""


def a_run_that(**configuration: Any) -> Any:
    fault = a_fault("f", configuration=configuration, **{"for": "5s"})
    services = [
        a_service(envFrom=[{"secret": "words"}]),
        a_service("login", manifests={"inline": LOGIN}),
    ]
    return parse_run(a_run(services=services, faults=[fault], tests=[a_test()]))


@pytest.mark.parametrize(
    ("change", "name", "content"),
    [
        ({"secret": "login", "remove": {}}, "login", {"stringData": {"a": "geheim"}}),
        (
            {"secret": "words", "remove": {}, "restart": True},
            "seatrial-copy.words",
            {"data": {"a": "b2xk"}, "type": "Opaque"},
        ),
    ],
)
def test_a_secret_is_known_by_its_name_in_the_runs_namespace(change, name, content):
    run = a_run_that(**change)
    settings = PlanSettings("registry.example/runner:1", read_secrets=True)
    found = spares(draw(run.metadata, run.spec, FOUND, settings))
    assert has_spares(run.spec)
    assert list(found) == [name]
    assert content.items() <= found[name].items()
    assert found[name]["metadata"]["namespace"].startswith("itr-")


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "login", "remove": {"keys": ["a"]}},
        {"secret": "login", "set": {"a": "b"}},
        {"configMap": "look", "remove": {}},
    ],
)
def test_nothing_else_is_kept_in_memory(change):
    assert not has_spares(a_run_that(**change).spec)
