"""A cluster in Docker, made by kind."""

import json
import os
import shutil
import subprocess
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from localcluster import chart, images
from localcluster.artefacts import artefact
from localcluster.builds import run
from localcluster.layout import ROOT, LocalClusterError, cache_dir
from localcluster.progress import Progress

READY_S = 120
# Ends the name of the node that kind puts before several control planes; it has no containerd.
BALANCER = "-external-load-balancer"


@dataclass(frozen=True)
class Kind:
    """
    A cluster in Docker, made by kind; the images are built by Docker from public bases.

    KIND_IMAGE names the image of its node where not kind's own, KIND_CONFIG a file with kind's
    configuration.
    """

    name: str

    def up(self, progress: Progress) -> None:
        """Bring it up with the images and the chart; leaves alone what is well."""
        _needs_docker_and_kind()
        if self._unfinished.exists():
            self.down(progress)
        if self._there():
            self._wake(progress)
        else:
            self._create(progress)
        tags = self.load_images(progress)
        helm = chart.helm_command(progress)
        chart.install(
            self.kubeconfig(), chart.image_values(tags), helm, progress, values=chart.OWN_VALUES
        )

    def load_images(self, progress: Progress, group: str = "") -> dict[str, str]:
        """Build and load the images of a group; gives the tags."""
        found = images.present(progress, group)
        tags = {image.short: self._build(image, progress) for image in found}
        names = [name for image in found for name in _names(image, tags[image.short])]
        # All at once: what they share goes into the archive, and through the node, once.
        if missing := self._missing(names):
            repositories = {name.rpartition(":")[0] for name in missing}
            with progress.stage(f"Load {len(repositories)} images into kind"):
                run(["kind", "load", "docker-image", "--name", self.name, *missing], "kind load")
        return tags

    def down(self, progress: Progress) -> None:
        """Delete the kind cluster."""
        _needs_docker_and_kind()
        with progress.stage(f"Delete kind cluster {self.name}"):
            run(["kind", "delete", "cluster", "--name", self.name,
                 "--kubeconfig", str(self.kubeconfig())], "kind delete cluster")  # fmt: skip
        self.kubeconfig().unlink(missing_ok=True)
        self._unfinished.unlink(missing_ok=True)

    def kubeconfig(self) -> Path:
        """The path of its kubeconfig, which is not the user's own."""
        return cache_dir() / "kind" / f"{self.name}.kubeconfig"

    def status(self) -> str:
        """What is there, in one line."""
        _needs_docker_and_kind()
        if not self._there():
            return f"{self.name}: not there (kind)"
        if self._unfinished.exists():
            return f"{self.name}: not finished (kind)"
        return f"{self.name}: {'not running' if self._stopped() else 'up'} (kind)"

    @property
    def _unfinished(self) -> Path:
        # There from before kind makes the cluster until it is whole: what a kind that was killed
        # leaves has a node and a name like any other.
        return self.kubeconfig().with_suffix(".unfinished")

    def _there(self) -> bool:
        return self.name in _said_by("kind", "get", "clusters")

    def _create(self, progress: Progress) -> None:
        command = ["kind", "create", "cluster", "--name", self.name, f"--wait={READY_S}s"]
        for option, variable in (("--image", "KIND_IMAGE"), ("--config", "KIND_CONFIG")):
            if value := os.environ.get(variable):
                command += [option, value]
        self._unfinished.parent.mkdir(parents=True, exist_ok=True)
        self._unfinished.touch()
        with progress.stage("Create the kind cluster"):
            try:
                run([*command, "--kubeconfig", str(self.kubeconfig())], "kind create cluster")
            except LocalClusterError as error:
                if "failed to pull image" not in str(error):
                    raise
                raise LocalClusterError(
                    f"{error}\n\nSet KIND_IMAGE to a node image that Docker has or can pull."
                ) from error
        self._unfinished.unlink()

    def _wake(self, progress: Progress) -> None:
        """Start the nodes that Docker has stopped, as with the machine."""
        stopped = self._stopped()
        with progress.stage("Start the kind cluster again") if stopped else nullcontext():
            if stopped:
                run(["docker", "start", *stopped], "docker start")
            self.kubeconfig().parent.mkdir(parents=True, exist_ok=True)
            run(["kind", "export", "kubeconfig", "--name", self.name,
                 "--kubeconfig", str(self.kubeconfig())], "kind export kubeconfig")  # fmt: skip
            self._wait_until_ready(progress)

    def _missing(self, names: list[str]) -> list[str]:
        """
        Names that a node has not, or for another image.

        kind looks too, but with Docker's containerd image store, where an image's ID is the digest
        of its index, it finds none of them, and would load all of them each time.
        """
        ids = _said_by("docker", "image", "inspect", "--format={{.Id}}", *names)
        has = [_images_of(node) for node in self._nodes() if not node.endswith(BALANCER)]
        wanted = zip(names, ids, strict=True)
        return [name for name, own in wanted if any(each.get(name) != own for each in has)]

    def _nodes(self) -> list[str]:
        return _said_by("kind", "get", "nodes", "--name", self.name)

    def _stopped(self) -> list[str]:
        nodes = self._nodes()
        found = json.loads("\n".join(_said_by("docker", "inspect", *nodes)))
        return [each["Name"].lstrip("/") for each in found if not each["State"]["Running"]]

    def _wait_until_ready(self, progress: Progress) -> None:
        kubectl = [str(chart.kubectl_command(progress)), f"--kubeconfig={self.kubeconfig()}"]
        ask = [*kubectl, "get", "--raw=/readyz", "--request-timeout=5s"]
        deadline = time.monotonic() + READY_S
        while (done := subprocess.run(ask, capture_output=True, text=True, check=False)).returncode:
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"The kind cluster {self.name} runs, and its API server does not answer. "
                    f"`make down up` makes it anew.\n{done.stderr}"
                )
            time.sleep(1)

    def _build(self, image: images.Image, progress: Progress) -> str:
        key = image.key(ROOT)
        for each in image.made:
            artefact(each).put(ROOT, progress)
        with progress.stage(f"Build image {image.short} with Docker"):
            tags = [f"--tag={name}" for name in _names(image, key)]
            # With whichever builder Docker has: DOCKER_BUILDKIT=1 would insist on one that is a
            # package of its own. A record of when it was built would make another image each time.
            run(["docker", "build", "-q", *tags, f"--file={ROOT / image.dockerfile}", str(ROOT)],
                f"Building {image.short}",
                env={**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})  # fmt: skip
        return key


def _names(image: images.Image, key: str) -> list[str]:
    return [f"{image.name}:{tag}" for tag in (key, *image.tags)]


def _images_of(node: str) -> dict[str, str]:
    """Digests of the images that a node has, by their names with tags."""
    listed = _said_by("docker", "exec", node, "ctr", "--namespace=k8s.io", "images", "list")
    # Source: ctr's columns are REF, TYPE, DIGEST and more.
    return {fields[0]: fields[2] for line in listed[1:] if len(fields := line.split()) > 2}


def _said_by(*command: str) -> list[str]:
    # Not `run`: what kind says on stderr when there is nothing, "No kind clusters found.", has
    # words that may well be the name of one; and Docker has its warnings there.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(f"{' '.join(command[:3])} failed:\n{done.stderr}")
    return done.stdout.splitlines()


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
