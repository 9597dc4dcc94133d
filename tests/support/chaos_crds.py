"""The real definitions of other chaos tools, brought by their Go modules when a test needs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kube_api import KubeApi


@dataclass(frozen=True)
class Source:
    """
    A Go module; not committed, because it is others' work.

    Attributes:
        module: With its version.
        variable: Of the environment: a directory with the same files, in place of the module.
        in_the_proxy: Whether the Go module proxy has it; a test is skipped only where not.
    """

    module: str
    variable: str
    in_the_proxy: bool


CHAOS_MESH = Source(
    "github.com/chaos-mesh/chaos-mesh@v0.9.1-0.20260902003049-47411975a8cb",
    "SEATRIAL_CHAOS_MESH",
    in_the_proxy=True,
)
LITMUS = Source(
    "github.com/litmuschaos/chaos-operator@v0.0.0-20250402061847-af8244e53a0d",
    "SEATRIAL_LITMUS",
    in_the_proxy=False,
)


def definition(source: Source, path: str, kind: str) -> dict[str, Any]:
    """Give the definition of a kind from a file of a module."""
    text = (_directory(source) / path).read_text()
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

    api.wait_until(established, f"{name} is established")
    spec = crd["spec"]
    served = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    api.wait_until(lambda: api.get(served) is not None, f"{name} is served")


def _directory(source: Source) -> Path:
    given = os.environ.get(source.variable)
    if given:
        return Path(given)
    go = shutil.which("go")
    if go is None:
        raise AssertionError(f"needs go for {source.module}, or a directory in {source.variable}")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [go, "mod", "download", "-json", source.module],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    answer = json.loads(done.stdout or "{}")
    if "Dir" in answer:
        return Path(answer["Dir"])
    why = (
        f"module {source.module} cannot be had: {answer.get('Error') or done.stderr[-300:]};"
        f" give a directory in {source.variable}"
    )
    if source.in_the_proxy:
        raise AssertionError(why)
    pytest.skip(why)
