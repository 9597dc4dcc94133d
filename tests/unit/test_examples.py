"""The examples' generated parts are what their sources say, and the broken shop is the shop."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from seatrial.api.names import KIND
from seatrial.api.run import parse_run
from seatrial.plan.validation import Limits, validate

EXAMPLES = Path(__file__).parents[2] / "examples"
BUNDLE = runpy.run_path(str(EXAMPLES / "bundle.py"))


def services(example: str) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((EXAMPLES / example / "run.yaml").read_text())
    [run] = [each for each in documents if each["kind"] == KIND]
    found: list[dict[str, Any]] = run["spec"]["services"]
    return found


@pytest.mark.parametrize("run", BUNDLE["BUNDLES"])
def test_the_config_maps_hold_the_files_they_are_made_from(run: str) -> None:
    assert (EXAMPLES / run).read_text() == BUNDLE["bundled"](run), "run: python3 examples/bundle.py"


def test_the_broken_shop_differs_from_the_shop_in_its_bug_alone() -> None:
    shop, broken = services("shop"), services("shop-broken")
    orders = broken[-1]
    assert orders["env"].pop("PAYMENTS_FALLBACK") == "off"
    assert shop[-1]["env"].pop("PAYMENTS_FALLBACK") == "on"
    assert broken == shop


PAIRS = {
    "circuit-breaker": ("quotes", "BREAKER_COUNTS_REFUSALS"),
    "timeout-fallback": ("quotes", "RATES_TIMEOUT_S"),
    "partition": ("mirror", "RESUMES_FROM"),
    "database-restart": ("orderbook", "ACKNOWLEDGES"),
    "replica-lost": ("front", "ATTEMPTS"),
    "service-discovery": ("router", "DISCOVERS"),
    "postgres": ("accounts", "TRANSACTIONS"),
    "user-creation": ("mail", "REMEMBERED"),
    "order-processing": ("payments", "ONE_CHARGE_FOR_EACH"),
    "saga": ("orders", "UNDOES"),
    "event-sourcing": ("wallets", "CHECKS_VERSION"),
    "authentication": ("records", "CHECKS_AUDIENCE"),
    "cache-restart": ("catalogue", "TELLS_THE_CACHE"),
    "pool-exhausted": ("tickets", "GIVES_BACK"),
    "queue-rabbitmq": ("packing", "ACKNOWLEDGES"),
    "queue-kafka": ("packing", "ONE_PARCEL_FOR_EACH"),
}


def run_of(example: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((EXAMPLES / example / "run.yaml").read_text())
    return next(each for each in documents if each["kind"] == KIND)


def taken_out(spec: dict[str, Any], service: str, variable: str) -> str:
    """Take a variable out of a service's environment, and give its value."""
    [found] = [each for each in spec["services"] if each["name"] == service]
    if "env" in found:
        return str(found["env"].pop(variable))
    documents = list(yaml.safe_load_all(found["manifests"].pop("inline")))
    found["manifests"]["documents"] = documents
    [pods] = [each["spec"]["template"] for each in documents if each["kind"] == "Deployment"]
    environment = pods["spec"]["containers"][0]["env"]
    [entry] = [each for each in environment if each["name"] == variable]
    return str(entry.pop("value"))


@pytest.mark.parametrize(("example", "switch"), PAIRS.items())
def test_a_broken_twin_differs_in_one_switch_alone(example: str, switch: tuple[str, str]) -> None:
    service, variable = switch
    good, broken = run_of(example)["spec"], run_of(f"{example}-broken")["spec"]
    values = [taken_out(spec, service, variable) for spec in (good, broken)]
    assert good == broken
    assert values[0] != values[1]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/run.yaml")), ids=lambda p: p.parent.name)
def test_every_example_can_work(path: Path) -> None:
    run = parse_run(run_of(path.parent.name))
    assert [str(problem) for problem in validate(run.spec, None, Limits())] == []
    annotations = run_of(path.parent.name)["metadata"].get("annotations", {})
    expected = "Failed" if path.parent.name.endswith("-broken") else None
    assert annotations.get("seatrial.dev/expected-verdict") == expected
