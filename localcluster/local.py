"""The cluster of our own: up, down, and what is there now."""

import json
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from localcluster import images, machine, processes, sandbox
from localcluster.addresses import Addresses, free_slot
from localcluster.builds import COREDNS, KUBERNETES, key_of, locked, run
from localcluster.components import Binaries, Node
from localcluster.layout import HERE, ClusterFolder, LocalClusterError, clusters_dir
from localcluster.progress import Progress

# For each step of a start: the first one of a slow or busy machine takes minutes.
STEP_TIMEOUT_S = 300
RECOVERY_S = 120
# So many ends in a row take ten seconds at least (`supervisor.RESTART_DELAYS_S`).
KEEPS_ENDING = 6


def up(cluster: ClusterFolder, progress: Progress) -> None:
    """Bring the cluster up, or leave it alone when it is well."""
    machine.check()
    if not (KUBERNETES.cached() and COREDNS.cached()):
        machine.go_command()  # said now, not after minutes of installing packages
    machine.install_packages(progress)
    binaries = Binaries(KUBERNETES.binary(progress), COREDNS.binary(progress))
    with _alone_at(cluster, progress):
        if cluster.path.exists() and _facts(cluster).get("code") != _code():
            with progress.stage("Clear away a cluster that another version has made"):
                _remove(cluster)
        elif _recovers(cluster, progress):
            images.load_pause(cluster)  # who started it may have been killed before this
            progress.say(f"  ✓ Cluster {cluster.name} is up")
            return
        elif cluster.path.exists():
            with progress.stage("Clear away what is left of the last one"):
                _remove(cluster)
        with progress.stage("Start the control plane"):
            _start(cluster, binaries)
        with progress.stage("Wait for the node"):
            images.pause_archive()
            _wait("containerd", lambda: _containerd_answers(cluster), cluster)
            images.load_pause(cluster)
            _wait("the API server", lambda: _api_answers(cluster), cluster)
            _wait("the node", lambda: node_ready(cluster), cluster)


def down(cluster: ClusterFolder, progress: Progress) -> None:
    """Remove the cluster without a trace; does nothing when there is none."""
    with _alone_at(cluster, progress), progress.stage(f"Remove cluster {cluster.name}"):
        _remove(cluster)


def _alone_at(cluster: ClusterFolder, progress: Progress) -> AbstractContextManager[None]:
    """Wait until nobody else brings the cluster up or takes it down, and say for whom."""
    return locked(
        f"cluster-{cluster.name}",
        lambda who: progress.say(f"  … Cluster {cluster.name} is in use by {who}: waiting for it"),
    )


def well(cluster: ClusterFolder) -> bool:
    """Whether its processes run, its API server answers and its node is ready."""
    return _supervised(cluster) and node_ready(cluster)


def _supervised(cluster: ClusterFolder) -> bool:
    process = processes.load(cluster.supervisor)
    return bool(process and process.alive())


def _recovers(cluster: ClusterFolder, progress: Progress) -> bool:
    # While the supervisor lives it starts again what has ended: give it time for that.
    if not _supervised(cluster) or what_keeps_ending(cluster):
        return False
    if well(cluster):
        return True
    with progress.stage("Wait for what is starting again") as stage:
        deadline = time.monotonic() + RECOVERY_S
        while not well(cluster):
            lost = not _supervised(cluster) or what_keeps_ending(cluster)
            if lost or time.monotonic() > deadline:
                stage.note = "in vain"
                return False
            time.sleep(0.2)
    return True


def _remove(cluster: ClusterFolder) -> None:
    if process := processes.load(cluster.supervisor):
        process.kill()  # PID 1 of the cluster: the kernel kills the others before it is gone
    if addresses := addresses_of(cluster):
        sandbox.unplug(addresses)
    sandbox.remove_cgroups(cluster.cgroup)
    with locked("addresses"):
        _remove_folder(cluster.path)
        machine.forget_checks(clusters_dir())
        if clusters_dir().exists() and not any(clusters_dir().iterdir()):
            sandbox.remove_cni_cache()
            clusters_dir().rmdir()


def addresses_of(cluster: ClusterFolder) -> Addresses | None:
    """The cluster's range; None when it has none."""
    with suppress(KeyError):
        return Addresses(_facts(cluster)["slot"])
    return None


def _facts(cluster: ClusterFolder) -> dict[str, Any]:
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads(cluster.facts.read_text()))
    return {}


def _code() -> str:
    """
    Name this version of the local cluster.

    What runs of one that another version has started lacks what is new, and would go on doing so.
    """
    return key_of(sorted(HERE.glob("*.py")), HERE)


def node_ready(cluster: ClusterFolder) -> bool:
    """Whether the API server says that the node is ready."""
    try:
        node = api_get(cluster, f"/api/v1/nodes/{cluster.name}")
    except (OSError, ValueError):
        return False
    conditions = node.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def api_get(cluster: ClusterFolder, path: str) -> dict[str, Any]:
    """
    One GET as the administrator.

    Raises:
        OSError: nobody answers, or not with 200.
    """
    addresses = addresses_of(cluster)
    if not addresses:
        raise FileNotFoundError(cluster.facts)
    context = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
    context.load_cert_chain(cluster.pki / "admin.crt", cluster.pki / "admin.key")
    url = addresses.api_url + path
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        return dict(json.load(answer))


def _start(cluster: ClusterFolder, binaries: Binaries) -> None:
    with locked("addresses"):
        addresses = Addresses(free_slot(_taken_slots(), _host_networks()))
        cluster.logs.mkdir(parents=True)
        processes.write_whole(cluster.facts, json.dumps({"slot": addresses.slot, "code": _code()}))
    sandbox.make_cgroups(cluster.cgroup)
    process, plan = sandbox.launch(cluster)
    try:
        with plan:
            sandbox.plug_in(process, addresses)
            plan.write(Node(cluster, addresses, binaries).write().encode())
    except BrokenPipeError as error:
        raise _supervisor_ended(cluster) from error


def _taken_slots() -> list[int]:
    known = [addresses_of(ClusterFolder(folder.name)) for folder in clusters_dir().glob("[!.]*/")]
    return [addresses.slot for addresses in known if addresses]


def _host_networks() -> list[str]:
    listed = json.loads(run(["ip", "-json", "-4", "route"], "Reading the host's routes"))
    return [route["dst"] for route in listed if route["dst"] != "default"]


def _api_answers(cluster: ClusterFolder) -> bool:
    try:
        return bool(api_get(cluster, "/version"))
    except (OSError, ValueError):
        return False


def _containerd_answers(cluster: ClusterFolder) -> bool:
    command = ["ctr", "--address", str(cluster.containerd_socket), "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _wait(what: str, condition: Callable[[], bool], cluster: ClusterFolder) -> None:
    deadline = time.monotonic() + STEP_TIMEOUT_S
    while not condition():
        if not _supervised(cluster):
            raise _supervisor_ended(cluster)
        if wrong := what_keeps_ending(cluster):
            raise LocalClusterError(f"Waited for {what}, but {wrong}")
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"Waited {STEP_TIMEOUT_S} s for {what}. The logs are in {cluster.logs}"
            )
        time.sleep(0.1)


def what_keeps_ending(cluster: ClusterFolder) -> str:
    """Name each component that is started again and again, with the end of its log."""
    try:
        ends: dict[str, int] = json.loads(cluster.ends.read_text())
    except (FileNotFoundError, ValueError):
        return ""
    often = [name for name, times in ends.items() if times >= KEEPS_ENDING]
    return "\n".join(f"{name} keeps ending: {_log_end(cluster, name)}" for name in often)


def _supervisor_ended(cluster: ClusterFolder) -> LocalClusterError:
    return LocalClusterError(f"The supervisor ended: {_log_end(cluster, 'supervisor')}")


def _log_end(cluster: ClusterFolder, component: str) -> str:
    """The log's path and its last lines."""
    log = cluster.logs / f"{component}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"see {log}, which ends:", *(f"  {line}" for line in lines[-10:])])


def _remove_folder(path: Path) -> None:
    # A mount namespace ends a moment after its last process, and its overlays with it.
    deadline = time.monotonic() + 10
    while path.exists():
        try:
            shutil.rmtree(path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
