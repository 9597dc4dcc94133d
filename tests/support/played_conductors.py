"""Plays every conductor of a control plane that has no nodes: a thread in the test."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import urllib3
from seatrial.api import names

from tests.support.fake_cluster import Key, Object
from tests.support.kube_api import KubeApi, PlayedConductors
from tests.support.simulation import FakeConductor


class _RealCluster:
    """A real API server, as far as a fake conductor needs one."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self.objects = PlayedConductors(api)
        self._versions = itertools.count(1)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def next_version(self) -> str:
        return str(next(self._versions))

    def patch(self, key: Key, body: Object) -> None:
        self._api.send("PATCH", self.objects.path(key), body)

    def put_data(self, key: Key, data: dict[str, str]) -> None:
        field = "binaryData" if key[2] == names.REPORT_CONFIGMAP else "data"
        self._api.send("PATCH", self.objects.path(key), {field: data})


class Conductors:
    """
    Lets each run's conductor take a step as soon as it can.

    ``hold`` names runs whose conductor does nothing for now, ``steps`` how many more steps the
    conductor of a run may take.
    """

    def __init__(self, api: KubeApi, *, fails: tuple[str, ...] = ()) -> None:
        self.hold: set[str] = set()
        self.steps: dict[str, int] = {}
        self._api = api
        self._fails = fails
        self._cluster: Any = _RealCluster(api)
        self._conductors: dict[str, FakeConductor] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Conductors:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(30)

    def conductor(self, namespace: str, *, fails: bool = False) -> FakeConductor:
        """Give the conductor of a namespace, before or after its first step."""
        made = FakeConductor(self._cluster, namespace, fails=fails)
        return self._conductors.setdefault(namespace, made)

    def _run(self) -> None:
        selector = f"{names.LABEL_COMPONENT}={names.COMPONENT_CONDUCTOR}"
        while not self._stop.wait(0.05):
            for pod in self._api.items("/api/v1/pods", selector):
                metadata = pod["metadata"]
                run = metadata["labels"][names.LABEL_RUN_NAME]
                if run in self.hold or "deletionTimestamp" in metadata:
                    continue
                if self.steps.get(run, 1) <= 0:
                    continue
                namespace = metadata["namespace"]
                conductor = self.conductor(namespace, fails=run in self._fails)
                try:
                    conductor.step()
                except (AssertionError, ValueError, urllib3.exceptions.HTTPError):
                    continue  # the namespace is going, or the API server is away
                if run in self.steps and conductor.began:
                    self.steps[run] -= 1
