"""Envoy's configuration fits into a ConfigMap, or the run is refused before it begins."""

from __future__ import annotations

import json
from typing import Any

import pytest
from seatrial.api.errors import InvalidSpecError
from seatrial.api.faults import Fault
from seatrial.plan.envoy_size import envoy_bytes
from seatrial.plan.fronts import Front, FrontPort
from seatrial.plan.gateway import plan_gateway
from seatrial.plan.objects.envoy import envoy_bootstrap

from tests.support.builders import a_fault, a_service
from tests.unit.test_gateway_of_a_run import a_run_with
from tests.unit.test_plan_objects import blueprint

Json = dict[str, Any]
WORDY = {
    "methods": ["GET", "POST", "PROPFIND"],
    "pathPrefix": "/" + "ä" * 500,
    "headers": {f"x-header-{n}": '"' * 128 for n in range(8)},
}
KINDS: list[Json] = [
    {"abort": {"status": 503}, "match": WORDY},
    {"delay": "1s"},
    {"rate": "1Ki", "match": WORDY},
    {"body": {"replace": "<\n>" * 1300}},
    {"body": {"contentType": "text/html"}},
]


def http(name: str, kind: Json, **target: Any) -> Json:
    return a_fault(name, target={"service": "orders", **target}, http=kind, **{"for": "5s"})


@pytest.mark.parametrize("sources", [[], ["shop", "tests"]], ids=["everyone", "two-sources"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: next(iter(kind)))
@pytest.mark.parametrize("count", [1, 20])
def test_it_is_never_larger_than_foretold(count: int, kind: Json, sources: list[str]) -> None:
    aim = {"from": sources} if sources else {}
    faults = [Fault.model_validate(http("f" * 48 + f"{n:02}", kind, **aim)) for n in range(count)]
    fronts = {"orders": [Front("o" * 50, (FrontPort("http", 8080), FrontPort("admin", 9090)))]}
    plan = plan_gateway(faults, fronts)
    assert plan is not None
    listeners = [(each.service, doc) for each in plan.carried for doc in each.listeners]
    real = len(json.dumps(envoy_bootstrap(listeners, faults), ensure_ascii=False).encode())

    assert real <= envoy_bytes(faults, fronts) <= 3 * real + 20_000


def test_a_run_whose_configuration_is_too_large_is_refused_with_the_remedy() -> None:
    # The most that a spec may have, from 16 services and the tests.
    services = [a_service("payments"), *(a_service(f"s{n}") for n in range(15))]
    sources = ["tests", *(f"s{n}" for n in range(15))]
    kind = {"body": {"replace": "x" * 4096}}
    faults = [
        a_fault(
            f"f{n}", target={"service": "payments", "from": sources}, http=kind, **{"for": "5s"}
        )
        for n in range(64)
    ]
    with pytest.raises(InvalidSpecError, match=r"spec.faults: .*of kind http need a configuration"):
        blueprint(**a_run_with(*faults, services=services))

    assert blueprint(**a_run_with(*faults[:1], services=services))
