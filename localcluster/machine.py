"""What the machine must have, and how to get what is missing."""

import glob
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcluster.layout import LocalClusterError, cache_dir, clusters_dir
from localcluster.processes import identify
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
APT_TIMEOUT_S = 300
# Begins the name of a folder in which a check tries something, before the pid; no cluster's does.
CHECK = ".check-"
# Most kernels have them as modules, which on a new machine nobody has asked for yet.
MODULES = ("overlay", "nf_conntrack")
FILESYSTEMS = Path("/proc/filesystems")
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
    _load_modules()
    if "\toverlay\n" not in FILESYSTEMS.read_text():
        missing.append("the overlay file system: modprobe overlay")
    if not missing and not _overlay_works(clusters_dir()):
        missing.append(
            f"a file system that overlays can be mounted on: {clusters_dir()} is on one itself? "
            "Set SEATRIAL_STATE to a folder on a real disk"
        )
    missing += [f"{what}: {path} is not there" for path, what in KERNEL.items() if not _there(path)]
    if missing:
        raise LocalClusterError("This machine lacks:\n" + "\n".join(f"  - {m}" for m in missing))


def missing_packages(packages: Mapping[str, str] = PACKAGES) -> list[str]:
    """Debian packages that still have to be installed."""
    return sorted({package for command, package in packages.items() if not _there(command)})


def install_packages(progress: Progress, packages: Mapping[str, str] = PACKAGES) -> None:
    """
    Install what is missing with apt-get.

    Args:
        progress: Where to show it.
        packages: Debian package by the command that shows it is there.

    Raises:
        LocalClusterError: there is no apt-get, or it failed.
    """
    missing = missing_packages(packages)
    # Of a package that was half installed when we were killed, the command may be there already.
    under_way = cache_dir() / "apt-under-way"
    if not missing and not under_way.exists():
        return
    if not shutil.which("apt-get"):
        cni = "containernetworking-plugins" in missing
        raise LocalClusterError(
            f"Missing: what Debian has in its packages {' '.join(missing)}. There is no apt-get "
            f"here: install it with this machine's package manager"
            f"{', the CNI plugins in /usr/lib/cni' if cni else ''}."
        )
    if os.geteuid() != 0:
        raise LocalClusterError(f"Packages are missing: sudo apt-get install {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    under_way.parent.mkdir(parents=True, exist_ok=True)
    under_way.touch()
    with progress.stage(f"Install {len(missing)} Debian packages") as stage:
        # No service of a package may start: containerd's own is of no use and would stay behind.
        with _no_services():
            # After an installation that was killed, apt-get does nothing before this. It fails
            # where packages wait for others that are not there yet: --fix-broken brings those.
            configure = ["dpkg", "--configure", "-a"]
            subprocess.run(configure, env=environment, capture_output=True, check=False)
            _apt(["update", "-q"], environment)
            options = ["-qy", "--no-install-recommends", "--fix-broken"]
            _apt(["install", *options, *missing], environment)
        stage.note = " ".join(missing)
    under_way.unlink(missing_ok=True)


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


def _load_modules() -> None:
    # What cannot be loaded, in a container for example, is missed by name afterwards.
    if modprobe := shutil.which("modprobe"):
        command = [modprobe, "--all", "--quiet", *MODULES]
        subprocess.run(command, capture_output=True, check=False)


def forget_checks(folder: Path) -> None:
    """Remove what a check that was killed has left in the folder of clusters."""
    for scratch in folder.glob(f"{CHECK}*"):
        if not identify(int(scratch.name.removeprefix(CHECK))):
            shutil.rmtree(scratch, ignore_errors=True)


def _overlay_works(folder: Path) -> bool:
    forget_checks(folder)
    scratch = folder / f"{CHECK}{os.getpid()}"
    scratch.mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={scratch}/a,upperdir={scratch}/b,workdir={scratch}/c"
    script = f"cd {scratch} && mkdir a b c d && mount -t overlay overlay -o {layers} d"
    try:
        # In a mount namespace of its own, where the mount ends with the command.
        command = ["unshare", "--mount", "sh", "-c", script]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _apt(arguments: list[str], environment: dict[str, str]) -> None:
    # One that outlives a `make` that was killed is waited for.
    command = ["apt-get", f"--option=DPkg::Lock::Timeout={APT_TIMEOUT_S}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise LocalClusterError(f"apt-get {arguments[0]} failed:\n{tail}")


def _there(what: str) -> bool:
    return bool(glob.glob(what)) if what.startswith("/") else shutil.which(what) is not None
