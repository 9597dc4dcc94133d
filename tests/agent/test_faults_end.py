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
from pathlib import Path
from typing import Any

import pytest

from tests.agent.pod import SLACK_S, Agent, Pod, eventually

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
    agent.put(case.kind, case.params(pod), 3.0)
    assert case.is_hit(pod) or time.monotonic() - begun > 3.0
    eventually(lambda: not case.is_hit(pod), within=3.0 + SLACK_S)
    assert time.monotonic() - begun > 2.7
    eventually(lambda: agent.report()["state"] == "ended", within=SLACK_S)
    assert agent.report()["endedBy"] == "deadline"


@every_kind
def test_it_goes_on_when_it_is_renewed(pod: Pod, agent: Agent, case: Case) -> None:
    begun = time.monotonic()
    applied = agent.put(case.kind, case.params(pod), 3.0)["applied"]
    assert agent.put(case.kind, case.params(pod), 8.0)["applied"] == applied
    eventually(lambda: time.monotonic() - begun > 3.5)
    assert case.is_hit(pod) or time.monotonic() - begun > 8.0
    eventually(lambda: not case.is_hit(pod), within=8.0 + SLACK_S)


@every_kind
def test_it_ends_on_request(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 120)
    assert case.is_hit(pod)
    report = agent.delete()
    eventually(lambda: not case.is_hit(pod), within=SLACK_S)
    assert (report["state"], report["endedBy"]) == ("ended", "request")
    assert agent.delete()["ended"] == report["ended"]


@every_kind
def test_it_is_gone_when_the_agent_is_killed(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 120)
    assert case.is_hit(pod)
    agent.kill()
    eventually(lambda: not case.is_hit(pod), within=SLACK_S)
    nothing_is_left(pod)


@every_kind
def test_it_is_gone_when_its_process_is_killed(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 120)
    for pid in agent.bearers():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not case.is_hit(pod), within=SLACK_S)
    # It says that it was not there for as long as was asked.
    eventually(lambda: agent.report()["state"] == "ended", within=SLACK_S)
    assert agent.report()["endedBy"] is None
    nothing_is_left(pod)


@every_kind
def test_it_ends_at_its_deadline_when_the_agent_hangs(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 4.0)
    agent.kill(signal.SIGSTOP)
    eventually(lambda: not case.is_hit(pod), within=4.0 + SLACK_S)
    nothing_is_left(pod)


@every_kind
def test_it_ends_when_the_agent_is_told_to(pod: Pod, agent: Agent, case: Case) -> None:
    agent.put(case.kind, case.params(pod), 120)
    agent.kill(signal.SIGTERM)
    eventually(lambda: not case.is_hit(pod), within=SLACK_S)
    nothing_is_left(pod)


@every_kind
@pytest.mark.parametrize("after_ms", [0, 5, 20, 60])
def test_an_agent_killed_while_it_begins_leaves_nothing(
    pod: Pod, agent: Agent, case: Case, after_ms: int
) -> None:
    def order() -> None:
        with suppress(OSError, ValueError):
            agent.put(case.kind, case.params(pod), 120)

    ordering = threading.Thread(target=order)
    ordering.start()
    time.sleep(after_ms / 1000)
    agent.kill()
    eventually(lambda: not case.is_hit(pod), within=SLACK_S)
    nothing_is_left(pod)
    ordering.join()


@every_kind
@pytest.mark.parametrize("before_ms", [0, 5])
def test_an_agent_killed_while_it_ends_leaves_nothing(
    pod: Pod, agent: Agent, case: Case, before_ms: int
) -> None:
    begun = time.monotonic()
    agent.put(case.kind, case.params(pod), 3.0)
    time.sleep(max(0.0, begun + 3.0 - before_ms / 1000 - time.monotonic()))
    agent.kill()
    eventually(lambda: not case.is_hit(pod), within=SLACK_S)
    nothing_is_left(pod)


@pytest.mark.parametrize(("kind", "params"), [("freeze", {}), ("memory", {"size": "10Mi"})])
def test_it_ends_with_its_container_where_that_is_not_the_agents_end(
    pod: Pod, kind: str, params: dict[str, Any]
) -> None:
    """The pod's containers share their processes, so the agent goes on."""
    with pod.running("read line") as (_, pid), pod.cgroups.inner("second", pid):
        agent = Agent(pod, container="second")
        agent.put(kind, params, 120)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: agent.report()["state"] == "ended", within=SLACK_S)
        report = agent.report()
        assert (report["endedBy"], report["why"]) == (None, "container app has ended")
        agent.close()


def test_cpu_whose_processes_are_killed_has_ended_early(pod: Pod, agent: Agent) -> None:
    agent.put("cpu", {"workers": 2}, 120)
    [bearer] = agent.bearers()
    os.kill(agent.bearers(of=bearer)[0], signal.SIGKILL)
    eventually(lambda: agent.report()["state"] == "ended", within=SLACK_S)
    report = agent.report()
    assert report["endedBy"] is None
    assert report["why"] == "one of the processes that compute was killed"
    assert report["counts"]["cpuMilliseconds"] >= 0
    nothing_is_left(pod)


def test_a_volume_stays_full_until_the_deadline_that_was_given_last(pod: Pod, agent: Agent) -> None:
    kept = Path(f"/proc/{pod.pid}/root{pod.volume}/kept")
    kept.write_bytes(bytes(1 << 20))
    begun = time.monotonic()
    agent.put("disk", {"path": pod.volume}, 2.0)
    agent.put("disk", {"path": pod.volume}, 120)
    eventually(lambda: time.monotonic() - begun > 2.1)
    kept.unlink()
    eventually(lambda: pod.writes() == "No space left on device", within=SLACK_S)


def test_many_short_faults_in_a_row_leave_nothing(pod: Pod, agent: Agent) -> None:
    begun = set()
    for number in range(60):
        case = CASES[number % len(CASES)]
        for attempt in range(8):
            name, lasts_s = f"f{number}-{attempt}", 0.1 * 2**attempt
            order = {"kind": case.kind, "params": case.params(pod), "forS": lasts_s, "seed": 1}
            status, answer = agent.ask("PUT", f"/v1/faults/{name}", order)
            if status == 200:
                begun.add(name)
                break
            # On a busy machine the time of one so short can be over before it is in effect.
            assert "its time was over" in answer["error"]
    assert len(begun) == 60
    eventually(lambda: not any(case.is_hit(pod) for case in CASES))
    nothing_is_left(pod)
    reports = agent.ask("GET", "/v1/faults")[1]["faults"]
    assert {report["state"] for report in reports} == {"ended"}
    assert begun <= {report["name"] for report in reports}


def test_several_faults_last_side_by_side(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"delay": "20ms"}, 120, "slow")
    agent.put("packets", {"loss": "20%"}, 120, "lossy")
    agent.put("dns", {"nxdomain": {}}, 120, "nameless")
    trips = [trip for _, trip in pod.echoes()]
    assert 10 < len(trips) < 40
    assert min(trips) > 0.04
    agent.delete("lossy")
    assert len(pod.echoes(at_least=40)) == 40
    agent.delete("slow")
    assert min(trip for _, trip in pod.echoes()) < 0.02


def nothing_is_left(pod: Pod) -> None:
    """No rule, no process, and the container answers."""
    inside = ["nsenter", "--net", "--target", str(pod.pid)]
    command = [*inside, "nft", "list", "ruleset"]
    eventually(lambda: subprocess.check_output(command) == b"", within=SLACK_S)
    eventually(lambda: pod.cgroups.processes() == 2, within=SLACK_S)
    with pod.socket(socket.SOCK_STREAM) as opened:
        opened.settimeout(10)
        opened.connect(("10.83.0.2", 8))
