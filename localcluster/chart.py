"""Seatrial itself on the cluster: the Helm chart of this checkout."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from localcluster.builds import HELM, KUBERNETES, key_of, locked, run
from localcluster.layout import HERE, ROOT, LocalClusterError, cache_dir
from localcluster.progress import Progress

CHART = ROOT / "helm" / "seatrial"
# For clusters of our own; on the user's, everything is as a user gets it.
OWN_VALUES = HERE / "values.yaml"
NAMESPACE = "seatrial-system"
TIMEOUT = "180s"  # of a machine that is busy with other things


def install(
    kubeconfig: Path | None,
    images: dict[str, str],
    helm: Path,
    progress: Progress,
    *,
    values: Path | None = None,
) -> None:
    """
    Install the chart, or bring it up to date.

    Args:
        kubeconfig: Which cluster; None for the one that kubectl and helm use by themselves.
        images: Chart values that name the images, such as ``image.operator.tag``.
        helm: The helm command.
        progress: Where to show it.
        values: A file with more values.
    """
    if not (CHART / "Chart.yaml").exists():
        progress.say(f"  ! {CHART.relative_to(ROOT)} is not there: the operator is not installed")
        return
    settings = [word for item in images.items() for word in ("--set-string", "=".join(item))]
    target = [f"--namespace={NAMESPACE}"]
    target += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
    # By its content, not its path: a second checkout need not install it again.
    key = key_of([CHART], ROOT, *settings, values.read_text() if values else "")
    settings += [f"--values={values}"] if values else []
    client = [str(kubectl_command(progress)), *target]
    with locked(f"chart-{key_of([], ROOT, str(kubeconfig))}"):
        release = _release([str(helm), *target])
        if _installed(key, release, client):
            progress.say("  ✓ The chart is installed")
            return
        with progress.stage("Install the chart"):
            if values == OWN_VALUES:
                _forget_what_was_killed(release, client)
            command = [str(helm), "upgrade", "--install", "seatrial", str(CHART), *target]
            command += ["--create-namespace", *settings, f"--description={key}", "--wait"]
            try:
                run([*command, f"--timeout={TIMEOUT}"], "Installing the chart")
            except LocalClusterError as error:
                raise LocalClusterError(f"{error}\n\n{_what_is_wrong(client)}") from error


def _release(helm: list[str]) -> dict[str, Any]:
    """What helm knows of it: ``status``, ``description`` and more; empty when it is not there."""
    status = subprocess.run(
        [*helm, "status", "seatrial", "--output=json"], capture_output=True, check=False
    )
    return {} if status.returncode else dict(json.loads(status.stdout)["info"])


def _installed(key: str, release: dict[str, Any], kubectl: list[str]) -> bool:
    if release.get("status") != "deployed" or release["description"] != key:
        return False
    available = [
        *("wait", "deployment", "--selector=app.kubernetes.io/instance=seatrial"),
        *("--for=condition=Available", "--timeout=1s"),
    ]
    return subprocess.run([*kubectl, *available], capture_output=True, check=False).returncode == 0


def _forget_what_was_killed(release: dict[str, Any], kubectl: list[str]) -> None:
    """
    Forget an installation that never ended: helm would refuse ours for its sake.

    NB: on a cluster of our own, under our lock, nobody is at it; on the user's, someone may be.
    """
    status = str(release.get("status", ""))
    if status.startswith("pending-"):
        run(
            [*kubectl, "delete", "secret", f"--selector=owner=helm,name=seatrial,status={status}"],
            "Forgetting an installation that was killed",
        )


def _what_is_wrong(kubectl: list[str]) -> str:
    parts = [
        ["get", "pods"],
        ["logs", "--selector=app.kubernetes.io/name=seatrial", "--tail=15", "--prefix=false"],
    ]
    return "\n".join(
        subprocess.run([*kubectl, *part], capture_output=True, text=True, check=False).stdout
        for part in parts
    )


def image_values(tags: dict[str, str]) -> dict[str, str]:
    """The chart's values for our own images."""
    values = {}
    for short in ("operator", "runner", "agent", "envoy"):
        if short in tags:
            values[f"image.{short}.repository"] = f"docker.io/seatrial/{short}"
            values[f"image.{short}.tag"] = tags[short]
    return values


def helm_command(progress: Progress) -> Path:
    """The helm that we built, or the one on the PATH, or else it is built now."""
    if not HELM.cached() and (found := shutil.which("helm")):
        return Path(found)
    return HELM.binary(progress)


def kubectl_command(progress: Progress) -> Path:
    """Likewise; ours is the cluster's own binary by another name, so it always fits the cluster."""
    if not KUBERNETES.cached() and (found := shutil.which("kubectl")):
        return Path(found)
    link = cache_dir() / "bin" / "kubectl"
    scratch = link.with_name(f".kubectl.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(KUBERNETES.binary(progress))
    scratch.replace(link)
    return link
