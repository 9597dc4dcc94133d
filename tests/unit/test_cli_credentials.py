"""Credentials that expire while a command goes on, as those of EKS after a quarter of an hour."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from seatrial.cli.arguments import build_parser
from seatrial.cli.client import connect, runs_path
from seatrial.cli.exits import CommandError

from tests.support.loopback import Answer, Loopback

RUNS = runs_path("default")

# Gives another token each time it is asked: token-1, token-2 and so on.
PLUGIN = f"""#!{sys.executable}
import json, pathlib
asked = pathlib.Path(__file__).with_suffix(".asked")
with asked.open("a") as file:
    file.write("x")
status = {{"token": f"token-{{len(asked.read_text())}}"}}
version = "client.authentication.k8s.io/v1"
print(json.dumps({{"apiVersion": version, "kind": "ExecCredential", "status": status}}))
"""


class ApiServer(Loopback):
    """Lets in whoever has a token that has not expired, as an API server does."""

    def __init__(self) -> None:
        super().__init__()
        self.expired: set[str] = set()
        self.seen: list[str] = []

    def respond(self, asked):
        self.seen.append(asked.headers.get("authorization", ""))
        if self.seen[-1].removeprefix("Bearer ") in {"", *self.expired}:
            return Answer(401, json={"kind": "Status", "code": 401, "message": "Unauthorized"})
        return Answer(json={"items": []})


@pytest.fixture
def server():
    with ApiServer() as server:
        yield server


class Kubeconfig:
    """A kubeconfig file with one cluster and one user."""

    def __init__(self, folder: Path, server: str) -> None:
        self.path = folder / "kubeconfig"
        self.content = {
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }

    def user(self, **user):
        self.content["users"][0]["user"] = user
        self.path.write_text(json.dumps(self.content))

    def connect(self, *arguments):
        options = ["--kubeconfig", str(self.path), *arguments, "list"]
        return connect(build_parser().parse_args(options))


@pytest.fixture
def kubeconfig(tmp_path, server):
    return Kubeconfig(tmp_path, server.url)


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}


def test_a_token_of_a_plugin_that_has_expired_is_renewed(server, kubeconfig, plugin):
    kubeconfig.user(exec=plugin)
    cluster = kubeconfig.connect()
    cluster.get(RUNS)
    server.expired.add("token-1")
    cluster.get(RUNS)
    cluster.get(RUNS)
    given = [each.removeprefix("Bearer ") for each in server.seen]
    assert given == ["token-1", "token-1", "token-2", "token-2"]


def test_a_token_is_renewed_for_what_is_written_and_watched_too(server, kubeconfig, plugin):
    kubeconfig.user(exec=plugin)
    cluster = kubeconfig.connect()
    server.expired.add("token-1")
    cluster.create(RUNS, {"kind": "ConfigMap"})
    server.expired.add("token-2")
    assert list(cluster.lines(RUNS, quiet_s=5)) == ['{"items": []}']
    assert [each.method for each in server.asked] == ["POST", "POST", "GET", "GET"]
    assert server.asked[0].body == server.asked[1].body


def test_a_token_file_is_read_again_when_its_token_has_expired(server, kubeconfig, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    kubeconfig.user(tokenFile=str(token))
    cluster = kubeconfig.connect()
    cluster.get(RUNS)
    token.write_text("second\n")
    server.expired.add("first")
    cluster.get(RUNS)
    assert server.seen[-1] == "Bearer second"


def test_a_renewal_stays_with_the_context_that_was_current(server, kubeconfig):
    kubeconfig.user(token="old")
    cluster = kubeconfig.connect()
    with ApiServer() as other:
        kubeconfig.content["clusters"].append({"name": "other", "cluster": {"server": other.url}})
        kubeconfig.content["contexts"].append(
            {"name": "other", "context": {"cluster": "other", "user": "it", "namespace": "shop"}}
        )
        kubeconfig.content["current-context"] = "other"
        kubeconfig.user(token="new")
        server.expired.add("old")
        cluster.get(RUNS)
        assert other.seen == []
    assert server.seen == ["Bearer old", "Bearer new"]
    assert cluster.namespace == "default"


def test_who_is_not_let_in_with_new_credentials_either_is_told(server, kubeconfig):
    kubeconfig.user(token="bad")
    server.expired.add("bad")
    cluster = kubeconfig.connect()
    with pytest.raises(CommandError, match="does not accept your credentials"):
        cluster.get(RUNS)
    assert len(server.seen) == 2


def test_a_context_that_is_named_needs_no_current_one(server, kubeconfig):
    del kubeconfig.content["current-context"]
    kubeconfig.content["contexts"][0]["context"]["namespace"] = "shop"
    kubeconfig.user(token="good")
    cluster = kubeconfig.connect("--context", "it")
    cluster.get(RUNS)
    assert cluster.namespace == "shop"


def test_of_several_kubeconfigs_the_first_that_says_so_has_the_current_context(
    server, tmp_path, monkeypatch
):
    files = []
    with ApiServer() as other:
        for name, url, current in (("a", other.url, ""), ("b", server.url, "b"), ("c", "", "a")):
            file = Kubeconfig(tmp_path, url)
            file.path = tmp_path / name
            file.content["current-context"] = current
            for each in ("clusters", "users", "contexts"):
                file.content[each][0]["name"] = name
            file.content["contexts"][0]["context"] = {"cluster": name, "user": name}
            file.user(token=name)
            files.append(str(file.path))
        options = ["--kubeconfig", os.pathsep.join(["/nowhere", *files]), "list"]
        cluster = connect(build_parser().parse_args(options))
        cluster.get(RUNS)
        assert other.seen == []
    assert server.seen == ["Bearer b"]
