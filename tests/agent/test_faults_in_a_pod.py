"""What each fault does, seen from outside the pod."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from seatrial.api.names import CHECK_PORTS
from seatrial_runner.agent import children
from seatrial_runner.agent.freeze import Freeze
from seatrial_runner.agent.kernel import interrupt
from seatrial_runner.agent.processes import Container, state

from tests.agent.pod import (
    CPU_LIMIT,
    NEIGHBOUR,
    NEIGHBOUR6,
    NODE,
    NODE6,
    VOLUME_BYTES,
    Agent,
    Pod,
    eventually,
    say,
)

NXDOMAIN = 3
both_families = pytest.mark.parametrize("host", [NEIGHBOUR, NEIGHBOUR6], ids=["ipv4", "ipv6"])


@both_families
def test_half_of_the_packets_are_lost(pod: Pod, agent: Agent, host: str) -> None:
    report = agent.put("packets", {"loss": "50%"}, 120)
    arrived = len(pod.echoes(200, host=host, at_least=21))
    # There and back: a quarter comes through.
    assert 20 < arrived < 80
    report = agent.report()
    assert report["effective"]
    assert report["hits"] == report["counts"]["lost"] > 100


def test_all_packets_are_lost_but_not_the_order_to_end_it(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"loss": "100%"}, 120)
    assert not pod.answers()
    assert agent.delete()["endedBy"] == "request"
    assert pod.answers(timeout=10)


def test_the_node_still_sees_the_pod(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"loss": "100%"}, 120)
    assert pod.answers(host=NODE, timeout=10)
    assert len(pod.echoes(host=NODE6, at_least=40)) == 40


def test_packets_of_checks_meet_it_and_are_not_counted(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"delay": "1ms"}, 120)
    for port, counted in ((CHECK_PORTS[7], False), (0, True)):
        with pod.socket(socket.SOCK_STREAM, port=port) as opened:
            opened.settimeout(60)
            opened.connect(("10.83.0.2", 7))
            opened.sendall(b"?")
            assert opened.recv(1) == b"?"
        report = agent.report()
        assert (report["hits"] > 0) is counted, report
        assert report["effective"]


def test_packets_are_delayed_each_way(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"delay": "50ms", "jitter": "10ms"}, 120)
    trips: list[float] = []
    for _ in range(5):
        now = [trip for _, trip in pod.echoes(at_least=40)]
        assert len(now) == 40
        trips += now
        if min(trips) < 0.13:
            break
    # Twice 50 ms less the jitter; the quickest of many is not late for other reasons.
    assert 0.08 <= min(trips) < 0.13


@both_families
def test_packets_are_sent_twice(pod: Pod, agent: Agent, host: str) -> None:
    agent.put("packets", {"duplicate": "50%"}, 120)
    # Each may be doubled on its way there and on its way back.
    # 450 of 200, and hardly ever 50 more or less.
    assert 340 < len(pod.echoes(200, host=host, at_least=341)) < 560
    assert agent.report()["counts"]["duplicated"] > 100


def test_packets_overtake_one_another(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"reorder": "30%"}, 120)
    orders = []
    for _ in range(10):  # none overtakes one that a busy machine sends long after it
        orders.append([number for number, _ in pod.echoes(at_least=40)])
        assert sorted(orders[-1]) == list(range(40))
        if orders[-1] != sorted(orders[-1]):
            break
    assert orders[-1] != sorted(orders[-1])


def test_changed_packets_are_found_out_and_dropped(pod: Pod, agent: Agent) -> None:
    agent.put("packets", {"corrupt": "50%"}, 120)
    assert 10 < len(pod.echoes(200, at_least=11)) < 90
    assert agent.report()["counts"]["corrupted"] > 100


def test_a_stream_arrives_whole_through_all_of_them_together(pod: Pod, agent: Agent) -> None:
    params = {"loss": "1%", "duplicate": "5%", "reorder": "5%", "corrupt": "1%", "delay": "1ms"}
    agent.put("packets", params, 120)
    sent = bytes(range(256)) * 1000
    with pod.socket(socket.SOCK_STREAM) as opened:
        opened.settimeout(60)
        opened.connect(("10.83.0.2", 7))
        opened.sendall(sent)
        received = b""
        while len(received) < len(sent):
            received += opened.recv(65536)
    assert received == sent


@both_families
@pytest.mark.parametrize("how", ["udp", "tcp"])
def test_a_name_does_not_exist(pod: Pod, agent: Agent, how: str, host: str) -> None:
    assert pod.looks_up("shop.test", how=how, server=host)[-4:] == bytes([10, 83, 0, 53])
    agent.put("dns", {"nxdomain": {}}, 120)
    assert pod.looks_up("shop.test", how=how, server=host)[3] & 0xF == NXDOMAIN
    report = agent.delete()
    assert report["effective"]
    assert report["hits"] == 1
    assert pod.looks_up("shop.test", how=how, server=host)[-4:] == bytes([10, 83, 0, 53])


@pytest.mark.parametrize("how", ["udp", "tcp"])
def test_a_question_is_not_answered(pod: Pod, agent: Agent, how: str) -> None:
    agent.put("dns", {"timeout": {}}, 120)
    assert pod.looks_up("shop.test", how=how) == b"TimeoutError"
    agent.delete()
    assert pod.looks_up("shop.test", how=how)[-4:] == bytes([10, 83, 0, 53])


@pytest.mark.parametrize("how", ["udp", "tcp"])
@both_families
def test_only_the_names_that_are_meant_have_another_address(
    pod: Pod, agent: Agent, how: str, host: str
) -> None:
    agent.put("dns", {"address": "10.0.0.66", "names": ["shop.test"]}, 120)
    addresses = {
        name: pod.looks_up(name, how=how, server=host)[-4:]
        for name in ("shop.test", "a.shop.test", "workshop.test")
    }
    assert addresses == {
        "shop.test": bytes([10, 0, 0, 66]),
        "a.shop.test": bytes([10, 0, 0, 66]),
        "workshop.test": bytes([10, 83, 0, 53]),
    }
    assert agent.report()["hits"] == 2


def test_an_address_that_is_none_is_refused(agent: Agent) -> None:
    order = {"kind": "dns", "params": {"address": "nowhere"}, "forS": 5, "seed": 1}
    status, answer = agent.ask("PUT", "/v1/faults/f", order)
    assert status == 400
    assert "dns.address" in answer["error"]


def test_the_first_process_and_its_children_stop_and_go_on(pod: Pod, agent: Agent) -> None:
    report = agent.put("freeze", {}, 120)
    assert report["effective"]
    assert report["counts"]["processes"] == 2
    assert not pod.answers(port=7)
    assert not pod.answers(port=8)
    agent.delete()
    assert pod.answers(port=7, timeout=10)
    assert pod.answers(port=8, timeout=10)


def test_what_begins_in_a_frozen_container_stops_and_goes_on(pod: Pod, agent: Agent) -> None:
    agent.put("freeze", {}, 120)
    with pod.running("read line; echo $line") as (process, pid):
        eventually(lambda: state(pid, pid) == "t")
        say(process, "hello")
        assert agent.report()["counts"]["processes"] == 3
        agent.delete()
        assert process.stdout
        assert process.stdout.readline() == "hello\n"


def test_what_the_runtime_is_about_to_start_is_stopped_only_then(pod: Pod, agent: Agent) -> None:
    """Else the runtime would wait for it, and tell of nothing else in the pod meanwhile."""
    begin = "printf 'runc:[2:INIT]' > /proc/self/comm; echo in; read line; exec sleep 100"
    with pod.running(begin) as (process, pid):
        assert process.stdout
        assert process.stdout.readline() == "in\n"
        agent.put("freeze", {}, 120)
        assert state(pid, pid) == "S"
        say(process, "start")
        eventually(lambda: state(pid, pid) == "t")


def test_a_container_that_starts_processes_all_the_time_stops_whole(pod: Pod, agent: Agent) -> None:
    def have_stopped() -> bool:
        # D: the shell waits in the kernel for its child to leave its memory.
        return {state(pid, pid) for pid in pod.cgroups.pids()} <= {"t", "D", "Z", ""}

    with pod.running("while :; do /bin/true; done"):
        for number in range(30):
            agent.put("freeze", {}, 120, f"f{number}")
            eventually(have_stopped)
            pids = pod.cgroups.pids()
            agent.report(f"f{number}")
            assert have_stopped()
            assert pod.cgroups.pids() == pids
            agent.delete(f"f{number}")


def test_a_process_that_had_stopped_before_stays_so(pod: Pod, agent: Agent) -> None:
    with pod.running("kill -STOP $$; echo on") as (process, pid):
        eventually(lambda: state(pid, pid) == "T")
        agent.put("freeze", {}, 120)
        assert state(pid, pid) == "t"
        agent.delete()
        assert state(pid, pid) == "T"
        os.kill(pid, signal.SIGCONT)
        assert process.stdout
        assert process.stdout.readline() == "on\n"


def test_a_signal_that_comes_before_the_stop_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class One(Container):
        def processes(self, **_: object) -> list[int]:
            return [target.pid]

    def interrupt_late(thread: int) -> None:
        if state(thread, thread) != "t":
            os.kill(thread, signal.SIGUSR1)
            eventually(lambda: state(thread, thread) == "t")
        interrupt(thread)

    def freeze() -> int:
        monkeypatch.setattr("seatrial_runner.agent.freeze.interrupt", interrupt_late)
        fault = Freeze(One("app"))
        fault.begin(time.monotonic() + 60)
        fault.turn()
        fault.end()
        return 0

    command = "trap 'echo heard' USR1; echo ready; while :; do read line && echo $line; done"
    with subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as target:
        assert target.stdout
        assert target.stdout.readline() == "ready\n"
        _, status = os.waitpid(children.start(freeze), 0)
        say(target, "on")  # behind what came before it
        told = target.stdout.readline()
        target.kill()
        assert (status, told) == (0, "heard\n")


def test_an_open_connection_survives_a_freeze(pod: Pod, agent: Agent) -> None:
    with pod.socket(socket.SOCK_STREAM) as opened:
        opened.settimeout(20)
        opened.connect(("10.83.0.2", 7))
        begun = time.monotonic()
        agent.put("freeze", {}, 1.5)
        opened.sendall(b"hello")
        assert opened.recv(5) == b"hello"
    assert time.monotonic() - begun > 1.4


def idle_s() -> float:
    """Give the CPU time that nobody has used, of all CPUs."""
    return int(Path("/proc/stat").read_text().split()[4]) / os.sysconf("SC_CLK_TCK")


def test_the_limit_of_cpu_time_is_used_up(pod: Pod, agent: Agent) -> None:
    report = agent.put("cpu", {"workers": 2, "load": "100%"}, 120)
    assert report["effective"]
    # Before and after the counts: for as long as they grow, or longer.
    begun, idle, before = time.monotonic(), idle_s(), agent.report()["counts"]["cpuMilliseconds"]
    eventually(lambda: time.monotonic() - begun > 1.5)
    counts = agent.report()["counts"]
    took = time.monotonic() - begun
    used = (counts["cpuMilliseconds"] - before) / 1000 / took
    # Not more than the limit, and less only where the machine has nothing left to give.
    assert 0.6 * min(CPU_LIMIT, (idle_s() - idle) / took) < used < 1.3 * CPU_LIMIT
    agent.delete()
    eventually(lambda: pod.cgroups.processes() == 2)  # of the container itself


def test_memory_counts_as_the_containers(pod: Pod, agent: Agent) -> None:
    before = pod.cgroups.memory_used()
    report = agent.put("memory", {"size": "64Mi"}, 120)
    assert report["effective"]
    assert report["counts"]["bytes"] == 64 << 20
    assert pod.cgroups.memory_used() - before > 60 << 20
    assert pod.cgroups.processes() == 2
    agent.delete()
    eventually(lambda: pod.cgroups.memory_used() - before < 10 << 20)


def test_memory_stops_at_the_limit_and_kills_nobody(pod: Pod, agent: Agent) -> None:
    report = agent.put("memory", {"size": "10Gi"}, 120)
    assert 200 << 20 < report["counts"]["bytes"] < 256 << 20
    assert pod.answers(timeout=10)


def test_a_full_volume_cannot_be_written(pod: Pod, agent: Agent) -> None:
    assert pod.writes() == "written"
    report = agent.put("disk", {"path": pod.volume}, 120)
    assert report["effective"]
    assert pod.writes() == "No space left on device"
    assert report["counts"]["bytes"] == VOLUME_BYTES
    agent.delete()
    assert pod.writes() == "written"


def test_what_is_to_stay_free_stays_free(pod: Pod, agent: Agent) -> None:
    agent.put("disk", {"path": pod.volume, "leave": "1Mi"}, 120)
    assert pod.writes() == "written"


@pytest.mark.parametrize(
    ("path", "why"),
    [("/etc", "the node's own disk"), ("/nowhere", "No such file"), ("/proc", "")],
)
def test_what_is_no_volume_is_refused(agent: Agent, path: str, why: str) -> None:
    order = {"kind": "disk", "params": {"path": path}, "forS": 5, "seed": 1}
    status, answer = agent.ask("PUT", "/v1/faults/f", order)
    assert status == 409
    assert why in answer["error"]


def test_what_has_nothing_to_fill_is_refused(pod: Pod, agent: Agent) -> None:
    with open(f"/proc/{pod.pid}/root{pod.volume}/used", "wb") as file:
        file.write(bytes(VOLUME_BYTES // 2))
        file.flush()
        order = {"kind": "disk", "params": {"path": pod.volume, "leave": "6Mi"}, "forS": 5}
        status, answer = agent.ask("PUT", "/v1/faults/f", order)
    os.unlink(file.name)
    assert status == 409
    assert "nothing to fill" in answer["error"]


def test_faults_go_before_others_but_not_what_they_start(agent: Agent) -> None:
    agent.put("cpu", {}, 120)
    bearer, worker = agent.bearers()[0], agent.bearers(of=agent.bearers()[0])[0]
    ours = [os.sched_getscheduler(pid) & ~os.SCHED_RESET_ON_FORK for pid in (agent.pid, bearer)]
    assert ours == [os.SCHED_RR, os.SCHED_RR]
    assert os.sched_getscheduler(worker) == os.SCHED_OTHER


def test_this_machine_can_do_all_of_them(agent: Agent) -> None:
    assert set(agent.abilities().values()) == {""}
