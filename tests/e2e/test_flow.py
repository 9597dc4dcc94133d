"""Groups, loops, calls, setup, teardown, tags and snapshots on a real node."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import yaml
from seatrial.api.names import LABEL_READABLE, LABEL_READABLE_VALUE

from tests.e2e.breaking import INSIDE, report_part, run_of
from tests.e2e.cluster import Json, Run
from tests.e2e.conftest import Desk
from tests.support.flow_outcomes import ERROR, FAILED, PASSED

STORE = {
    "name": "store",
    "image": "docker.io/seatrial/shop:1",
    "command": ["python3", "/app/store/store.py", "8080"],
    "files": {"/app/store/store.py": (INSIDE / "store.py").read_text()},
    "ports": [{"name": "http", "port": 8080}],
}


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    snapshots = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "stored", "labels": {LABEL_READABLE: LABEL_READABLE_VALUE}},
        "data": {"flow.snapshots.json": (INSIDE / "flow.snapshots.json").read_text()},
    }
    spec = {
        "timeout": "5m",
        "services": [STORE],
        "snapshots": {"configMap": "stored"},
        "select": {"without": ["never"]},
        **yaml.safe_load((INSIDE / "flow.yaml").read_text()),
    }
    return run_of(shared_desk, "flow", spec, snapshots)


def test_each_test_ends_as_it_does_on_a_laptop(status: Json) -> None:
    tests = {each["name"]: each for each in status["tests"]}
    assert set(tests) == {*PASSED, *FAILED, *ERROR}, "what is not selected is not there"
    for name in PASSED:
        assert tests[name]["outcome"] == "Passed", tests[name]
    for expected, outcome in ((FAILED, "Failed"), (ERROR, "Error")):
        for name, words in expected.items():
            assert tests[name]["outcome"] == outcome, tests[name]
            assert words in tests[name]["message"]
    assert status["verdict"] == "Failed"


def test_how_long_it_took_to_settle_is_in_the_report(run: Run, status: Json) -> None:
    junit = ElementTree.fromstring(report_part(run, "junit.xml.gz"))
    found = {
        each.get("name"): each.get("value") for each in junit.iter("property") if each.get("name")
    }
    settled = found["settled: paid in the end"]
    assert settled is not None
    assert float(settled.removesuffix("s")) > 0.2  # the service wants several looks
