"""The clusters ``make up`` can use: our own, kind's, or the one you are connected to."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localcluster import chart, images, local
from localcluster.builds import run
from localcluster.layout import ROOT, ClusterFolder, LocalClusterError, cache_dir
from localcluster.progress import Progress


class Backend(Protocol):
    """What every kind of cluster can do."""

    def up(self, progress: Progress) -> None:
        """Bring it up with the images and the chart; leaves alone what is well."""

    def down(self, progress: Progress) -> None:
        """Remove what `up` made, and nothing else."""

    def kubeconfig(self) -> Path:
        """The path of its kubeconfig."""

    def status(self) -> str:
        """What is there, in one line."""


@dataclass(frozen=True)
class Local:
    """A cluster without Docker, see `local`."""

    cluster: ClusterFolder

    def up(self, progress: Progress) -> None:
        """Bring it up with the images and the chart; leaves alone what is well."""
        local.up(self.cluster, progress)
        tags = self.images(progress)
        helm = chart.helm_command(progress)
        chart.install(
            self.kubeconfig(), chart.image_values(tags), helm, progress, values=chart.OWN_VALUES
        )

    def images(self, progress: Progress) -> dict[str, str]:
        """Build and import what has changed; gives the tags."""
        return images.load(self.cluster, progress, images.present(progress))

    def down(self, progress: Progress) -> None:
        """Remove the cluster without a trace; the cache stays."""
        with progress.stage(f"Remove cluster {self.cluster.name}"):
            local.remove(self.cluster)

    def kubeconfig(self) -> Path:
        """The path of its kubeconfig."""
        return self.cluster.kubeconfig

    def status(self) -> str:
        """What is there, in one line."""
        if local.well(self.cluster):
            return f"{self.cluster.name}: up, logs in {self.cluster.logs}"
        if self.cluster.path.exists():
            return f"{self.cluster.name}: not well, logs in {self.cluster.logs}"
        return f"{self.cluster.name}: not there"


@dataclass(frozen=True)
class Kind:
    """A cluster in Docker, made by kind; the images are built by Docker from public bases."""

    name: str

    def up(self, progress: Progress) -> None:
        """Bring it up with the images and the chart; leaves alone what is well."""
        _needs_docker_and_kind()
        if self.name not in run(["kind", "get", "clusters"], "kind").split():
            with progress.stage("Create the kind cluster"):
                self.kubeconfig().parent.mkdir(parents=True, exist_ok=True)
                command = ["kind", "create", "cluster", "--name", self.name, "--wait", "120s"]
                run([*command, "--kubeconfig", str(self.kubeconfig())], "kind create cluster")
        tags = {image.short: self._load(image, progress) for image in images.present(progress)}
        run(["kind", "export", "kubeconfig", "--name", self.name,
             "--kubeconfig", str(self.kubeconfig())], "kind export kubeconfig")  # fmt: skip
        helm = chart.helm_command(progress)
        chart.install(
            self.kubeconfig(), chart.image_values(tags), helm, progress, values=chart.OWN_VALUES
        )

    def down(self, progress: Progress) -> None:
        """Delete the kind cluster."""
        _needs_docker_and_kind()
        with progress.stage(f"Delete kind cluster {self.name}"):
            run(["kind", "delete", "cluster", "--name", self.name,
                 "--kubeconfig", str(self.kubeconfig())], "kind delete cluster")  # fmt: skip
        self.kubeconfig().unlink(missing_ok=True)

    def kubeconfig(self) -> Path:
        """The path of its kubeconfig, which is not the user's own."""
        return cache_dir() / "kind" / f"{self.name}.kubeconfig"

    def status(self) -> str:
        """What is there, in one line."""
        _needs_docker_and_kind()
        there = self.name in run(["kind", "get", "clusters"], "kind").split()
        return f"{self.name}: {'up' if there else 'not there'} (kind)"

    def _load(self, image: images.Image, progress: Progress) -> str:
        key = image.key(ROOT)
        names = [f"{image.name}:{tag}" for tag in (key, *image.tags)]
        with progress.stage(f"Build image {image.short} with Docker"):
            tags = [f"--tag={name}" for name in names]
            run(["docker", "build", "-q", *tags, f"--file={ROOT / image.dockerfile}", str(ROOT)],
                f"Building {image.short}", env={**os.environ, "DOCKER_BUILDKIT": "1"})  # fmt: skip
        with progress.stage(f"Load image {image.short} into kind"):
            run(["kind", "load", "docker-image", "--name", self.name, *names], "kind load")
        return key


@dataclass(frozen=True)
class Current:
    """
    The cluster of the current kubeconfig context, with images that it can pull.

    SEATRIAL_OPERATOR_IMAGE and SEATRIAL_RUNNER_IMAGE name them, as ``repository:tag``;
    SEATRIAL_VALUES names a file with more values for the chart.
    """

    def up(self, progress: Progress) -> None:
        """Install the chart; nothing else of the cluster is touched."""
        values = os.environ.get("SEATRIAL_VALUES")
        chart.install(
            self.kubeconfig(),
            _images_from_environment(),
            chart.helm_command(progress),
            progress,
            values=Path(values) if values else None,
        )

    def down(self, progress: Progress) -> None:
        """Uninstall the chart; the cluster stays."""
        with progress.stage("Uninstall the chart"):
            run(
                [str(chart.helm_command(progress)), "uninstall", "seatrial", "--ignore-not-found",
                 "--wait", f"--namespace={chart.NAMESPACE}", f"--kubeconfig={self.kubeconfig()}"],
                "helm uninstall",
            )  # fmt: skip

    def kubeconfig(self) -> Path:
        """The user's own."""
        first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        path = Path(first or "~/.kube/config").expanduser()
        if not path.exists():
            raise LocalClusterError(
                f"CLUSTER=current uses your kubeconfig, and {path} is not there. Set KUBECONFIG."
            )
        return path

    def status(self) -> str:
        """What is there, in one line."""
        return f"the current context of {self.kubeconfig()}"


def backend(kind: str, name: str) -> Backend:
    """
    The cluster that CLUSTER and CLUSTER_NAME ask for.

    Raises:
        LocalClusterError: there is no such kind.
    """
    match kind:
        case "local":
            return Local(ClusterFolder(name))
        case "kind":
            return Kind(name)
        case "current":
            return Current()
    raise LocalClusterError(f"CLUSTER={kind} is unknown: it is one of local, kind and current.")


def _images_from_environment() -> dict[str, str]:
    values = {}
    for short in ("operator", "runner", "agent", "envoy"):
        variable = f"SEATRIAL_{short.upper()}_IMAGE"
        repository, colon, tag = os.environ.get(variable, "").rpartition(":")
        if not repository and not tag and short in ("agent", "envoy"):
            continue  # not every run has faults that need them
        if not colon or "/" in tag:
            raise LocalClusterError(
                f"CLUSTER=current needs images that your cluster can pull: set {variable} to "
                f"repository:tag, after docker build and docker push."
            )
        values[f"image.{short}.repository"] = repository
        values[f"image.{short}.tag"] = tag
    return values


def _needs_docker_and_kind() -> None:
    for command, advice in (
        ("docker", "install Docker (https://docs.docker.com/engine/install/)"),
        ("kind", "go install sigs.k8s.io/kind@latest"),
    ):
        if not shutil.which(command):
            raise LocalClusterError(f"CLUSTER=kind needs the command {command}: {advice}.")
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(
            "CLUSTER=kind needs a Docker engine that runs, and `docker info` finds none. Start it, "
            "or leave CLUSTER out: the built-in cluster needs no Docker."
        )
