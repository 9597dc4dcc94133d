"""When a fault begins and ends, what chance chooses, and what is said when the proof is missing."""

from __future__ import annotations

from tests.e2e.breaking import (
    MANUAL,
    MOMENTS,
    assert_passed,
    assert_proven,
    fault_of,
    moment,
    peer,
    peer_manifests,
    run_of,
    suite,
)
from tests.e2e.cluster import Json, Run, reason
from tests.e2e.conftest import Desk

WIRE = {"echo": 9000}
HTTP = {"http": 8080}


def latency(name: str, service: str, lasts: str, when: Json | None = None, **more: object) -> Json:
    return {
        "name": name,
        "target": {"service": service},
        "latency": {"delay": "100ms"},
        "for": lasts,
        "when": when or {},
        **more,
    }


def test_faults_follow_one_another_and_come_again(desk: Desk) -> None:
    run = run_of(
        desk,
        "timeline",
        {
            "services": [peer("web", http=HTTP, wire=WIRE)],
            "faults": [
                latency("first", "web", "1s", {"test": "busy", "after": "500ms"}),
                latency("second", "web", "1s", {"fault": "first"}),
                latency("third", "web", "1s", {"fault": "second", "after": "500ms"}),
                latency("again", "web", "1s", {"test": "busy", "every": "3s", "times": 3}),
            ],
            "tests": [{"name": "busy", "pytest": {"configMap": "busy"}, "timeout": "1m"}],
        },
        suite("busy", "busy"),
    )
    status = run.finished()
    assert_passed(run, status)
    first, second, third, again = (
        assert_proven(status, each) for each in ("first", "second", "third", "again")
    )
    assert moment(first["reverted"]) <= moment(second["requested"])
    wait_s = (moment(third["requested"]) - moment(second["reverted"])).total_seconds()
    assert wait_s >= 0.5
    assert again["times"] == 3
    assert {each["revertedBy"] for each in (first, second, third, again)} == {"deadline"}


def seeded(name: str, seed: int | None) -> Json:
    kill: Json = {
        "name": "lose-two",
        "target": {"service": "web", "pods": 2},
        "kill": {},
        "when": MANUAL,
        "recovery": {"within": "60s"},
    }
    return {
        "services": [
            peer_manifests(
                "web",
                http=HTTP,
                workload={
                    "kind": "StatefulSet",
                    "replicas": 5,
                    "podManagementPolicy": "Parallel",
                },
            )
        ],
        "faults": [kill if seed is None else {**kill, "seed": seed}],
        "tests": [
            {
                "name": "t",
                "scenario": [
                    {"fault": {"start": "lose-two"}},
                    {
                        "http": {"get": "http://web:9080/"},
                        "eventually": {"within": "10s"},
                    },
                ],
            }
        ],
    }


def test_what_chance_chose_can_be_had_again(desk: Desk) -> None:
    def chosen(run: Run, status: Json) -> list[str]:
        assert_passed(run, status)
        return sorted(each["name"] for each in fault_of(status, "lose-two")["targets"])

    run = run_of(desk, "by-chance", seeded("by-chance", None))
    status = run.finished()
    first = chosen(run, status)
    seed = fault_of(status, "lose-two")["seed"]
    assert seed is not None
    # All at once: each only waits for pods.
    runs = [
        run_of(desk, name, seeded(name, number))
        for name, number in {"again": seed, "other-1": 1, "other-2": 2, "other-3": 3}.items()
    ]
    again, *others = [chosen(run, run.finished(timeout_s=240)) for run in runs]
    assert fault_of(runs[0].status, "lose-two")["seed"] == seed
    assert again == first
    assert len({tuple(each) for each in [first, *others]}) > 1


def test_a_fault_that_meets_nothing_proves_nothing(desk: Desk) -> None:
    run = run_of(
        desk,
        "unmet",
        {
            "services": [peer("web", http=HTTP), peer("lonely", http=HTTP)],
            "faults": [
                latency("unmet", "lonely", "1s", {"test": "t"}),
                {
                    "name": "unmatched",
                    "target": {"service": "web"},
                    "http": {"abort": {"status": 503}, "match": {"path": "/nowhere"}},
                    "for": "1s",
                    "when": {"test": "t"},
                },
            ],
            "tests": [{"name": "t", "pytest": {"configMap": "elsewhere"}, "timeout": "1m"}],
        },
        suite("elsewhere", "elsewhere"),
    )
    status = run.finished()
    assert status["verdict"] == "Inconclusive"
    assert reason(status, "FaultsProven") == "FaultMetNoTraffic"
    for name in ("unmet", "unmatched"):
        fault = fault_of(status, name)
        assert fault["hits"] == 0
        missing = [each for each in MOMENTS if each != "firstHit" and not fault.get(each)]
        assert not missing, fault
    assert "unmet" in status["message"]
