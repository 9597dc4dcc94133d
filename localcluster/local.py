"""The cluster of our own: up, down, and what is there now."""

import json
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from localcluster import images, machine, processes, sandbox
from localcluster.addresses import Addresses, free_slot
from localcluster.builds import COREDNS, KUBERNETES, key_of, locked, run
from localcluster.components import Binaries, Node
from localcluster.layout import HERE, ClusterFolder, LocalClusterError, clusters_dir
from localcluster.progress import Progress

START_TIMEOUT_S = 120
RECOVERY_S = 30


def up(cluster: ClusterFolder, progress: Progress) -> None:
    """Bring the cluster up, or leave it alone when it is well."""
    machine.check()
    machine.install_packages(progress)
    binaries = Binaries(KUBERNETES.binary(progress), COREDNS.binary(progress))
    with locked(f"cluster-{cluster.name}"):
        if cluster.path.exists() and _facts(cluster).get("code") != _code():
            with progress.stage("Clear away a cluster that another version has made"):
                remove(cluster)
        elif _recovers(cluster):
            progress.say(f"  ✓ Cluster {cluster.name} is up")
            return
        elif cluster.path.exists():
            with progress.stage("Clear away what is left of the last one"):
                remove(cluster)
        with progress.stage("Start the control plane"):
            _start(cluster, binaries)
        with progress.stage("Wait for the node"):
            images.pause_archive()
            _wait("containerd", lambda: _containerd_answers(cluster), cluster)
            images.load_pause(cluster)
            _wait("the node", lambda: node_ready(cluster), cluster)


def well(cluster: ClusterFolder) -> bool:
    """Whether its processes run, its API server answers and its node is ready."""
    process = processes.load(cluster.supervisor)
    return bool(process and process.alive() and node_ready(cluster))


def _recovers(cluster: ClusterFolder) -> bool:
    # While the supervisor lives it starts again what has ended: give it time for that.
    deadline = time.monotonic() + RECOVERY_S
    while not well(cluster):
        process = processes.load(cluster.supervisor)
        if not process or not process.alive() or time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def remove(cluster: ClusterFolder) -> None:
    """Kill the cluster and remove every trace of it; does nothing when there is none."""
    if process := processes.load(cluster.supervisor):
        process.kill()  # PID 1 of the cluster: the kernel kills the others before it is gone
    if addresses := addresses_of(cluster):
        sandbox.unplug(addresses)
    sandbox.remove_cgroups(cluster.cgroup)
    with locked("addresses"):
        _remove_folder(cluster.path)
        if clusters_dir().exists() and not any(clusters_dir().iterdir()):
            # NB: only after the last one: other clusters have mounts of their own over it, and
            # removing the folder would take those away.
            shutil.rmtree(sandbox.CNI_CACHE, ignore_errors=True)
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
    with urllib.request.urlopen(url, timeout=3, context=context) as answer:
        return dict(json.load(answer))


def _start(cluster: ClusterFolder, binaries: Binaries) -> None:
    with locked("addresses"):
        addresses = Addresses(free_slot(_taken_slots(), _host_networks()))
        cluster.logs.mkdir(parents=True)
        processes.write_whole(cluster.facts, json.dumps({"slot": addresses.slot, "code": _code()}))
    sandbox.make_cgroups(cluster.cgroup)
    process = sandbox.launch(cluster)
    sandbox.plug_in(process, addresses)
    Node(cluster, addresses, binaries).write()


def _taken_slots() -> list[int]:
    folders = clusters_dir().iterdir() if clusters_dir().exists() else []
    known = [addresses_of(ClusterFolder(folder.name)) for folder in folders if folder.is_dir()]
    return [addresses.slot for addresses in known if addresses]


def _host_networks() -> list[str]:
    listed = json.loads(run(["ip", "-json", "-4", "route"], "Reading the host's routes"))
    return [route["dst"] for route in listed if route["dst"] != "default"]


def _containerd_answers(cluster: ClusterFolder) -> bool:
    command = ["ctr", "--address", str(cluster.containerd_socket), "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _wait(what: str, condition: Callable[[], bool], cluster: ClusterFolder) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        process = processes.load(cluster.supervisor)
        if not process or not process.alive():
            raise LocalClusterError(f"The supervisor ended. See {cluster.logs}/supervisor.log")
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"Waited {START_TIMEOUT_S} s for {what}. The logs are in {cluster.logs}"
            )
        time.sleep(0.1)


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
