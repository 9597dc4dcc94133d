"""What the controllers of Chaos Mesh do to the objects of a real API server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

Object = dict[str, Any]


class Api(Protocol):
    """An API server."""

    def items(self, path: str) -> list[Object]:
        """Give the objects of a collection."""

    def patch(self, path: str, change: Object) -> Object:
        """Merge a change into an object."""


class Controller:
    """Does to each object of a namespace what the tool's controller does, until closed."""

    def __init__(self, api: Api, path: str, act: Callable[[Object], Object | None]) -> None:
        self.seen: list[Object] = []
        self._api = api
        self._path = path
        self._act = act
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stopped.wait(0.1):
            with suppress(Exception):  # it went meanwhile, or the API server is away
                for item in self._api.items(self._path):
                    self.seen.append(item)
                    self._patch(item, self._act(item))

    def _patch(self, item: Object, change: Object | None) -> None:
        if change is not None:
            self._api.patch(f"{self._path}/{item['metadata']['name']}", change)

    def close(self) -> None:
        """Stop; what is still there holds up no namespace."""
        self._stopped.set()
        self._thread.join()
        with suppress(Exception):
            for item in self._api.items(self._path):
                self._patch(item, {"metadata": {"finalizers": None}})


class ChaosMesh:
    """Injects with a finalizer; recovers when it is over, paused or deleted, then lets it go."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}  # by UID

    def __call__(self, item: Object) -> Object | None:
        """Give the change that the controller would make now."""
        metadata, status = item["metadata"], item.get("status") or {}
        conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
        annotations = metadata.get("annotations") or {}
        now, uid = time.monotonic(), metadata["uid"]
        ends = (
            annotations.get("experiment.chaos-mesh.org/pause") == "true"
            or metadata.get("deletionTimestamp")
            or now > self._ends.get(uid, now)
        )
        if ends and conditions.get("AllRecovered") != "True":
            return _a_status("False", "True", "Stop")
        if metadata.get("deletionTimestamp"):
            return {"metadata": {"finalizers": None}}
        if not ends and conditions.get("AllInjected") != "True":
            duration_s = float(item["spec"]["duration"].removesuffix("ms")) / 1000
            self._ends.setdefault(uid, now + duration_s)
            return {
                "metadata": {"finalizers": ["chaos-mesh/records"]},
                **_a_status("True", "False", "Run"),
            }
        return None


def is_injected(item: Object) -> bool:
    """Tell whether an object of Chaos Mesh says that it is in effect."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return {"type": "AllInjected", "status": "True"} in conditions


def _a_status(injected: str, recovered: str, phase: str) -> Object:
    conditions = [
        {"type": "AllInjected", "status": injected},
        {"type": "AllRecovered", "status": recovered},
        {"type": "Selected", "status": "True"},
    ]
    return {"status": {"conditions": conditions, "experiment": {"desiredPhase": phase}}}
