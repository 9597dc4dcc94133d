"""Logs that are fetched while their pods are still there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from seatrial.api.errors import ClusterError
from seatrial.api.report import LogDoc

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.logs import tail
from seatrial_runner.conductor.seen import PODS
from seatrial_runner.conductor.stage import Stage

logger = logging.getLogger("seatrial.conductor")

# A fault waits for the logs of its targets no longer than this.
_PATIENCE_S = 1.0
_AT_ONCE = 8


class Keepsakes:
    """
    The logs of containers, by a key in whose order they are told.

    A StatefulSet's pod has the name of its predecessor; both have logs, the older one first.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._fetching = asyncio.Semaphore(_AT_ONCE)
        self.logs: dict[str, LogDoc] = {}

    async def save_logs(self, pod: str) -> None:
        """Keep what the containers of a pod that is about to go have written so far."""
        item = self._stage.seen.get(PODS, pod)
        if item is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._fetch_pod(item)
        except TimeoutError:
            logger.info("logs of pod %s not kept: they took too long", pod)

    async def fetch_all(self, items: Iterable[dict[str, Any]]) -> None:
        """Fetch the logs of all containers of these pods; what fails is left out."""
        await asyncio.gather(*(self._fetch_pod(item) for item in items))

    async def _fetch_pod(self, pod: dict[str, Any]) -> None:
        wanted = [(each.name, False) for each in pods.containers(pod) if _has_run(each)]
        wanted += [(each.name, True) for each in pods.containers(pod) if each.restarts]
        await asyncio.gather(*(self._fetch(pod, *each) for each in wanted))

    async def _fetch(self, pod: dict[str, Any], container: str, previous: bool) -> None:
        name = pods.name(pod)
        try:
            async with self._fetching:
                text = await tail(
                    self._stage.api, self._stage.namespace, name, container, previous=previous
                )
        except ClusterError as error:
            logger.info("no log of %s/%s: %s", name, container, error)
            return
        made = str(pod["metadata"].get("creationTimestamp") or "")
        key = f"{name}/{made}/{pods.uid(pod)}/{container}" + (" (previous)" if previous else "")
        self.logs[key] = {
            "pod": name,
            "container": container,
            "previous": previous,
            "service": pods.service(pod),
            "test": pods.test(pod),
            "text": text,
        }


def _has_run(container: pods.Container) -> bool:
    return container.running_since is not None or container.last_end is not None
