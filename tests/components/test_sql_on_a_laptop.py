"""The scenarios of ``tests/e2e/inside/sql.yaml``, which pass in a pod, on loopback."""

from __future__ import annotations

from pathlib import Path

import yaml
from seatrial_runner.scenario import World, expand, run_instance

FILE = Path(__file__).parents[1] / "e2e/inside/sql.yaml"


def test_the_same_scenarios_pass(mariadb_url: str, tmp_path: Path) -> None:
    text = FILE.read_text().replace("/dev/shm", str(tmp_path))
    for test in yaml.safe_load(text)["tests"]:
        [instance] = expand(test)
        result = run_instance(instance, World(connections={"mysql": mariadb_url}))
        assert result.outcome == "passed", f"{result.message}\n{result.details}"
