"""NetworkPolicies on a real cluster; connections are made from inside the pods' own namespaces."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster import local, processes
from localcluster.layout import ROOT, ClusterFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="the built-in cluster needs root"),
]
NAME = "policies"
PATIENCE_S = 120


def cli(*arguments: str, given: str | None = None) -> str:
    return subprocess.run(
        [sys.executable, "-m", "localcluster", *arguments],
        cwd=ROOT,
        env={**os.environ, "CLUSTER": "local", "CLUSTER_NAME": NAME},
        input=given,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def apply(*objects: dict) -> None:
    cli(
        "kubectl",
        "apply",
        "-f",
        "-",
        given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
    )


def namespace(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def pod(where: str, name: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": where, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "pause", "image": "docker.io/seatrial/pause:1"}],
        },
    }


def policy(where: str, name: str, spec: dict) -> dict:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": where},
        "spec": spec,
    }


class Inside:
    """The network of one pod."""

    def __init__(self, where: str, name: str) -> None:
        seen = json.loads(cli("kubectl", "get", "pod", "-n", where, name, "-o", "json"))
        self.address = seen["status"]["podIP"]
        uid = seen["metadata"]["uid"]
        groups = Path("/sys/fs/cgroup").glob(f"**/seatrial-{NAME}/**/pod{uid}/*/cgroup.procs")
        self.pid = next(pid for file in groups for pid in file.read_text().split())
        self.server: subprocess.Popen | None = None

    def listen(self, port: int) -> None:
        code = f"import socket; s = socket.create_server(('', {port}))\nwhile s.accept(): pass"
        self.server = subprocess.Popen(self._enter(code))

    def reaches(self, address: str, port: int) -> bool:
        code = f"import socket; socket.create_connection(('{address}', {port}), 2)"
        done = subprocess.run(self._enter(code), check=False, capture_output=True)
        return done.returncode == 0

    def _enter(self, code: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", sys.executable, "-c", code]


def becomes(expected: bool, ask) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while ask() is not expected:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def pods():
    cli("up", "--bare")
    apply(
        namespace("run"), namespace("other"),
        pod("run", "client"), pod("run", "server"), pod("other", "stranger"),
    )  # fmt: skip
    for where in ("run", "other"):
        ready = ("--for=condition=Ready", "pod", "--all", "--timeout=180s")
        cli("kubectl", "wait", "-n", where, *ready)
    found = {
        name: Inside(where, name)
        for where, name in (("run", "client"), ("run", "server"), ("other", "stranger"))
    }
    found["server"].listen(8080)
    assert becomes(True, lambda: found["client"].reaches(found["server"].address, 8080))
    yield found
    found["server"].server.kill()
    found["server"].server.wait()
    cli("down")


def test_default_deny_and_what_is_allowed_again(pods):
    client, server, stranger = pods["client"], pods["server"], pods["stranger"]
    apiserver = local.addresses_of(ClusterFolder(NAME))
    assert becomes(True, lambda: client.reaches(server.address, 8080))
    assert becomes(True, lambda: stranger.reaches(server.address, 8080))
    assert becomes(True, lambda: client.reaches(apiserver.api_service, 443))

    both = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    apply(policy("run", "deny", both))
    assert becomes(False, lambda: client.reaches(server.address, 8080))
    assert becomes(False, lambda: stranger.reaches(server.address, 8080))
    assert becomes(False, lambda: client.reaches(apiserver.api_service, 443))
    assert becomes(True, lambda: client.reaches(apiserver.dns, 53))

    within = {**both, "ingress": [{"from": [{"podSelector": {}}]}],
              "egress": [{"to": [{"podSelector": {}}]}]}  # fmt: skip
    apply(policy("run", "within", within))
    assert becomes(True, lambda: client.reaches(server.address, 8080))
    assert not stranger.reaches(server.address, 8080)
    assert not client.reaches(apiserver.api_service, 443)

    selected = {"matchLabels": {"app": "client"}}
    to_api = {"podSelector": selected, "policyTypes": ["Egress"],
              "egress": [{"ports": [{"protocol": "TCP", "port": 6443}]}]}  # fmt: skip
    apply(policy("run", "api", to_api))
    assert becomes(True, lambda: client.reaches(apiserver.api_service, 443))
    assert not server.reaches(apiserver.api_service, 443)

    cli("kubectl", "delete", "networkpolicy", "-n", "run", "--all")
    assert becomes(True, lambda: stranger.reaches(server.address, 8080))


def test_policies_are_enforced_again_after_the_enforcer_was_killed(pods):
    supervisor = processes.load(ClusterFolder(NAME).supervisor)
    inside = os.stat(f"/proc/{supervisor.pid}/ns/pid").st_ino
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = os.stat(folder / "ns/pid").st_ino == inside
            if ours and "localcluster.enforcer" in (folder / "cmdline").read_text():
                os.kill(int(folder.name), 9)
        except OSError:
            continue
    apply(policy("run", "deny", {"podSelector": {}, "policyTypes": ["Ingress"]}))
    assert becomes(False, lambda: pods["stranger"].reaches(pods["server"].address, 8080))
    cli("kubectl", "delete", "networkpolicy", "-n", "run", "--all")
    assert becomes(True, lambda: pods["stranger"].reaches(pods["server"].address, 8080))
