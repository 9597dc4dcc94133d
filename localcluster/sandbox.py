"""
The namespaces a cluster lives in, and its cable to the host.

Everything the cluster mounts, listens on or starts is inside; when the first process dies, the
kernel takes all of it away. Only the control groups and the folder remain to be removed.
"""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from localcluster.addresses import Addresses
from localcluster.builds import run
from localcluster.layout import ROOT, ClusterFolder, LocalClusterError
from localcluster.processes import ProcessId, identify

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_REC, MS_SLAVE, MS_BIND = 0x4000, 0x80000, 0x1000
CGROUPS = Path("/sys/fs/cgroup")
# Where a container's own processes go, beside the clusters; see `_pass_on`.
OTHERS = "seatrial-others"
# CNI's cache has no setting in containerd 1.6; a tmpfs of our own goes over it.
CNI_CACHE = Path("/var/lib/cni")

_libc = ctypes.CDLL(None, use_errno=True)


def launch(cluster: ClusterFolder) -> tuple[ProcessId, BinaryIO]:
    """
    Start the supervisor in namespaces of its own.

    It waits for its plan, and ends when we end before that: what is killed in here leaves nothing
    that nobody knows of. Once it has the plan it outlives us.

    Returns:
        The supervisor, and where to write its plan.
    """
    CNI_CACHE.mkdir(parents=True, exist_ok=True)
    read_end, write_end = os.pipe()
    plan_read, plan_write = os.pipe()
    if not (child := os.fork()):
        _become_supervisor(cluster, write_end, plan_read)
    os.close(write_end)
    os.close(plan_read)
    plan = os.fdopen(plan_write, "wb")
    with os.fdopen(read_end) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if not answer.isdigit() or not (process := identify(int(answer))):
        raise LocalClusterError(
            f"The cluster's namespaces could not be made: {answer or 'no answer'}. "
            "Inside a container this needs --privileged."
        )
    process.save(cluster.supervisor)
    return process, plan


def _become_supervisor(cluster: ClusterFolder, write_end: int, plan: int) -> None:
    # Forked, then forked again: the first joins no terminal and makes the namespaces, the second
    # is PID 1 in them.
    try:
        os.setsid()
        _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET), "unshare")
        if pid := os.fork():
            os.write(write_end, str(pid).encode())
            os._exit(0)
        os.close(write_end)
        log = os.open(cluster.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for target, source in ((0, plan), (1, log), (2, log)):
            os.dup2(source, target)
        os.closerange(3, 256)  # our own end for writing the plan too: only `up` may hold that
        _private_mounts(cluster)
        os.chdir(ROOT)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "localcluster.supervisor", str(cluster.path)]
        os.execve(sys.executable, command, environment)
    except BaseException as error:  # noqa: BLE001  nothing of the parent may run on in the child
        try:
            os.write(write_end, str(error).encode())
        except OSError:
            os.write(2, str(error).encode())
    os._exit(1)


def remove_cni_cache() -> None:
    """
    Remove the folder, unless a cluster has its mount over it.

    Removing it would take those mounts away, and with them all NetworkPolicies; and a cluster may
    be in another folder than that of the clusters we know.
    """
    mounted = f" {CNI_CACHE} "
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):  # the process has ended
            if mounted in mounts.read_text():
                return
    shutil.rmtree(CNI_CACHE, ignore_errors=True)


def _private_mounts(cluster: ClusterFolder) -> None:
    _mount("none", "/", None, MS_REC | MS_SLAVE)
    _mount("proc", "/proc", "proc", 0)
    for folder in ("/run", str(CNI_CACHE)):
        _mount("tmpfs", folder, "tmpfs", 0)
    # The kubelet's pod logs have paths that are fixed in its code.
    pod_logs = cluster.path / "var-log"
    pod_logs.mkdir(exist_ok=True)
    _mount(str(pod_logs), "/var/log", None, MS_BIND)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    encoded = kind.encode() if kind else None
    result = _libc.mount(source.encode(), target.encode(), encoded, flags, None)
    _check(result, f"mount {kind or ''} on {target}")


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def inside(process: ProcessId, command: list[str]) -> list[str]:
    """The command line that runs a command in the cluster's namespaces."""
    return ["nsenter", f"--target={process.pid}", "--net", "--mount", "--pid", *command]


def plug_in(process: ProcessId, addresses: Addresses) -> None:
    """Lay the cable between host and cluster, and the routes over it."""
    unplug(addresses)
    host, node = addresses.interface, "eth0"
    run(
        [
            "ip",
            "link",
            "add",
            host,
            "type",
            "veth",
            "peer",
            "name",
            node,
            "netns",
            str(process.pid),
        ],
        "Connecting the cluster",
    )
    _ip_batch(
        ["ip"],
        f"address add {addresses.host}/30 dev {host}",
        f"link set {host} up",
        f"route add {addresses.everything} via {addresses.node}",
    )
    enter = ["nsenter", f"--target={process.pid}", "--net", "--mount", "--pid"]
    forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward"
    run([*enter, "sh", "-c", forwarding], "Switching on forwarding")
    # Traffic that kube-proxy does not redirect, to a Service that is gone for example, must have
    # somewhere to go other than the host: a bridge without ports swallows it (not every kernel
    # has the dummy device).
    _ip_batch(
        [*enter, "ip"],
        "link set lo up",
        f"address add {addresses.node}/30 dev {node}",
        f"link set {node} up",
        "link add inner type bridge",
        f"address add {addresses.dns}/32 dev inner",
        "link set inner up",
        "route add default dev inner",
    )


def unplug(addresses: Addresses) -> None:
    """Remove the host's end; the other end and the routes go with it."""
    subprocess.run(["ip", "link", "delete", addresses.interface], capture_output=True, check=False)


def _ip_batch(command: list[str], *lines: str) -> None:
    done = subprocess.run(
        [*command, "-batch", "-"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalClusterError(f"Setting up the network failed: {done.stderr.strip()}")


def make_cgroups(name: str) -> None:
    """
    Make the group of the cluster's pods in every hierarchy.

    Raises:
        LocalClusterError: it may not be made; says what for.
    """
    for hierarchy in _hierarchies():
        try:
            _make_cgroup(hierarchy, hierarchy / name.strip("/"))
        except OSError as error:
            raise LocalClusterError(
                f"No control group can be made in {hierarchy}: {error.strerror}. "
                "Inside a container this needs --privileged."
            ) from error


def _make_cgroup(hierarchy: Path, group: Path) -> None:
    if (hierarchy / "cgroup.subtree_control").exists() and hierarchy == CGROUPS:
        controllers = (hierarchy / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{c}" for c in controllers)
        _pass_on(hierarchy, wanted)
        group.mkdir(exist_ok=True)
        _write(group / "cgroup.subtree_control", wanted)
        return
    group.mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group: nothing could run
        if (hierarchy / setting).exists():
            (group / setting).write_text((hierarchy / setting).read_text())


def _pass_on(root: Path, controllers: str) -> None:
    """
    Let the groups below have the controllers.

    What a container sees as the root is a group like any other, and one with processes in it has
    none to pass on: they have to move to a group of their own first.
    """
    processes = root / "cgroup.procs"
    for _ in range(100):  # others start processes meanwhile
        try:
            return _write(root / "cgroup.subtree_control", controllers)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        (root / OTHERS).mkdir(exist_ok=True)
        for pid in processes.read_text().split():
            with suppress(ProcessLookupError):
                _write(root / OTHERS / "cgroup.procs", pid)
    raise LocalClusterError(
        f"{root} has processes that cannot be moved out of it, and passes no controllers on: "
        f"{processes.read_text().split()}. In a container, give it a cgroup namespace of its own."
    )


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def remove_cgroups(name: str, *, timeout_s: float = 10) -> None:
    """Remove the cluster's groups, deepest first; the processes in them are gone or going."""
    for hierarchy in _hierarchies():
        group = hierarchy / name.strip("/")
        deadline = time.monotonic() + timeout_s
        while group.exists():
            for folder, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    continue
                except OSError as error:  # busy: a process in it has not quite ended
                    if time.monotonic() > deadline:
                        raise LocalClusterError(
                            f"Control group {folder} is still in use"
                        ) from error
            time.sleep(0.02)


def _hierarchies() -> list[Path]:
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted({path.parent.resolve() for path in CGROUPS.glob("*/cgroup.procs")})
