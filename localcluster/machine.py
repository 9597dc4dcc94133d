"""What the machine must have, and how to get what is missing."""

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster.layout import LocalClusterError, clusters_dir
from localcluster.progress import Progress

# Debian package by the command that shows it is there.
PACKAGES = {
    "buildah": "buildah",
    "containerd": "containerd",
    "conntrack": "conntrack",
    "gcc": "gcc",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "openssl": "openssl",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/usr/include/stdlib.h": "libc6-dev",
}
KERNEL = {
    "/proc/self/ns/net": "network namespaces (CONFIG_NET_NS)",
    "/proc/self/ns/pid": "PID namespaces (CONFIG_PID_NS)",
    "/proc/sys/net/netfilter/nf_conntrack_max": "connection tracking (modprobe nf_conntrack)",
    "/sys/fs/cgroup": "control groups, mounted at /sys/fs/cgroup",
}


def check() -> None:
    """
    See whether a cluster can run here at all.

    Raises:
        LocalClusterError: names everything that is missing, and how to get it.
    """
    missing = []
    if platform.system() != "Linux":
        raise LocalClusterError(
            f"The built-in cluster needs Linux, and this is {platform.system()}. "
            "Use CLUSTER=kind with Docker, or CLUSTER=current with a cluster of your own."
        )
    if os.geteuid() != 0:
        missing.append("root: run it with sudo, or use CLUSTER=kind or CLUSTER=current")
    filesystems = Path("/proc/filesystems").read_text()
    if "\toverlay\n" not in filesystems:
        missing.append("the overlay file system: modprobe overlay")
    if not missing and not _overlay_works(clusters_dir()):
        missing.append(
            f"a file system that overlays can be mounted on: {clusters_dir()} is on one itself? "
            "Set SEATRIAL_STATE to a folder on a real disk"
        )
    missing += [f"{what}: {path} is not there" for path, what in KERNEL.items() if not _there(path)]
    if missing:
        raise LocalClusterError("This machine lacks:\n" + "\n".join(f"  - {m}" for m in missing))


def missing_packages() -> list[str]:
    """Debian packages that still have to be installed."""
    return sorted({package for command, package in PACKAGES.items() if not _there(command)})


def install_packages(progress: Progress) -> None:
    """
    Install what is missing with apt-get.

    Raises:
        LocalClusterError: there is no apt-get, or it failed.
    """
    missing = missing_packages()
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LocalClusterError(
            f"Missing commands, in Debian's packages {' '.join(missing)}. "
            "There is no apt-get here: install them with this machine's package manager, "
            "and the CNI plugins in /usr/lib/cni."
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with progress.stage(f"Install {len(missing)} Debian packages") as stage:
        # No service of a package may start: containerd's own is of no use and would stay behind.
        with _no_services():
            _apt(["update", "-q"], environment)
            _apt(["install", "-qy", "--no-install-recommends", *missing], environment)
        stage.note = " ".join(missing)


def go_command() -> str:
    """
    The path of Go.

    Raises:
        LocalClusterError: it is not installed.
    """
    for candidate in ("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if found := shutil.which(candidate):
            return found
    raise LocalClusterError(
        "Go is needed once, to build Kubernetes from its released modules, and was not found. "
        "Install Go 1.26 (https://go.dev/doc/install), or an older one that fetches it by itself "
        "(GOTOOLCHAIN=auto)."
    )


class _no_services:  # noqa: N801  reads as a statement
    """Keep Debian packages from starting services while they are installed."""

    policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        script = "#!/bin/sh\n# seatrial localcluster\nexit 101\n"
        # Ours from an installation that was killed counts as ours.
        self.ours = not self.policy.exists() or self.policy.read_text() == script
        if self.ours:
            self.policy.write_text(script)
            self.policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.policy.unlink(missing_ok=True)


def _overlay_works(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        layers = f"lowerdir={scratch}/a,upperdir={scratch}/b,workdir={scratch}/c"
        script = f"cd {scratch} && mkdir a b c d && mount -t overlay overlay -o {layers} d"
        # In a mount namespace of its own, where the mount ends with the command.
        command = ["unshare", "--mount", "sh", "-c", script]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _apt(arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise LocalClusterError(f"apt-get {arguments[0]} failed:\n{tail}")


def _there(what: str) -> bool:
    return Path(what).exists() if what.startswith("/") else shutil.which(what) is not None
