"""Seatrial itself on the cluster: the Helm chart of this checkout."""

import shutil
from pathlib import Path

from localcluster.builds import HELM, run
from localcluster.layout import HERE, ROOT
from localcluster.progress import Progress

CHART = ROOT / "helm" / "seatrial"
NAMESPACE = "seatrial-system"
TIMEOUT = "120s"


def install(kubeconfig: Path, images: dict[str, str], helm: Path, progress: Progress) -> None:
    """
    Install the chart, or bring it up to date.

    Args:
        kubeconfig: Which cluster.
        images: Chart values that name the images, such as ``image.operator.tag``.
        helm: The helm command.
        progress: Where to show it.
    """
    if not (CHART / "Chart.yaml").exists():
        progress.say(f"  ! {CHART.relative_to(ROOT)} is not there: the operator is not installed")
        return
    settings = [word for item in images.items() for word in ("--set-string", "=".join(item))]
    with progress.stage("Install the chart"):
        run(
            [
                str(helm), "upgrade", "--install", "seatrial", str(CHART),
                f"--kubeconfig={kubeconfig}", "--namespace", NAMESPACE, "--create-namespace",
                *settings, "-f", str(HERE / "values.yaml"), "--wait", f"--timeout={TIMEOUT}",
            ],
            "Installing the chart",
        )  # fmt: skip


def image_values(tags: dict[str, str]) -> dict[str, str]:
    """The chart's values for our own images."""
    values = {}
    for short in ("operator", "runner"):
        if short in tags:
            values[f"image.{short}.repository"] = f"docker.io/seatrial/{short}"
            values[f"image.{short}.tag"] = tags[short]
    return values


def helm_command(progress: Progress) -> Path:
    """The helm on the PATH, or else the one we build."""
    if found := shutil.which("helm"):
        return Path(found)
    return HELM.binary(progress)
