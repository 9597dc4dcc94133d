"""Runs whose operator is played, for tests of the command line tool."""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seatrial.api.report import LogDoc
from seatrial.cli.client import Cluster, core_path, runs_path

ROOT = Path(__file__).parent.parent.parent
Json = dict[str, Any]

RUN = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: suite, labels: {seatrial.dev/readable-by: runs}}
data: {test_it.py: "def test_it(): pass"}
---
apiVersion: seatrial.dev/v1alpha1
kind: IntegrationTestRun
metadata: {name: NAME}
spec:
  tests:
  - name: suite
    pytest: {configMap: suite}
"""
PATIENCE_S = 60


def write_status(cluster: Cluster, name: str, **status: Any) -> None:
    cluster.merge(f"{runs_path('default', name)}/status", {"status": status})


def when_created(cluster: Cluster, name: str, act: Callable[[Json], None]) -> threading.Thread:
    """Act, in a thread, on the run as soon as it is there."""

    def wait() -> None:
        while True:
            for event in cluster.watch(runs_path("default"), fieldSelector=f"metadata.name={name}"):
                act(event["object"])
                return

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def ends(cluster: Cluster, name: str, verdict: str, **status: Any) -> threading.Thread:
    def finish(run: Json) -> None:
        write_status(cluster, name, phase="Provisioning", namespace="itr-x")
        write_status(cluster, name, phase="Collecting", verdict=verdict, **status)

    return when_created(cluster, name, finish)


def a_condition(kind: str, status: str, message: str = "") -> Json:
    moment = "2026-11-20T12:00:00Z"
    fields = {"type": kind, "status": status, "reason": "Because", "message": message}
    return {**fields, "lastTransitionTime": moment}


def write_report(cluster: Cluster, name: str, parts: dict[str, bytes]) -> None:
    data = {key: base64.b64encode(gzip.compress(part)).decode() for key, part in parts.items()}
    body = {"metadata": {"name": f"{name}-kept"}, "binaryData": data}
    cluster.create(core_path("default", "configmaps"), body)


def a_log(
    pod: str,
    container: str,
    text: str,
    *,
    service: str | None = None,
    test: str | None = None,
    previous: bool = False,
) -> LogDoc:
    return {
        "pod": pod, "container": container, "previous": previous,
        "service": service, "test": test, "text": text,
    }  # fmt: skip
