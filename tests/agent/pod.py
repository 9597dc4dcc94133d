"""A pod of namespaces on this machine: a container under test, a neighbour, and the agent."""

from __future__ import annotations

import ctypes
import errno
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seatrial.api import names
from seatrial_runner.agent.dns_messages import at_address, read_question, write_question

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_HERE = Path(__file__).parent
TOKEN = "a-token-of-the-tests"
POD, NEIGHBOUR, NODE = "10.83.0.2", "10.83.0.9", "10.83.0.1"
POD6, NEIGHBOUR6, NODE6 = "fd83::2", "fd83::9", "fd83::1"
VOLUME_BYTES = 8 << 20
MEMORY_BYTES = 256 << 20
CPU_LIMIT = 0.5
# How late anything may come on a machine that has other things to do.
SLACK_S = 20.0


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Be in the network namespace of a process; sockets that are opened there stay there."""
    with open("/proc/self/ns/net") as home, open(f"/proc/{pid}/ns/net") as there:
        assert _LIBC.setns(there.fileno(), _CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert _LIBC.setns(home.fileno(), _CLONE_NEWNET) == 0


def eventually(true: Callable[[], bool], *, within: float = 60.0) -> float:
    """Wait until something is true; give the seconds that it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < within, f"not so within {within} s"
        time.sleep(0.01)
    return time.monotonic() - begun


class Cgroups:
    """The container's cgroup with limits, of whichever version this machine has."""

    def __init__(self) -> None:
        self._folders = []
        name = f"seatrial-test-{os.getpid()}"
        root = Path("/sys/fs/cgroup")
        if (root / "memory").is_dir():
            limits = {
                "memory": {"memory.limit_in_bytes": MEMORY_BYTES},
                "cpu": {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": int(CPU_LIMIT * 1e5)},
            }
            for controller, files in limits.items():
                self._make(root / controller / name, files)
        else:
            (root / "cgroup.subtree_control").write_text("+memory +cpu")
            self._make(
                root / name,
                {"memory.max": MEMORY_BYTES, "cpu.max": f"{int(CPU_LIMIT * 1e5)} 100000"},
            )

    def _make(self, folder: Path, files: dict[str, Any]) -> None:
        folder.mkdir()
        self._folders.append(folder)
        for file, value in files.items():
            (folder / file).write_text(str(value))

    def add(self, pid: int) -> None:
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def memory_used(self) -> int:
        for folder in self._folders:
            for file in ("memory.usage_in_bytes", "memory.current"):
                if (folder / file).exists():
                    return int((folder / file).read_text())
        raise AssertionError("no file says how much memory is used")

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self._folders[0] / "cgroup.procs").read_text().split()]

    @contextmanager
    def inner(self, name: str, pid: int) -> Iterator[None]:
        """Have a process in a cgroup below, until that has no process any more."""
        folder = self._folders[0] / name
        folder.mkdir()
        (folder / "cgroup.procs").write_text(str(pid))
        try:
            yield
        finally:
            eventually(lambda: self._removed(folder))

    def processes(self) -> int:
        return max(len((folder / "cgroup.procs").read_text().split()) for folder in self._folders)

    def close(self) -> None:
        for folder in self._folders:
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            eventually(lambda folder=folder: self._removed(folder))  # type: ignore[misc]

    @staticmethod
    def _removed(folder: Path) -> bool:
        try:
            folder.rmdir()
        except OSError:
            return False
        return True


class Pod:
    """A container in namespaces of its own, and beside it the node with a neighbour behind it."""

    def __init__(self, folder: Path) -> None:
        self.cgroups = Cgroups()
        self._node = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        volume = folder / "volume"
        volume.mkdir()
        command = f"mount -t tmpfs -o size={VOLUME_BYTES} volume {volume} && " + (
            f"exec {sys.executable} {_HERE / 'victim.py'} {volume}"
        )
        self.volume = str(volume)
        self._unshare = subprocess.Popen(
            ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", f"read go; {command}"],
            stdin=subprocess.PIPE, text=True,
        )  # fmt: skip
        eventually(lambda: bool(_children(self._unshare.pid)))
        self.pid = _children(self._unshare.pid)[0]
        self.cgroups.add(self.pid)
        self._connect()
        assert self._unshare.stdin
        self._unshare.stdin.write("go\n")
        self._unshare.stdin.close()
        self._name_server()
        eventually(lambda: self.answers() and self.answers(port=8))

    def close(self) -> None:
        self._unshare.kill()
        self._unshare.wait()
        self._node.kill()
        self._node.wait()
        self.cgroups.close()

    @contextmanager
    def running(self, command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """Run a shell's command in the container, as the kubelet does for a probe; give its PID."""
        process = subprocess.Popen(
            ["nsenter", "--net", "--pid", "--target", str(self.pid),
             "sh", "-c", f"read go; {command}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        eventually(lambda: bool(_children(process.pid)))
        [pid] = _children(process.pid)
        self.cgroups.add(pid)
        with process:
            say(process, "go")
            try:
                yield process, pid
            finally:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                process.send_signal(signal.SIGCONT)  # it stops with its child

    # What is seen from the outside

    def echoes(
        self, count: int = 40, *, host: str = NEIGHBOUR, at_least: int = 0
    ) -> list[tuple[int, float]]:
        """
        Send datagrams to the container; give number and round trip of each that came back.

        Those of which ``at_least`` so many are to come back are waited for longer.
        """
        got = []
        with self.socket(socket.SOCK_DGRAM, host) as opened:
            opened.setblocking(False)
            opened.connect((POD6 if ":" in host else POD, 7))
            sent = []

            def receive() -> None:
                while True:
                    try:
                        number = int(opened.recv(100))
                    except BlockingIOError:
                        return
                    got.append((number, time.monotonic() - sent[number]))

            for number in range(count):
                sent.append(time.monotonic())
                opened.send(b"%d" % number)
                time.sleep(0.003)
                receive()
            until = time.monotonic() + 1.0
            patience = until + 30
            while (left := (until if len(got) >= at_least else patience) - time.monotonic()) > 0:
                select.select([opened], [], [], left)
                receive()
            receive()
        return got

    def answers(self, port: int = 7, *, host: str = NEIGHBOUR, timeout: float = 0.25) -> bool:
        """Tell whether the container echoes over TCP in time."""
        try:
            with self.socket(socket.SOCK_STREAM, host) as opened:
                opened.settimeout(timeout)
                opened.connect((POD, port))
                opened.sendall(b"hello")
                return opened.recv(5) == b"hello"
        except OSError:
            return False

    def writes(self) -> str:
        """Ask the container to write to its volume; give what it says."""
        return self._told(9, b"").decode()

    def looks_up(
        self, name: str, kind: int = 1, *, how: str = "udp", server: str = NEIGHBOUR
    ) -> bytes:
        """Ask the container to look up a name; give the answer, or the name of an error."""
        question = write_question(7, name, kind)
        return self._told(10, f"{how} {server} ".encode() + question)

    def socket(
        self, kind: socket.SocketKind, host: str = NEIGHBOUR, port: int = 0
    ) -> socket.socket:
        """Open a socket on the node's side, at a port of its own or any."""
        with network_of(self._node.pid):
            opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        opened.bind((host, port))
        return opened

    def _told(self, port: int, data: bytes) -> bytes:
        with self.socket(socket.SOCK_DGRAM) as opened:
            opened.settimeout(20)
            opened.sendto(data, (POD, port))
            return opened.recv(2000)

    def _connect(self) -> None:
        inside = f"nsenter --net --target {self.pid} ip"
        beside = f"nsenter --net --target {self._node.pid} ip"
        for command in (
            f"{beside} link set lo up",
            f"{beside} link add pod type veth peer name eth0",
            f"{beside} link set eth0 netns {self.pid}",
            f"{beside} address add {NODE}/24 dev pod",
            f"{beside} address add {NEIGHBOUR}/24 dev pod",
            f"{beside} link set pod up",
            f"{inside} link set lo up",
            f"{inside} address add {POD}/24 dev eth0",
            f"{inside} link set eth0 up",
            f"{inside} route add default via {NODE}",
            f"{beside} address add {NODE6}/64 dev pod nodad",
            f"{beside} address add {NEIGHBOUR6}/64 dev pod nodad",
            f"{inside} address add {POD6}/64 dev eth0 nodad",
            f"{inside} -6 route add default via {NODE6}",
        ):
            subprocess.run(command.split(), check=True)

    def _name_server(self) -> None:
        """Have every question answered with 10.83.0.53, by UDP and by TCP."""
        with network_of(self._node.pid):
            for family, host in (
                (socket.AF_INET, NEIGHBOUR),
                (socket.AF_INET6, NEIGHBOUR6),
            ):
                datagrams = socket.socket(family, socket.SOCK_DGRAM)
                datagrams.bind((host, 53))
                streams = socket.create_server((host, 53), family=family)
                for target, opened in ((_answer_streams, streams), (_answer_datagrams, datagrams)):
                    threading.Thread(target=target, args=(opened,), daemon=True).start()


class Agent:
    """The agent in the pod, as on a node that lets it have all capabilities but one."""

    def __init__(
        self, pod: Pod, declared: list[Any] | None = None, *, without: str = "", container: str = ""
    ) -> None:
        self._pod = pod
        doc = {"container": "app", "containerId": container, "declared": declared or []}
        drop = f"setpriv --bounding-set -{without} " if without else ""
        # The kernel ends the processes of one that was killed when it comes to it.
        eventually(self._port_is_free)
        self._nsenter = subprocess.Popen(
            ["nsenter", "--net", "--pid", "--target", str(pod.pid), "unshare", "--mount",
             "sh", "-c", f"mount -t proc proc /proc && exec {drop}$0 -m seatrial_runner agent",
             sys.executable],
            env={**os.environ, names.ENV_AGENT: json.dumps(doc), names.ENV_CONTROL_TOKEN: TOKEN},
        )  # fmt: skip
        eventually(self._serves)
        self.pid = _children(self._nsenter.pid)[0]

    def put(self, kind: str, params: dict[str, Any], for_s: float, name: str = "f") -> Any:
        """Order a fault; give the report."""
        order = {"kind": kind, "params": params, "forS": for_s, "seed": 1}
        status, answer = self.ask("PUT", f"/v1/faults/{name}", order)
        assert status == 200, answer
        return answer

    def report(self, name: str = "f") -> Any:
        return self.ask("GET", f"/v1/faults/{name}")[1]

    def delete(self, name: str = "f") -> Any:
        status, answer = self.ask("DELETE", f"/v1/faults/{name}")
        assert status == 200, answer
        return answer

    def abilities(self) -> dict[str, str]:
        answer = self.ask("GET", "/v1/abilities")[1]
        return dict(answer["abilities"])

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(POD, names.AGENT_PORT)
        with self._pod.socket(socket.SOCK_STREAM) as opened:
            opened.settimeout(25)
            opened.connect((POD, names.AGENT_PORT))
            connection.sock = opened
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            )
            response = connection.getresponse()
            with response:
                return response.status, json.loads(response.read())

    def bearers(self, *, of: int | None = None) -> list[int]:
        """Processes that bear faults, or those that one of them has started."""
        return _children(of or self.pid)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        if self._nsenter.poll() is None:
            self.kill()
            self._nsenter.send_signal(signal.SIGCONT)  # it stops with its child
        self._nsenter.wait()

    def _port_is_free(self) -> bool:
        with self._pod.socket(socket.SOCK_STREAM) as opened:
            return opened.connect_ex((POD, names.AGENT_PORT)) == errno.ECONNREFUSED

    def _serves(self) -> bool:
        assert self._nsenter.poll() is None, "the agent has ended"
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False


def say(process: subprocess.Popen[str], line: str) -> None:
    """Write a line to a process."""
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _true_answer(message: bytes) -> bytes:
    question = read_question(message)
    assert question
    answer = at_address(question, "10.83.0.53")
    assert answer
    return answer


def _answer_datagrams(opened: socket.socket) -> None:
    with opened:
        while True:
            question, sender = opened.recvfrom(2000)
            opened.sendto(_true_answer(question), sender)


def _answer_streams(listening: socket.socket) -> None:
    with listening:
        while True:
            client, _ = listening.accept()
            threading.Thread(target=_answer_stream, args=(client,), daemon=True).start()


def _answer_stream(client: socket.socket) -> None:
    with client:
        try:
            while message := client.recv(2000)[2:]:
                answer = _true_answer(message)
                client.sendall(len(answer).to_bytes(2, "big") + answer)
        except OSError:
            return
