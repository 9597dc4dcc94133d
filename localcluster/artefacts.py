"""What images hold that is in no Debian package: programs built from Go modules, Java archives."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcluster import machine
from localcluster.builds import FERRETDB, MINIO, NOTIFICATIONS, GoProgram, built, key_of, run
from localcluster.layout import HERE, LocalClusterError, cache_dir
from localcluster.progress import Progress

# Where a Dockerfile finds them, from the root of the repository; Git does not keep it.
FOLDER = "localcluster/made"
_KAFKA_POM = HERE / "images/kafka/pom.xml"


@dataclass(frozen=True)
class Artefact:
    """A file or a folder that an image is built with."""

    name: str
    key: str
    get: Callable[[Progress], Path]  # makes it when it is not in the cache

    def put(self, root: Path, progress: Progress) -> None:
        """Copy it to where the Dockerfile finds it, below a root."""
        source, target = self.get(progress), root / FOLDER / self.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)


def artefact(name: str) -> Artefact:
    """
    Give an artefact by its name.

    Raises:
        LocalClusterError: there is none of that name.
    """
    if name not in _ARTEFACTS:
        known = ", ".join(sorted(_ARTEFACTS))
        raise LocalClusterError(f"There is no artefact {name!r}; there are: {known}")
    return _ARTEFACTS[name]


def kafka(progress: Progress) -> Path:
    """Kafka's Java archives, from Maven Central."""
    key = key_of([_KAFKA_POM], HERE)

    def make(target: Path) -> None:
        command = ["mvn", "-q", "-B", f"--file={_KAFKA_POM}", "dependency:copy-dependencies"]
        options = ["-DincludeScope=runtime", f"-DoutputDirectory={target}"]
        run([*command, *options], "Fetching Kafka")

    if (found := cache_dir() / "artefacts" / f"kafka-{key}").exists():
        return found
    machine.install_packages(progress, {"mvn": "maven"})
    with progress.stage("Fetch Kafka"):
        return built("artefacts", f"kafka-{key}", make)


def _program(program: GoProgram) -> Artefact:
    return Artefact(program.name, program.key, program.binary)


_ARTEFACTS = {
    each.name: each
    for each in (
        _program(FERRETDB),
        _program(MINIO),
        _program(NOTIFICATIONS),
        Artefact("kafka", key_of([_KAFKA_POM], HERE), kafka),
    )
}
