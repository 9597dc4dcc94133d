"""How pods of manifests read ConfigMaps and Secrets: as they run, or at their start only. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from seatrial.plan.parts import WITH_PODS, Part, pod_of

Key = tuple[str, str]  # kind and name


class Reading(NamedTuple):
    """What a pod reads, and whether it sees while it runs that keys change, or that all is gone."""

    key: Key
    changes: bool
    absence: bool
    service: str = ""


def readings(parts: Sequence[Part]) -> list[Reading]:
    """
    List what pods read.

    A kubelet brings files of a volume up to date, but neither variables nor what is mounted by its
    subPath; and an init container has ended. When an object is gone as a whole, only a volume that
    may do without it is emptied; others stay as they are.

    Source: Kubernetes, pkg/volume/configmap and pkg/volume/secret, SetUpAt.
    """
    return [
        reading._replace(service=part.name)
        for part in parts
        for workload in part.workloads(*WITH_PODS)
        for reading in _readings(pod_of(workload))
    ]


def _readings(pod: Mapping[str, Any]) -> Iterator[Reading]:
    volumes = {str(each.get("name")): list(_held(each)) for each in _maps(pod.get("volumes"))}
    for container in _maps(pod.get("containers")):
        yield from _read_by(container, volumes, goes_on=True)
    for container in _maps(pod.get("initContainers")):
        goes_on = container.get("restartPolicy") == "Always"
        yield from _read_by(container, volumes, goes_on=goes_on)


def _read_by(
    container: Mapping[str, Any],
    volumes: Mapping[str, list[tuple[Key, bool]]],
    *,
    goes_on: bool,
) -> Iterator[Reading]:
    for each in _maps(container.get("volumeMounts")):
        seen = goes_on and not each.get("subPath") and not each.get("subPathExpr")
        for key, is_optional in volumes.get(str(each.get("name")), ()):
            yield Reading(key, seen, seen and is_optional)
    for each in _maps(container.get("env")):
        source = _map(each.get("valueFrom"))
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            key = (kind, str(_map(source.get(field)).get("name")))
            yield Reading(key, changes=False, absence=False)
    for each in _maps(container.get("envFrom")):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            key = (kind, str(_map(each.get(field)).get("name")))
            yield Reading(key, changes=False, absence=False)


def _held(volume: Mapping[str, Any]) -> Iterator[tuple[Key, bool]]:
    """Give what a volume holds, and whether it may do without."""
    fields = (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"))
    for field, kind, name in fields:
        held = _map(volume.get(field))
        yield (kind, str(held.get(name))), held.get("optional") is True
    for source in _maps(_map(volume.get("projected")).get("sources")):
        for field, kind, _ in fields:
            held = _map(source.get(field))
            yield (kind, str(held.get("name"))), held.get("optional") is True


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
