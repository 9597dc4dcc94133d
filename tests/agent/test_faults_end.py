"""Every fault ends: at its deadline, on request, and whoever is killed at whatever moment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.agent.pod import Agent, Pod, eventually

TRUE_ADDRESS = bytes([10, 83, 0, 53])


@dataclass(frozen=True)
class Case:
    """A fault, its parameters, and how its effect is seen from outside."""

    kind: str
    params: Callable[[Pod], dict[str, Any]]
    is_hit: Callable[[Pod], bool]


CASES = [
    Case("packets", lambda _: {"loss": "100%"}, lambda pod: not pod.answers()),
    Case("dns", lambda _: {"nxdomain": {}}, lambda pod: pod.looks_up("a")[-4:] != TRUE_ADDRESS),
    Case("freeze", lambda _: {}, lambda pod: not pod.answers()),
    Case("cpu", lambda _: {"workers": 2}, lambda pod: pod.cgroups.processes() > 2),
    Case(
        "memory",
        lambda _: {"size": "100Mi"},
        lambda pod: pod.cgroups.memory_used() > 90 << 20,
    ),
    Case("disk", lambda pod: {"path": pod.volume}, lambda pod: pod.writes() != "written"),
]
every_kind = pytest.mark.parametrize("case", CASES, ids=[case.kind for case in CASES])


def test_no_kind_is_left_out() -> None:
    from seatrial.api.families import POD

    assert [case.kind for case in CASES] == list(POD)


@every_kind
def test_it_ends_at_its_deadline(pod: Pod, agent: Agent, case: Case) -> None:
    begun = time.monotonic()
    agent.put(case.kind, case.params(pod), 1.2)
    assert case.is_hit(pod)
    eventually(lambda: not case.is_hit(pod))
    assert 0.9 < time.monotonic() - begun < 1.2 + 1.0
    eventually(lambda: agent.report()["state"] == "ended", within=1.0)
    assert agent.report()["endedBy"] == "deadline"


@every_kind
def test_it_goes_on_when_it_is_renewed(pod: Pod, agent: Agent, case: Case) -> None:
    begun = time.monotonic()
    applied = agent.put(case.kind, case.params(pod), 1.0)["applied"]
    assert agent.put(case.kind, case.params(pod), 2.5)["applied"] == applied
    eventually(lambda: time.monotonic() - begun > 1.5)
    assert case.is_hit(pod)
    eventually(lambda: not case.is_hit(pod))
    assert time.monotonic() - begun < 2.5 + 1.0


@every_kind
def test_it_ends_on_request(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 30)
    assert case.is_hit(pod)
    report = agent.delete()
    assert not case.is_hit(pod)
    assert (report["state"], report["endedBy"]) == ("ended", "request")
    assert agent.delete()["ended"] == report["ended"]


@every_kind
def test_it_is_gone_when_the_agent_is_killed(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 30)
    assert case.is_hit(pod)
    agent.kill()
    eventually(lambda: not case.is_hit(pod), within=1.0)
    nothing_is_left(pod)


@every_kind
def test_it_is_gone_when_its_process_is_killed(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 30)
    for pid in agent.bearers():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not case.is_hit(pod), within=1.0)
    # It says that it was not there for as long as was asked.
    eventually(lambda: agent.report()["state"] == "ended", within=1.0)
    assert agent.report()["endedBy"] is None
    nothing_is_left(pod)


@every_kind
def test_it_ends_at_its_deadline_when_the_agent_hangs(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 1.0)
    agent.kill(signal.SIGSTOP)
    eventually(lambda: not case.is_hit(pod), within=1.0 + 1.0)
    nothing_is_left(pod)


@every_kind
def test_it_ends_when_the_agent_is_told_to(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 30)
    agent.kill(signal.SIGTERM)
    eventually(lambda: not case.is_hit(pod), within=1.0)
    nothing_is_left(pod)


@every_kind
@pytest.mark.parametrize("after_ms", [0, 5, 20, 60])
def test_an_agent_killed_while_it_begins_leaves_nothing(
    pod: Pod, agent: Agent, case: Case, after_ms: int
) -> None:
    def order() -> None:
        with suppress(OSError, ValueError):
            agent.put(case.kind, case.params(pod), 30)

    ordering = threading.Thread(target=order)
    ordering.start()
    time.sleep(after_ms / 1000)
    agent.kill()
    eventually(lambda: not case.is_hit(pod), within=1.5)
    nothing_is_left(pod)
    ordering.join()


@every_kind
@pytest.mark.parametrize("before_ms", [0, 5])
def test_an_agent_killed_while_it_ends_leaves_nothing(
    pod: Pod, agent: Agent, case: Case, before_ms: int
) -> None:
    begun = time.monotonic()
    agent.put(case.kind, case.params(pod), 0.8)
    time.sleep(max(0.0, begun + 0.8 - before_ms / 1000 - time.monotonic()))
    agent.kill()
    eventually(lambda: not case.is_hit(pod), within=1.0)
    nothing_is_left(pod)


def test_many_short_faults_in_a_row_leave_nothing(pod: Pod, agent: Agent) -> None:
    begun = 0
    for number in range(60):
        case = CASES[number % len(CASES)]
        order = {"kind": case.kind, "params": case.params(pod), "forS": 0.1, "seed": 1}
        status, answer = agent.ask("PUT", f"/v1/faults/f{number}", order)
        begun += status == 200
        # On a busy machine the time of one so short can be over before it is in effect.
        assert status == 200 or "its time was over" in answer["error"]
    assert begun > 30
    eventually(lambda: not any(case.is_hit(pod) for case in CASES))
    nothing_is_left(pod)
    reports = agent.ask("GET", "/v1/faults")[1]["faults"]
    assert {report["state"] for report in reports} == {"ended"}
    assert begun <= len(reports) <= 60


def test_several_faults_last_side_by_side(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"delay": "20ms"}, 30, "slow")
    agent.put("packets", {"loss": "20%"}, 30, "lossy")
    agent.put("dns", {"nxdomain": {}}, 30, "nameless")
    trips = [trip for _, trip in pod.echoes()]
    assert 10 < len(trips) < 40
    assert min(trips) > 0.04
    agent.delete("lossy")
    assert len(pod.echoes()) == 40
    agent.delete("slow")
    assert min(trip for _, trip in pod.echoes()) < 0.02


def nothing_is_left(pod: Pod) -> None:
    """No rule, no process, and the container answers."""
    inside = ["nsenter", "--net", "--target", str(pod.pid)]
    command = [*inside, "nft", "list", "ruleset"]
    eventually(lambda: subprocess.check_output(command) == b"", within=1.0)
    eventually(lambda: pod.cgroups.processes() == 2, within=1.0)
    with pod.socket(socket.SOCK_STREAM) as opened:
        opened.settimeout(1)
        opened.connect(("10.83.0.2", 8))
