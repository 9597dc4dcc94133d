"""
The log lines of services, followed from the beginning of a scenario.

A pod takes its log along when it goes, so lines are kept while they are written: what a pod wrote
before it was killed can be found after.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.cluster.pods import containers, one_pod, pods_of, restarts
from seatrial_runner.scenario.world import Cluster, ClusterStepError

Json = dict[str, Any]

MAX_KEPT = 8 * 1024 * 1024  # characters of all lines of one source
_LOOK_S = 10.0
_EVERY_S = 0.5


@dataclass(frozen=True, order=True)
class Line:
    """A line, and where it was written."""

    at: str  # RFC 3339, as precisely as the kubelet says
    pod: str
    container: str
    text: str
    uid: str = field(compare=False, default="")

    @property
    def moment(self) -> datetime:
        """When it was written, to the microsecond."""
        return datetime.fromisoformat(self.at)


@dataclass(frozen=True)
class Source:
    """Whose lines: those of a service, or of one pod; the other one is empty."""

    service: str
    pod: str = ""

    @property
    def name(self) -> str:
        """How it is called in a sentence."""
        return f"pod {self.pod}" if self.pod else f"service {self.service}"

    def pods(self, cluster: Cluster, seconds: Callable[[], float]) -> list[Json]:
        """Give its pods, as they are now."""
        if self.pod:
            return [one_pod(cluster, self.pod, seconds)]
        return pods_of(cluster, self.service, seconds)


class Tails:
    """
    Follows services from now on, in threads, until it is closed.

    Args:
        cluster: Where they are.
        services: By name.
        began: Lines from before are left out.
    """

    def __init__(self, cluster: Cluster, services: set[str], began: datetime) -> None:
        self.began = began
        self._cluster = cluster
        self._sources = [Source(name) for name in sorted(services)]
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._lines: dict[str, set[Line]] = {each.service: set() for each in self._sources}
        self._sizes: dict[str, int] = dict.fromkeys(self._lines, 0)
        self._followed: dict[tuple[str, str, int], Any] = {}
        if self._sources:
            threading.Thread(target=self._discover, daemon=True).start()

    def kept(self, source: Source) -> list[Line]:
        """
        Give what has been written since the beginning.

        Raises:
            ClusterStepError: It was too much to keep all of it.
        """
        with self._lock:
            if self._sizes.get(source.service, 0) > MAX_KEPT:
                text = f"{source.name} has written more than {MAX_KEPT // 2**20} MiB"
                raise ClusterStepError(f"{text}, the most a scenario keeps", permanent=True)
            return list(self._lines.get(source.service, ()))

    def close(self) -> None:
        """End every stream."""
        self._closing.set()
        with self._lock:
            streams = list(self._followed.values())
        for stream in streams:
            if stream is not None:
                stream.close()

    def _discover(self) -> None:
        while not self._closing.is_set():
            for source in self._sources:
                try:
                    for pod in source.pods(self._cluster, lambda: _LOOK_S):
                        self._follow_new(source, pod)
                except ClusterStepError as error:
                    sys.stderr.write(f"logs of {source.name}: {error}\n")
            self._closing.wait(_EVERY_S)

    def _follow_new(self, source: Source, pod: Json) -> None:
        if (pod.get("status") or {}).get("phase") == "Pending":
            return
        for container in containers(pod):
            # Each start of a container has a log of its own.
            key = (str(pod["metadata"]["uid"]), container, restarts(pod, container))
            with self._lock:
                known = key in self._followed
                self._followed.setdefault(key, None)
            if not known:
                arguments = (source, pod, container, key)
                threading.Thread(target=self._follow, args=arguments, daemon=True).start()

    def _follow(self, source: Source, pod: Json, container: str, key: tuple[str, str, int]) -> None:
        try:
            stream = self._cluster.follow(pod, container, rfc3339(self.began))
            with self._lock:
                self._followed[key] = stream
            if self._closing.is_set():
                stream.close()
            for text in stream:
                line = _line(text, pod, container)
                if line is not None and line.moment >= self.began:
                    self._keep(source, line)
        except (ClusterStepError, OSError, ValueError) as error:
            if not self._closing.is_set():
                sys.stderr.write(f"log of {key[0]}/{container}: {error}\n")
                # Taken up again with the next look: what it missed meanwhile is still there.
                self._closing.wait(_EVERY_S)
                with self._lock:
                    self._followed.pop(key, None)

    def _keep(self, source: Source, line: Line) -> None:
        with self._lock:
            if self._sizes[source.service] <= MAX_KEPT:
                self._lines[source.service].add(line)
                self._sizes[source.service] += len(line.text) + 100


def read_lines(
    cluster: Cluster,
    source: Source,
    container: str | None,
    since: datetime | None,
    seconds: Callable[[], float],
) -> tuple[list[Line], int]:
    """
    Read what is there now: of every container, and of its attempt before if it was restarted.

    Returns:
        The lines since then, in order, and from how many pods.
    """
    lines: set[Line] = set()
    pods = source.pods(cluster, seconds)
    for pod in pods:
        for name in containers(pod):
            if container is not None and name != container:
                continue
            for previous in (False, True)[: 1 + bool(restarts(pod, name))]:
                text = cluster.log(pod, name, _since(since), previous=previous, seconds=seconds())
                lines |= set(_parsed(text, pod, name))
    return sorted(each for each in lines if since is None or each.moment >= since), len(pods)


def _since(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _parsed(text: str, pod: Json, container: str) -> Iterator[Line]:
    for each in text.split("\n"):
        if (line := _line(each, pod, container)) is not None:
            yield line


def _line(text: str, pod: Json, container: str) -> Line | None:
    at, space, rest = text.rstrip("\r\n").partition(" ")
    if not space and not at:
        return None
    try:
        datetime.fromisoformat(at)
    except ValueError:  # the kubelet's own words, such as that a log cannot be had
        return None
    metadata = pod["metadata"]
    return Line(at, str(metadata["name"]), container, rest, str(metadata.get("uid")))
