"""The scenarios of ``tests/e2e/inside/sql.yaml``, which pass in a pod, on loopback, by pytest."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.support.laptop import by_pytest, connected, outcomes_by_name

FILE = Path(__file__).parents[1] / "e2e/inside/sql.yaml"


def test_the_same_scenarios_pass(mariadb_url: str, tmp_path: Path) -> None:
    text = FILE.read_text().replace("/dev/shm", str(tmp_path))
    (tmp_path / "test_sql.yaml").write_text(text)
    said = by_pytest(tmp_path / "test_sql.yaml", *connected({"mysql": mariadb_url}))
    assert outcomes_by_name(said) == {
        test["name"]: "PASSED" for test in yaml.safe_load(text)["tests"]
    }
