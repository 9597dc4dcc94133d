"""A part of the system under test, as far as faults and probes need to know it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seatrial.api.spec import Service
from seatrial.plan.fronts import Front, fronts_of

CONTROLLERS = ("Deployment", "StatefulSet")
WITH_PODS = (*CONTROLLERS, "Pod", "Job")


@dataclass(frozen=True)
class Part:
    """
    A service of the spec, and the objects of its manifests.

    Those may be of any shape. They are empty for the short form, and where ``known`` is False:
    then they are in a ConfigMap that nobody has read.
    """

    service: Service
    documents: Sequence[Mapping[str, Any]] = ()
    known: bool = True

    @property
    def name(self) -> str:
        """``spec.services[].name``."""
        return self.service.name

    @property
    def is_short(self) -> bool:
        """Whether it is of the short form."""
        return self.service.manifests is None

    @cached_property
    def fronts(self) -> tuple[Front, ...]:
        """Its Services."""
        return fronts_of(self.service, self.documents)

    @property
    def replicas(self) -> int | None:
        """How many pods it has; None if that is not known, or pods are no matter of it."""
        if self.is_short:
            return 1 if self.service.replicas is None else self.service.replicas
        workloads = self.workloads(*WITH_PODS)
        return sum(map(_replicas, workloads)) if workloads else None

    def workloads(self, *kinds: str) -> list[Mapping[str, Any]]:
        """Pick its workloads of these kinds, in manifests."""
        return [each for each in self.documents if each.get("kind") in kinds]

    @property
    def has_volume(self) -> bool:
        """Whether what it stores outlives its pods; yes if that is not known."""
        if self.is_short or not self.known:
            return not self.is_short or bool(self.service.volumes)
        return any(_keeps_data(each) for each in self.workloads(*CONTROLLERS))

    def mounts(self) -> Iterator[str]:
        """Name the directories of volumes in its containers."""
        if self.is_short:
            yield from (volume.path for volume in self.service.volumes or ())
        for workload in self.workloads(*WITH_PODS):
            for container in _list(pod_of(workload).get("containers")):
                for mount in _list(_map(container).get("volumeMounts")):
                    yield str(_map(mount).get("mountPath", ""))


def workload_kind(service: Service) -> str:
    """
    Say what a service in its short form is made as.

    Two pods must never write to the same data. A Deployment makes a successor beside a pod that is
    still ending, whatever its strategy; a StatefulSet makes one when it is gone.
    """
    return "StatefulSet" if service.volumes else "Deployment"


def pod_of(workload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the spec of a workload's pods."""
    spec = _map(workload.get("spec"))
    return spec if workload.get("kind") == "Pod" else _map(_map(spec.get("template")).get("spec"))


def _replicas(workload: Mapping[str, Any]) -> int:
    given = _map(workload.get("spec")).get("replicas")
    return given if isinstance(given, int) and workload.get("kind") in CONTROLLERS else 1


def _keeps_data(workload: Mapping[str, Any]) -> bool:
    volumes = _list(pod_of(workload).get("volumes"))
    claims = _map(workload.get("spec")).get("volumeClaimTemplates")
    return bool(claims) or any("persistentVolumeClaim" in _map(each) for each in volumes)


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
