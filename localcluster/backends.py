"""The clusters ``make up`` can use: our own, kind's, or the one you are connected to."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localcluster import chart, images, local
from localcluster.builds import run
from localcluster.kind import Kind
from localcluster.layout import ClusterFolder, LocalClusterError
from localcluster.progress import Progress


class Backend(Protocol):
    """What every kind of cluster can do."""

    def up(self, progress: Progress) -> None:
        """Bring it up with the images and the chart; leaves alone what is well."""

    def load_images(self, progress: Progress, group: str = "") -> dict[str, str]:
        """Build and import the images of a group that have changed; gives the tags."""

    def down(self, progress: Progress) -> None:
        """Remove what `up` made, and nothing else."""

    def kubeconfig(self) -> Path | str:
        """What KUBECONFIG has to be for it: the path of its kubeconfig, or several paths."""

    def status(self) -> str:
        """What is there, in one line."""


@dataclass(frozen=True)
class Local:
    """A cluster without Docker, see `local`."""

    cluster: ClusterFolder

    def up(self, progress: Progress) -> None:
        """Bring it up with the images and the chart; leaves alone what is well."""
        local.up(self.cluster, progress)
        try:
            tags = self.load_images(progress)
            helm = chart.helm_command(progress)
            values = chart.image_values(tags)
            chart.install(self.kubeconfig(), values, helm, progress, values=chart.OWN_VALUES)
        except LocalClusterError as error:
            wrong = local.what_keeps_ending(self.cluster)
            raise LocalClusterError(f"{error}\n\n{wrong}".strip()) from error

    def load_images(self, progress: Progress, group: str = "") -> dict[str, str]:
        """Build and import the images of a group that have changed; gives the tags."""
        return images.load(self.cluster, progress, images.present(progress, group))

    def down(self, progress: Progress) -> None:
        """Remove the cluster without a trace; the cache stays."""
        local.down(self.cluster, progress)

    def kubeconfig(self) -> Path:
        """The path of its kubeconfig."""
        return self.cluster.kubeconfig

    def status(self) -> str:
        """What is there, in one line."""
        if wrong := local.what_keeps_ending(self.cluster):
            return f"{self.cluster.name}: not well, {wrong}"
        if local.well(self.cluster):
            return f"{self.cluster.name}: up, logs in {self.cluster.logs}"
        if self.cluster.path.exists():
            return f"{self.cluster.name}: not well, logs in {self.cluster.logs}"
        return f"{self.cluster.name}: not there"


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
        self.kubeconfig()  # or says that there is none
        chart.install(
            None,
            _images_from_environment(),
            chart.helm_command(progress),
            progress,
            values=Path(values) if values else None,
        )

    def load_images(self, progress: Progress, group: str = "") -> dict[str, str]:
        """Build none: the cluster pulls them, as its chart's values say."""
        return {}

    def down(self, progress: Progress) -> None:
        """Uninstall the chart; the cluster stays."""
        self.kubeconfig()  # or says that there is none
        with progress.stage("Uninstall the chart"):
            run(
                [str(chart.helm_command(progress)), "uninstall", "seatrial", "--ignore-not-found",
                 "--wait", f"--namespace={chart.NAMESPACE}"],
                "helm uninstall",
            )  # fmt: skip

    def kubeconfig(self) -> str:
        """
        The user's own: where there are several, all of them decide which context is the current.

        Raises:
            LocalClusterError: there is none.
        """
        paths = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        if not any(Path(path).exists() for path in paths.split(os.pathsep) if path):
            raise LocalClusterError(
                f"CLUSTER=current uses your kubeconfig, and {paths} is not there. Set KUBECONFIG."
            )
        return paths

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
