"""
What ``make up`` does to a cluster of Docker's or of the user's, told by commands that only note it.

There is no Docker engine in CI: that kind, Docker and helm understand what is asked is not shown
here. It is for the ones of the user's cluster in tests/e2e, where helm is real.
"""

import json
import os
import sys

import pytest

from localcluster import backends
from localcluster.layout import ROOT, LocalClusterError
from localcluster.progress import Progress

# Notes how it was called; fails where a file beside it says so.
FAKE = f"""#!{sys.executable}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
name = pathlib.Path(__file__).name
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
clusters = folder / "clusters"
if name == "kind":
    there = clusters.read_text().split() if clusters.exists() else []
    match sys.argv[1:3]:
        case ["get", "clusters"]:
            print("\\n".join(there))
        case ["create", "cluster"]:
            there.append(sys.argv[sys.argv.index("--name") + 1])
            clusters.write_text("\\n".join(there))
sys.exit(any((folder / f"{{name}}-{{word}}").exists() for word in sys.argv[1:] if "/" not in word))
"""


HELM_COMMANDS = {"status", "upgrade", "uninstall", "rollback"}


class Tools:
    """The commands on the PATH."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name in ("kind", "docker", "helm", "kubectl"):
            path = folder / name
            path.write_text(FAKE)
            path.chmod(0o755)
        self.fail("helm", "status")  # nothing is installed yet

    def fail(self, name, command):
        (self.folder / f"{name}-{command}").touch()

    def remove(self, name):
        (self.folder / name).unlink()

    def calls(self, *names):
        file = self.folder / "calls"
        calls = [json.loads(line) for line in file.read_text().splitlines()]
        return [each for each in calls if not names or each[0] in names]


@pytest.fixture
def tools(tmp_path, monkeypatch):
    tools = Tools(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tools.folder))
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))  # nothing is built there
    return tools


@pytest.fixture
def progress(tmp_path):
    return Progress(tmp_path / "times.json")


def option(call, name):
    """Give the value of an option, whichever way it is written."""
    for word, following in zip(call, [*call[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    raise AssertionError(f"{call} has no {name}")


def the_install(tools):
    [call] = [each for each in tools.calls("helm") if each[1] == "upgrade"]
    return call


def test_kind_gets_a_cluster_the_images_and_the_chart(tools, progress, tmp_path):
    backends.backend("kind", "mine").up(progress)

    kubeconfig = str(tmp_path / "cache/kind/mine.kubeconfig")
    [created] = [each for each in tools.calls("kind") if each[1] == "create"]
    assert option(created, "--name") == "mine"
    assert option(created, "--kubeconfig") == kubeconfig  # and not the user's own
    builds = [each for each in tools.calls("docker") if each[1] == "build"]
    dockerfiles = [option(each, "--file") for each in builds]
    assert all(os.path.exists(each) for each in dockerfiles)
    assert all(each[-1] == str(ROOT) for each in builds)
    assert not any("--build-arg" in word for each in builds for word in each)  # public bases
    loaded = [word for each in tools.calls("kind") if each[1] == "load" for word in each]
    for build in builds:
        tags = [word.partition("=")[2] for word in build if word.startswith("--tag=")]
        assert set(tags) <= set(loaded)
    install = the_install(tools)
    assert option(install, "--kubeconfig") == kubeconfig
    for short in ("operator", "runner"):
        [tag] = [word for word in install if word.startswith(f"image.{short}.tag=")]
        assert f"docker.io/seatrial/{short}:{tag.partition('=')[2]}" in loaded


def test_a_kind_cluster_that_is_there_is_used(tools, progress):
    (tools.folder / "clusters").write_text("other\nmine")
    backends.backend("kind", "mine").up(progress)
    assert [each for each in tools.calls("kind") if each[1] == "create"] == []


def test_only_the_kind_cluster_of_that_name_is_removed(tools, progress, tmp_path):
    kubeconfig = tmp_path / "cache/kind/mine.kubeconfig"
    kubeconfig.parent.mkdir(parents=True)
    kubeconfig.touch()
    backends.backend("kind", "mine").down(progress)
    [deleted] = tools.calls("kind")
    assert deleted[1:3] == ["delete", "cluster"]
    assert option(deleted, "--name") == "mine"
    assert not kubeconfig.exists()


@pytest.mark.parametrize("name", ["docker", "kind"])
def test_what_kind_needs_is_named_with_how_to_get_it(tools, progress, name):
    tools.remove(name)
    with pytest.raises(LocalClusterError, match=f"needs the command {name}: .*install"):
        backends.backend("kind", "mine").up(progress)


def test_a_docker_engine_that_does_not_run_is_told(tools, progress):
    tools.fail("docker", "info")
    with pytest.raises(LocalClusterError, match="Docker engine that runs"):
        backends.backend("kind", "mine").up(progress)


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Give the user's own kubeconfig."""
    path = tmp_path / "their.kubeconfig"
    path.touch()
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("SEATRIAL_OPERATOR_IMAGE", "registry.example:5000/them/operator:1")
    monkeypatch.setenv("SEATRIAL_RUNNER_IMAGE", "registry.example:5000/them/runner:2")
    return path


def test_of_the_users_cluster_only_the_chart_is_installed_as_a_user_gets_it(
    tools, progress, theirs
):
    backends.backend("current", "ignored").up(progress)
    install = the_install(tools)
    assert option(install, "--kubeconfig") == str(theirs)
    assert option(install, "--namespace") == "seatrial-system"
    assert "image.operator.repository=registry.example:5000/them/operator" in install
    assert "image.runner.tag=2" in install
    assert not any(word.startswith("--values") for word in install)
    asked = [word for each in tools.calls("helm") for word in each if word in HELM_COMMANDS]
    assert asked == ["status", "upgrade"]
    assert tools.calls("kind", "docker", "kubectl") == []


def test_images_of_some_faults_may_be_named_and_need_not(tools, progress, theirs, monkeypatch):
    monkeypatch.setenv("SEATRIAL_AGENT_IMAGE", "registry.example:5000/them/agent:3")
    backends.backend("current", "ignored").up(progress)
    install = the_install(tools)
    assert "image.agent.tag=3" in install
    assert not any(word.startswith("image.envoy") for word in install)


def test_the_users_own_values_are_passed_on(tools, progress, theirs, tmp_path, monkeypatch):
    values = tmp_path / "values.yaml"
    values.write_text("log: {level: INFO}\n")
    monkeypatch.setenv("SEATRIAL_VALUES", str(values))
    backends.backend("current", "ignored").up(progress)
    assert option(the_install(tools), "--values") == str(values)


def test_from_the_users_cluster_only_the_chart_is_removed(tools, progress, theirs):
    backends.backend("current", "ignored").down(progress)
    [call] = tools.calls()
    assert call[:3] == ["helm", "uninstall", "seatrial"]
    assert option(call, "--kubeconfig") == str(theirs)


@pytest.mark.parametrize("image", ["", "registry.example:5000/operator", "operator"])
def test_images_that_the_users_cluster_can_pull_have_to_be_named(
    tools, progress, theirs, image, monkeypatch
):
    monkeypatch.setenv("SEATRIAL_OPERATOR_IMAGE", image)
    with pytest.raises(LocalClusterError, match="SEATRIAL_OPERATOR_IMAGE to repository:tag"):
        backends.backend("current", "ignored").up(progress)


def test_a_kubeconfig_that_is_not_there_is_told(tools, progress, theirs):
    theirs.unlink()
    with pytest.raises(LocalClusterError, match="Set KUBECONFIG"):
        backends.backend("current", "ignored").up(progress)


def test_our_own_cluster_logs_more_than_a_users(tools, progress, tmp_path):
    (tools.folder / "clusters").write_text("mine")
    backends.backend("kind", "mine").up(progress)
    assert option(the_install(tools), "--values").endswith("localcluster/values.yaml")
