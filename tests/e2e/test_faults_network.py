"""Every kind of network fault on a real cluster: its effect, its end, its proof."""

from __future__ import annotations

import pytest
from seatrial.api import families

from tests.e2e.breaking import (
    MANUAL,
    assert_passed,
    assert_proven,
    fault_of,
    peer,
    run_of,
    suite,
)
from tests.e2e.cluster import Json, Run
from tests.e2e.conftest import Desk

# name of the fault -> port of the service, and the fault's kind. Every fault is started by the
# suite, which looks at its effect; see ``inside/network_kinds.py``.
FAULTS: dict[str, tuple[str, Json]] = {
    "latency": ("latency", {"latency": {"delay": "200ms"}}),
    "latency-too": ("latency", {"latency": {"delay": "200ms"}}),
    "latency-request": (
        "latency-req",
        {"latency": {"delay": "300ms", "direction": "request"}},
    ),
    "latency-response": (
        "latency-res",
        {"latency": {"delay": "300ms", "direction": "response"}},
    ),
    **{
        f"jitter-{each}": (
            "jitter",
            {"latency": {"delay": "200ms", "jitter": "100ms", "distribution": each}},
        )
        for each in ("uniform", "normal", "pareto")
    },
    "blackhole": ("blackhole", {"blackhole": {}}),
    "blackhole-response": ("blackhole-res", {"blackhole": {"direction": "response"}}),
    "refuse": ("refuse", {"refuse": {}}),
    "refuse-too": ("refuse", {"refuse": {}}),
    "reset": ("reset", {"reset": {}}),
    "reset-later": ("reset-later", {"reset": {"after": "400ms"}}),
    "bandwidth": ("bandwidth", {"bandwidth": {"rate": "64Ki", "direction": "response"}}),
    "slow-close": ("slow-close", {"slowClose": {"delay": "500ms"}}),
    "connection-limit": ("limit", {"connectionLimit": {"connections": 2}}),
    "corrupt": ("corrupt", {"corrupt": {"share": "10%"}}),
    "corrupt-seed-5": ("corrupt", {"corrupt": {"share": "10%"}, "seed": 5}),
    "corrupt-seed-5-again": ("corrupt", {"corrupt": {"share": "10%"}, "seed": 5}),
    "corrupt-seed-6": ("corrupt", {"corrupt": {"share": "10%"}, "seed": 6}),
    "partition": ("partition", {"partition": {}}),
}


def spec() -> Json:
    ports = [*dict.fromkeys(port for port, _ in FAULTS.values()), "clean"]
    numbers = {port: 9000 + index for index, port in enumerate(ports)}
    return {
        "timeout": "5m",
        "services": [peer("wire", wire=numbers)],
        "faults": [
            {
                "name": name,
                "target": {
                    "service": "wire",
                    "port": port,
                    **({"from": ["tests"]} if "partition" in kind else {}),
                },
                **kind,
                "for": "60s",
                "when": MANUAL,
            }
            for name, (port, kind) in FAULTS.items()
        ],
        "tests": [{"name": "kinds", "pytest": {"configMap": "network-kinds"}, "timeout": "3m"}],
    }


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    return run_of(shared_desk, "network", spec(), suite("network-kinds", "network_kinds"))


def test_every_kind_is_seen_from_outside(run: Run, status: Json) -> None:
    assert_passed(run, status)


@pytest.mark.parametrize("name", FAULTS)
def test_a_network_fault_is_proven(name: str, status: Json) -> None:
    fault = assert_proven(status, name)
    assert fault["revertedBy"] == "test"


def test_all_kinds_are_here() -> None:
    kinds = {key for _, kind in FAULTS.values() for key in kind if key != "seed"}
    assert kinds == set(families.NETWORK)


def test_what_a_test_did_not_stop_ends_by_itself(desk: Desk) -> None:
    run = run_of(
        desk,
        "deadline",
        {
            "services": [peer("wire", wire={"echo": 9000})],
            "faults": [
                {
                    "name": "slow",
                    "target": {"service": "wire"},
                    "latency": {"delay": "300ms"},
                    "for": "6s",
                    "when": {"test": "deadline"},
                }
            ],
            "tests": [
                {"name": "deadline", "pytest": {"configMap": "deadline"}, "timeout": "3m"},
            ],
        },
        suite("deadline", "deadline"),
    )
    status = run.finished()
    assert_passed(run, status)
    assert_proven(status, "slow")
    assert fault_of(status, "slow")["revertedBy"] == "deadline"
