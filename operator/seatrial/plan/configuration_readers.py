"""How pods of manifests read ConfigMaps and Secrets: as they run, or at their start only. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seatrial.plan.parts import WITH_PODS, Part, pod_of

Key = tuple[str, str]  # kind and name


def at_start_only(parts: Sequence[Part]) -> set[Key]:
    """
    List what is read by pods, and by none of them while it runs.

    A kubelet brings files of a volume up to date, but neither variables nor what is mounted by its
    subPath; and an init container has ended.
    """
    readings = [
        reading
        for part in parts
        for workload in part.workloads(*WITH_PODS)
        for reading in _readings(pod_of(workload))
    ]
    return {key for key, _ in readings} - {key for key, anytime in readings if anytime}


def _readings(pod: Mapping[str, Any]) -> Iterator[tuple[Key, bool]]:
    """Give what a pod reads, and whether it sees changes."""
    volumes = {str(each.get("name")): list(_held(each)) for each in _maps(pod.get("volumes"))}
    for container in _maps(pod.get("containers")):
        yield from _read_by(container, volumes, goes_on=True)
    for container in _maps(pod.get("initContainers")):
        goes_on = container.get("restartPolicy") == "Always"
        yield from _read_by(container, volumes, goes_on=goes_on)


def _read_by(
    container: Mapping[str, Any], volumes: Mapping[str, list[Key]], *, goes_on: bool
) -> Iterator[tuple[Key, bool]]:
    for each in _maps(container.get("volumeMounts")):
        whole = not each.get("subPath") and not each.get("subPathExpr")
        for key in volumes.get(str(each.get("name")), ()):
            yield key, whole and goes_on
    for each in _maps(container.get("env")):
        source = _map(each.get("valueFrom"))
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            yield (kind, str(_map(source.get(field)).get("name"))), False
    for each in _maps(container.get("envFrom")):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            yield (kind, str(_map(each.get(field)).get("name"))), False


def _held(volume: Mapping[str, Any]) -> Iterator[Key]:
    """Give what a volume holds."""
    yield "ConfigMap", str(_map(volume.get("configMap")).get("name"))
    yield "Secret", str(_map(volume.get("secret")).get("secretName"))
    for source in _maps(_map(volume.get("projected")).get("sources")):
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            yield kind, str(_map(source.get(field)).get("name"))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
