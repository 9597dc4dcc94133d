"""The chart, rendered by the real helm."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from localcluster.chart import helm_command
from localcluster.layout import ROOT, cache_dir
from localcluster.progress import Progress

Json = dict[str, Any]

CHART = ROOT / "helm" / "seatrial"
RELEASE = "seatrial"
NAMESPACE = "seatrial-system"


class HelmError(Exception):
    """helm refused; the message is what it said."""


def helm(*arguments: str, kubeconfig: Path | str | None = None) -> str:
    """Run helm and give what it printed; raises HelmError."""
    command = [str(helm_command(Progress(cache_dir() / "times.json"))), *arguments]
    if kubeconfig is not None:
        command += ["--kubeconfig", str(kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(done.stdout + done.stderr)
    return done.stdout


def given(**values: object) -> list[str]:
    """Give the arguments that set values: ``given(ha={"enabled": True})``."""
    return [
        word
        for key, value in values.items()
        for word in ("--set-json", f"{key}={json.dumps(value)}")
    ]


def render(*, release: str = RELEASE, **values: object) -> list[Json]:
    """Render the chart with these values, and give its objects."""
    text = helm("template", release, str(CHART), "--namespace", NAMESPACE, *given(**values))
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    """Pick the objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def only(objects: list[Json], kind: str) -> Json:
    """Pick the one object of a kind."""
    (found,) = of_kind(objects, kind)
    return found
