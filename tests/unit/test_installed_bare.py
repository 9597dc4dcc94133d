"""
``pip install seatrial``, without an extra: scenarios run with its dependencies alone.

What development brings beside them is here, too, and would hide a dependency that nobody declared:
its modules are not to be found in the processes of these tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.loopback import Loopback

EXAMPLES = Path(__file__).parents[2] / "examples"
SCENARIO = """
tests:
- name: asks
  scenario:
  - http: {get: "http://orders:8080/orders/{{ 'o-1' | lower }}"}
    eventually: {within: 10s}
    expect: ["response.json.status == 'paid'", "includes(response.json, {'id': 'o-1'})"]
  - forEach: {in: "['a', 'b']", item: each, parallelism: 2}
    set: {made: each}
  - webhook: {name: called, answer: {status: 204}}
- name: has-no-driver
  scenario:
  - redis: {url: "redis://orders:6379/0", command: PING}
"""
BLOCKS = """
import sys

ABSENT = frozenset({absent!r})


class Blocks:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Blocks())
"""


def installed(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Give the distributions that come with one, and itself."""
    found = {canonicalize_name(name)}
    for each in map(Requirement, requires(name) or []):
        chosen = [{"extra": extra} for extra in ("", *extras)]
        if each.marker is None or any(map(each.marker.evaluate, chosen)):
            found |= installed(each.name, frozenset(each.extras))
    return found


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of a process that has nothing but what a bare installation brings."""
    there = installed("seatrial")
    absent = {
        module
        for module, owners in packages_distributions().items()
        if not there & {canonicalize_name(owner) for owner in owners}
    }
    assert {"websockets", "redis", "grpc", "sqlalchemy", "kopf", "hypothesis"} <= absent
    assert not {"httpx", "pydantic", "pytest", "yaml", "seatrial", "seatrial_runner"} & absent
    (tmp_path / "sitecustomize.py").write_text(BLOCKS.format(absent=sorted(absent)))
    # Plugins of pytest that development brings would be looked for by their entry points.
    return {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def done(environ: dict[str, str], folder: Path, *command: str) -> str:
    words = [sys.executable, *command]
    run = subprocess.run(
        words, env=environ, cwd=folder, capture_output=True, text=True, check=False
    )
    return run.stdout + run.stderr


def test_a_scenario_runs_and_one_without_its_driver_says_what_to_install(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "scenario.yaml").write_text(textwrap.dedent(SCENARIO))
    with Loopback() as orders:
        orders.answer("GET /orders/o-1", json={"status": "paid", "id": "o-1"})
        said = done(
            environ,
            tmp_path,
            *("-m", "pytest", "-p", "seatrial_runner.runner.plugin", "-rA", "-v"),
            *(f"--service=orders={orders.url}", "scenario.yaml"),
        )
    assert re.search(r"::asks PASSED", said), said
    assert re.search(r"::has-no-driver (FAILED|ERROR)", said), said
    assert "pip install 'seatrial[redis]'" in said, said


def test_the_command_line_checks_a_run(environ: dict[str, str], tmp_path: Path) -> None:
    path = str(EXAMPLES / "shop/run.yaml")
    said = done(environ, tmp_path, "-m", "seatrial.cli", "validate", path)
    assert said.endswith("shop is valid\n"), said
