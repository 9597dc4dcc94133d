"""The real definitions of other chaos tools, brought by their Go modules when a test needs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kube_api import KubeApi

# Not committed: they are others' work. A directory with the same files may stand in for a module
# where the module cannot be had.
CHAOS_MESH = (
    "github.com/chaos-mesh/chaos-mesh@v0.9.1-0.20260902003049-47411975a8cb",
    "SEATRIAL_CHAOS_MESH",
)
LITMUS = (
    "github.com/litmuschaos/chaos-operator@v0.0.0-20250402061847-af8244e53a0d",
    "SEATRIAL_LITMUS",
)


def definition(source: tuple[str, str], path: str, kind: str) -> dict[str, Any]:
    """Give the definition of a kind from a file of a module; skips the test if it is not had."""
    text = (_directory(*source) / path).read_text()
    return next(
        each
        for each in yaml.safe_load_all(text)
        if each
        and each["kind"] == "CustomResourceDefinition"
        and each["spec"]["names"]["kind"] == kind
    )


def install(api: KubeApi, crd: dict[str, Any]) -> None:
    """Have the API server serve a kind."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd.pop("status", None)
    api.send("POST", path, crd)
    name = crd["metadata"]["name"]

    def established() -> bool:
        found = api.get(f"{path}/{name}") or {}
        conditions = (found.get("status") or {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    api.wait_until(established, f"{name} is served")


def _directory(module: str, variable: str) -> Path:
    given = os.environ.get(variable)
    if given:
        return Path(given)
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"needs go for module {module}, or a directory in {variable}")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [go, "mod", "download", "-json", module],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    answer = json.loads(done.stdout or "{}")
    if "Dir" not in answer:
        why = answer.get("Error") or done.stderr[-300:]
        pytest.skip(f"module {module} cannot be had: {why}; give a directory in {variable}")
    return Path(answer["Dir"])
