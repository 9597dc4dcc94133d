"""What a cluster of this machine has running, and what it leaves behind."""

import subprocess
from pathlib import Path

from localcluster.layout import ClusterFolder


def supervisors(cluster: ClusterFolder) -> list[int]:
    """Pids of who runs the cluster and of who is only on the way to it, among all processes."""
    signs = (f"localcluster.supervisor\0{cluster.path}\0", "tests.support.killed_at\0")
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text(errors="replace")
            status = (folder / "status").read_text()
        except OSError:
            continue
        if any(sign in command for sign in signs):
            found[int(folder.name)] = int(status.partition("PPid:")[2].split()[0])
    # A component has its supervisor's command line until it is executed.
    return [pid for pid, parent in found.items() if parent not in found]


def leftovers(cluster: ClusterFolder) -> list[str]:
    """Give what of a cluster that was taken down is still there."""
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**{cluster.cgroup}")]
    mounts = [
        line for line in Path("/proc/mounts").read_text().splitlines() if str(cluster.path) in line
    ]
    checks = [str(path) for path in cluster.path.parent.glob(".check-*")]
    running = [f"process {pid}" for pid in supervisors(cluster)]
    there = [str(cluster.path)] if cluster.path.exists() else []
    return [*groups, *mounts, *checks, *running, *there]


def links() -> str:
    """Give the network interfaces of the machine, as text."""
    return subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
