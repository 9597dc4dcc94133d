"""
What ``make up`` does to a cluster of Docker's or of the user's, told by commands that only note it.

There is no Docker engine in CI: that kind, Docker and helm understand what is asked is not shown
here. It is for the ones of the user's cluster in tests/e2e, where helm is real; those of kind were
seen to work with kind 0.33 and Docker 20.10 and 29, see docs/decisions/0003.
"""

import json
import os
import sys
from dataclasses import dataclass

import pytest

from localcluster import backends, kind
from localcluster.layout import ROOT, LocalClusterError
from localcluster.progress import Progress

# Notes how it was called; fails where a file beside it says so.
FAKE = f"""#!{sys.executable}
import json, os, pathlib, sys
folder = pathlib.Path(__file__).parent
name = pathlib.Path(__file__).name
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
(folder / "KUBECONFIG").write_text(os.environ.get("KUBECONFIG", ""))
if "DOCKER_BUILDKIT" in os.environ:
    (folder / "buildkit").touch()
if sys.argv[1:2] == ["build"] and "BUILDX_NO_DEFAULT_ATTESTATIONS" not in os.environ:
    (folder / "attested").touch()
clusters = folder / "clusters"
stopped = folder / "stopped"
match [name, *sys.argv[1:2]]:
    case ["docker", "inspect"]:
        print("WARNING: Error parsing config file", file=sys.stderr)
        state = {{"Running": not stopped.exists()}}
        print(json.dumps([{{"Name": "/" + node, "State": state}} for node in sys.argv[2:]]))
    case ["docker", "image"]:
        print("\\n".join("sha256:" + each for each in sys.argv[4:]))
    case ["docker", "exec"]:
        held = (folder / "held").read_text().split() if (folder / "held").exists() else []
        print("REF TYPE DIGEST SIZE")
        print("\\n".join(f"{{each}} an/index sha256:{{each}} 1 MiB" for each in held))
    case ["docker", "start"]:
        stopped.unlink()
release = folder / "release"
if name == "helm" and "status" in sys.argv and release.exists():
    print(json.dumps({{"info": json.loads(release.read_text())}}))
    sys.exit(0)
if name == "kind":
    there = clusters.read_text().split() if clusters.exists() else []
    match sys.argv[1:3]:
        case ["get", "nodes"]:
            print(sys.argv[-1] + "-control-plane")
        case ["get", "clusters"] if there:
            print("\\n".join(there))
        case ["get", "clusters"]:
            print("No kind clusters found.", file=sys.stderr)
        case ["create", "cluster"]:
            if (folder / "no-image").exists():
                sys.exit("ERROR: failed to create cluster: failed to pull image")
            there.append(sys.argv[sys.argv.index("--name") + 1])
            clusters.write_text("\\n".join(there))
        case ["delete", "cluster"]:
            kept = [each for each in there if each not in sys.argv]
            clusters.write_text("\\n".join(kept))
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

    def note(self, *call):
        with (self.folder / "calls").open("a") as calls:
            calls.write(json.dumps(call) + "\n")

    def kubeconfig(self, call):
        """Give what the command of the last call, this one, took for KUBECONFIG."""
        assert not any(word.startswith("--kubeconfig") for word in call)
        return (self.folder / "KUBECONFIG").read_text()

    def calls(self, *names):
        file = self.folder / "calls"
        calls = [json.loads(line) for line in file.read_text().splitlines()]
        return [each for each in calls if not names or each[0] in names]


@pytest.fixture
def tools(tmp_path, monkeypatch):
    tools = Tools(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tools.folder))
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))  # nothing is built there
    monkeypatch.setattr(kind, "artefact", lambda name: Noted(tools, name))
    return tools


@dataclass
class Noted:
    """What a Dockerfile copies; not made, which takes Go and a second."""

    tools: Tools
    name: str

    def put(self, root, progress):
        self.tools.note("put", self.name)


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
    [loaded] = [each for each in tools.calls("kind") if each[1] == "load"]  # shared layers once
    for build in builds:
        tags = [word.partition("=")[2] for word in build if word.startswith("--tag=")]
        assert set(tags) <= set(loaded)
    install = the_install(tools)
    assert option(install, "--kubeconfig") == kubeconfig
    for short in ("operator", "runner"):
        [tag] = [word for word in install if word.startswith(f"image.{short}.tag=")]
        assert f"docker.io/seatrial/{short}:{tag.partition('=')[2]}" in loaded


def test_only_what_the_node_has_not_is_loaded(tools, progress):
    backends.backend("kind", "mine").up(progress)
    [first] = [each[5:] for each in tools.calls("kind") if each[1] == "load"]
    (tools.folder / "calls").unlink()
    changed = [each for each in first if "seatrial/runner:" in each]
    (tools.folder / "held").write_text("\n".join(set(first) - set(changed)))
    backends.backend("kind", "mine").up(progress)
    [second] = [each[5:] for each in tools.calls("kind") if each[1] == "load"]
    assert second == changed
    (tools.folder / "calls").unlink()
    (tools.folder / "held").write_text("\n".join(first))
    backends.backend("kind", "mine").up(progress)
    assert [each for each in tools.calls("kind") if each[1] == "load"] == []


def test_what_a_dockerfile_copies_is_there_before_docker_builds(tools, progress):
    backends.backend("kind", "mine").up(progress)
    calls = tools.calls()
    [shop] = [i for i, each in enumerate(calls) if each[-2].endswith("examples/shop/Dockerfile")]
    assert ["put", "notifications"] in calls[:shop]


def test_docker_builds_with_the_builder_it_has(tools, progress, monkeypatch):
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)
    backends.backend("kind", "mine").up(progress)
    # With DOCKER_BUILDKIT=1 Docker refuses to build where the component buildx is not installed.
    assert not (tools.folder / "buildkit").exists()


def test_an_image_that_has_not_changed_is_the_same_image(tools, progress):
    backends.backend("kind", "mine").up(progress)
    # BuildKit would put into it when it was built, and the node would be sent it again.
    assert not (tools.folder / "attested").exists()


def test_a_kind_cluster_that_is_there_is_used(tools, progress):
    (tools.folder / "clusters").write_text("other\nmine")
    backends.backend("kind", "mine").up(progress)
    assert [each for each in tools.calls("kind") if each[1] == "create"] == []


@pytest.mark.parametrize("name", ["kind", "clusters", "No"])
def test_what_kind_says_beside_the_names_is_no_name(tools, progress, name):
    cluster = backends.backend("kind", name)
    assert "not there" in cluster.status()
    cluster.up(progress)
    [created] = [each for each in tools.calls("kind") if each[1] == "create"]
    assert option(created, "--name") == name


def test_clusters_that_kind_cannot_list_are_not_taken_for_none(tools, progress):
    tools.fail("kind", "clusters")
    with pytest.raises(LocalClusterError, match="kind get clusters failed"):
        backends.backend("kind", "mine").up(progress)
    assert [each for each in tools.calls("kind") if each[1] == "create"] == []
    assert [each for each in tools.calls("docker") if each[1] == "start"] == []


def test_nodes_that_docker_has_stopped_are_started(tools, progress):
    (tools.folder / "clusters").write_text("mine")
    (tools.folder / "stopped").touch()
    cluster = backends.backend("kind", "mine")
    assert "not running" in cluster.status()
    cluster.up(progress)
    assert ["docker", "start", "mine-control-plane"] in tools.calls()
    assert "up" in cluster.status()


def test_a_kind_cluster_that_does_not_answer_is_told(tools, progress, monkeypatch):
    (tools.folder / "clusters").write_text("mine")
    tools.fail("kubectl", "get")
    monkeypatch.setattr(kind, "READY_S", 0)
    with pytest.raises(LocalClusterError, match=r"does not answer\. `make down up`"):
        backends.backend("kind", "mine").up(progress)
    assert [each for each in tools.calls("docker") if each[1] == "build"] == []


def test_what_a_kind_that_was_killed_has_left_is_made_anew(tools, progress):
    cluster = backends.backend("kind", "mine")
    tools.fail("kind", "create")  # after it has made a node, as the killed one
    with pytest.raises(LocalClusterError, match="kind create cluster failed"):
        cluster.up(progress)
    assert "not finished" in cluster.status()
    (tools.folder / "kind-create").unlink()
    cluster.up(progress)
    calls = [each[1] for each in tools.calls("kind") if each[1] in {"create", "delete", "load"}]
    assert calls == ["create", "delete", "create", "load"]
    assert "up" in cluster.status()


def test_the_node_image_and_the_config_of_kind_are_the_users_to_choose(
    tools, progress, tmp_path, monkeypatch
):
    monkeypatch.setenv("KIND_IMAGE", "registry.example:5000/kindest/node:v1.36.1")
    monkeypatch.setenv("KIND_CONFIG", str(tmp_path / "kind.yaml"))
    backends.backend("kind", "mine").up(progress)
    [created] = [each for each in tools.calls("kind") if each[1] == "create"]
    assert option(created, "--image") == "registry.example:5000/kindest/node:v1.36.1"
    assert option(created, "--config") == str(tmp_path / "kind.yaml")


def test_a_node_image_that_cannot_be_pulled_is_told_with_what_to_do(tools, progress):
    tools.fail("kind", "create")
    with pytest.raises(LocalClusterError, match="kind create cluster failed") as told:
        backends.backend("kind", "mine").up(progress)
    assert "KIND_IMAGE" not in str(told.value)
    (tools.folder / "no-image").touch()
    with pytest.raises(LocalClusterError, match=r"failed to pull image(.|\n)*Set KIND_IMAGE"):
        backends.backend("kind", "mine").up(progress)


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
    assert tools.kubeconfig(install) == str(theirs)
    assert option(install, "--namespace") == "seatrial-system"
    assert "image.operator.repository=registry.example:5000/them/operator" in install
    assert "image.runner.tag=2" in install
    assert not any(word.startswith("--values") for word in install)
    asked = [word for each in tools.calls("helm") for word in each if word in HELM_COMMANDS]
    assert asked == ["status", "upgrade"]
    assert tools.calls("kind", "docker", "kubectl") == []


def test_of_several_kubeconfigs_the_tools_see_all_as_kubectl_does(
    tools, progress, theirs, tmp_path, monkeypatch
):
    several = f"{tmp_path}/not-there{os.pathsep}{theirs}{os.pathsep}{tmp_path}/other"
    monkeypatch.setenv("KUBECONFIG", several)
    current = backends.backend("current", "ignored")
    current.up(progress)
    assert tools.kubeconfig(the_install(tools)) == several
    current.down(progress)
    assert tools.kubeconfig(tools.calls()[-1]) == several
    assert current.kubeconfig() == several


def test_without_a_variable_the_kubeconfig_is_where_kubectl_has_it(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").touch()
    assert backends.backend("current", "ignored").kubeconfig() == f"{tmp_path}/.kube/config"


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
    assert tools.kubeconfig(call) == str(theirs)


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


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade"])
def test_an_installation_that_was_killed_is_forgotten_on_a_cluster_of_our_own(
    tools, progress, status
):
    (tools.folder / "clusters").write_text("mine")
    (tools.folder / "release").write_text(json.dumps({"status": status, "description": ""}))
    backends.backend("kind", "mine").up(progress)
    [forgotten] = [each for each in tools.calls("kubectl") if "delete" in each]
    assert option(forgotten, "--selector").endswith(f"name=seatrial,status={status}")
    assert option(forgotten, "--namespace") == "seatrial-system"
    assert tools.calls().index(forgotten) < tools.calls().index(the_install(tools))


def test_an_installation_on_the_users_cluster_may_be_someone_elses(tools, progress, theirs):
    release = {"status": "pending-upgrade", "description": ""}
    (tools.folder / "release").write_text(json.dumps(release))
    backends.backend("current", "ignored").up(progress)
    assert the_install(tools)
    assert tools.calls("kubectl") == []


def test_our_own_cluster_logs_more_than_a_users(tools, progress, tmp_path):
    (tools.folder / "clusters").write_text("mine")
    backends.backend("kind", "mine").up(progress)
    assert option(the_install(tools), "--values").endswith("localcluster/values.yaml")
