"""The command line: ``python3 -m localcluster --help``."""

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

from localcluster import chart, local
from localcluster.artefacts import artefact
from localcluster.backends import Backend, Local, backend
from localcluster.layout import ROOT, LocalClusterError, cache_dir, clusters_dir
from localcluster.machine import install_packages
from localcluster.progress import Progress


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(
        prog="python3 -m localcluster",
        description="A Kubernetes cluster for Seatrial's own tests and demos. "
        "CLUSTER=local|kind|current picks the kind, CLUSTER_NAME names it (default: seatrial).",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="cluster, images and operator; quick when they are there")
    up.add_argument("--bare", action="store_true", help="the cluster alone")
    commands.add_parser("down", help="remove it without a trace")
    commands.add_parser("kubeconfig", help="print the path of its kubeconfig")
    commands.add_parser("status", help="say whether it is up")
    build = commands.add_parser("images", help="build and import the images that have changed")
    build.add_argument("--group", default="", help="presets: those of databases and brokers")
    made = commands.add_parser("made", help="make what a Dockerfile copies, for `docker build`")
    made.add_argument("artefact", help="such as kafka")
    packages = commands.add_parser("packages", help="install Debian packages that are missing")
    packages.add_argument(
        "packages",
        nargs="+",
        type=command_and_package,
        help="what shows that it is there, and the package: mariadbd=mariadb-server, or openssl",
    )
    logs = commands.add_parser("logs", help="print the logs of its components")
    logs.add_argument("component", nargs="?", help="only this one, such as kubelet")
    for tool in ("kubectl", "helm"):
        commands.add_parser(tool, help=f"run {tool} on it", add_help=False)
    # The tools' own options are not ours to understand.
    asked, rest = parser.parse_known_args()
    if rest and asked.command not in {"kubectl", "helm"}:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    asked.rest = sys.argv[2:]
    return asked


def command_and_package(word: str) -> tuple[str, str]:
    """Take ``command=package`` apart; a word alone is both."""
    command, _, package = word.partition("=")
    return command, package or command


def main() -> int:
    """Do it; gives the exit code."""
    asked = arguments()
    try:
        progress = Progress(cache_dir() / "times.json")
        cluster = backend(
            os.environ.get("CLUSTER", "local"), os.environ.get("CLUSTER_NAME", "seatrial")
        )
        return run_command(asked, cluster, progress)
    except LocalClusterError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except OSError as error:
        if os.environ.get("SEATRIAL_DEBUG"):
            raise
        print(f"\n{explained(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def explained(error: OSError) -> str:
    """What went wrong with which file, and what to do, in one line."""
    what = f"{error.filename}: {error.strerror}." if error.filename else f"{error}."
    match error.errno:
        case errno.EACCES | errno.EPERM if str(error.filename).startswith(str(cache_dir())):
            # Such as after `sudo -E make up`, which leaves the user's cache to root.
            advice = f"If an earlier sudo made it: sudo chown -R $(id -u):$(id -g) {cache_dir()}"
        case errno.ENOSPC | errno.EDQUOT:
            advice = f"Make room there: the cache is {cache_dir()}, clusters are {clusters_dir()}."
        case _:
            advice = "SEATRIAL_DEBUG=1 shows where this was."
    return f"{what} {advice}"


def run_command(asked: argparse.Namespace, cluster: Backend, progress: Progress) -> int:
    """Run one command; gives the exit code."""
    match asked.command:
        case "up":
            if asked.bare and isinstance(cluster, Local):
                local.up(cluster.cluster, progress)
            else:
                cluster.up(progress)
            progress.summary()
            progress.say(f"\n  export KUBECONFIG={cluster.kubeconfig()}")
        case "down":
            cluster.down(progress)
        case "kubeconfig":
            print(cluster.kubeconfig())
        case "status":
            print(cluster.status())
        case "images":
            for short, tag in cluster.load_images(progress, asked.group).items():
                print(short, tag)
        case "made":
            artefact(asked.artefact).put(ROOT, progress)
        case "packages":
            install_packages(progress, dict(asked.packages))
        case "logs":
            try:
                print_logs(_own(cluster).cluster.logs, asked.component)
            except BrokenPipeError:
                # The reader, such as head, has had enough. Python would complain at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        case "kubectl":
            command = [str(chart.kubectl_command(progress)), *asked.rest]
            return run_with_kubeconfig(command, cluster.kubeconfig())
        case "helm":
            command = [str(chart.helm_command(progress)), *asked.rest]
            return run_with_kubeconfig(command, cluster.kubeconfig())
    return 0


def run_with_kubeconfig(command: list[str], kubeconfig: Path | str) -> int:
    """Run a client on the cluster; gives its exit code."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(command, env=environment, check=False).returncode


def print_logs(folder: Path, component: str | None) -> None:
    """
    Print the end of each log, or the whole log of one component.

    Raises:
        LocalClusterError: There is none.
    """
    there = sorted(log.stem for log in folder.glob("*.log"))
    if not there:
        raise LocalClusterError(f"There are no logs in {folder}: `make up` first.")
    if component and component not in there:
        raise LocalClusterError(
            f"There is no component {component}; there are: {', '.join(there)}."
        )
    if component:
        sys.stdout.write((folder / f"{component}.log").read_text(errors="replace"))
        return
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        print(f"==> {log}")
        print("\n".join(lines[-10:]))


def _own(cluster: Backend) -> Local:
    if isinstance(cluster, Local):
        return cluster
    raise LocalClusterError("This command is for the built-in cluster (CLUSTER=local).")


if __name__ == "__main__":
    sys.exit(main())
