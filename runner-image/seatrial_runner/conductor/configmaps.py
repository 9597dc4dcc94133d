"""The run's ConfigMaps: what the operator hands over, and where the conductor writes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.journal import ControlDoc, RunDoc
from seatrial.api.names import (
    CONTROL_KEY,
    JOURNAL_CONFIGMAP,
    RUN_CONFIGMAP,
    RUN_KEY,
)

from seatrial_runner.clock import parse
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.clocks import by_our_clock
from seatrial_runner.journal import Stored

RUN_VERSION = 1
GOES_ON: ControlDoc = {"abort": False, "suspend": False}


def configmap_path(namespace: str, name: str) -> str:
    """Give the path of a ConfigMap."""
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


async def read_run(api: ApiServer, namespace: str, now: datetime) -> tuple[RunDoc, ControlDoc]:
    """
    Read what the operator ordered, with its times by our clock.

    Raises:
        SpecError: There is no such document, or it is of a version this conductor does not speak.
    """
    path = configmap_path(namespace, RUN_CONFIGMAP)
    item = await api.get(path)
    data: dict[str, str] = item.get("data") or {}
    try:
        run: RunDoc = json.loads(data[RUN_KEY])
        version = run["version"]
    except (KeyError, ValueError, TypeError) as error:
        raise SpecError(
            f"ConfigMap {RUN_CONFIGMAP}", f"{RUN_KEY} cannot be read: {error!r}"
        ) from error
    if version != RUN_VERSION:
        raise SpecError(
            f"ConfigMap {RUN_CONFIGMAP}",
            f"{RUN_KEY} has version {version}, this conductor speaks {RUN_VERSION}.",
            "Use operator and runner image of the same release.",
        )
    created = parse(item["metadata"]["creationTimestamp"])
    age = api.time - created if api.time is not None else None
    return by_our_clock(run, age, now), read_control(data)


def read_control(data: dict[str, str]) -> ControlDoc:
    """Read ``control.json``; when there is none, the run goes on."""
    text = data.get(CONTROL_KEY)
    control: ControlDoc = json.loads(text) if text else GOES_ON
    return {**GOES_ON, **control}


class JournalConfigMap:
    """The ConfigMap ``seatrial-journal``, for the journal to read and write."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self._api = api
        self._path = configmap_path(namespace, JOURNAL_CONFIGMAP)

    async def read(self) -> Stored:
        """Give it as it is."""
        item = await self._api.get(self._path)
        return Stored(item.get("data") or {}, item["metadata"]["resourceVersion"])

    async def write(self, data: dict[str, str], resource_version: str) -> str:
        """Replace the keys of ``data`` if nobody has changed the ConfigMap since."""
        body: dict[str, Any] = {"metadata": {"resourceVersion": resource_version}, "data": data}
        item = await self._api.patch(self._path, body)
        version: str = item["metadata"]["resourceVersion"]
        return version
