"""The examples' generated parts are what their sources say, and the broken shop is the shop."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from seatrial.api.names import KIND

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
