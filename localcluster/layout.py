"""Where things are: the checkout, the cache that outlives clusters, the folder of one cluster."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "localcluster"


class LocalClusterError(Exception):
    """Something the user can put right; the message says how."""


def cache_dir() -> Path:
    """The folder of built things, shared by every checkout on the machine."""
    if chosen := os.environ.get("SEATRIAL_CACHE"):
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "seatrial"


def clusters_dir() -> Path:
    """The folder that holds one folder per cluster."""
    return Path(os.environ.get("SEATRIAL_STATE", "/var/lib/seatrial"))


@dataclass(frozen=True)
class ClusterFolder:
    """The files of one cluster; all of them go with ``down``."""

    name: str

    def __post_init__(self) -> None:
        # The name becomes a node's name and a part of socket paths, which end at 108 bytes.
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", self.name):
            raise LocalClusterError(
                f"{self.name!r} cannot name a cluster: use 1 to 30 lower-case letters, digits, '-'."
            )

    @property
    def path(self) -> Path:
        """The folder itself."""
        return clusters_dir() / self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.path / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One log file per component."""
        return self.path / "logs"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.path / "pki"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.path / "containerd.sock"

    @property
    def facts(self) -> Path:
        """What the cluster was started with (JSON)."""
        return self.path / "cluster.json"

    @property
    def supervisor(self) -> Path:
        """Who runs the cluster: pid and start time (JSON)."""
        return self.path / "supervisor.json"

    @property
    def ends(self) -> Path:
        """How often each component that is not well has ended in a row (JSON)."""
        return self.path / "ends.json"

    @property
    def cgroup(self) -> str:
        """The cgroup below which all of the cluster's pods live."""
        return f"/seatrial-{self.name}"
