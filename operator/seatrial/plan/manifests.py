"""Plain Kubernetes YAML from users: read within limits, confined to the run's namespace. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.api.journal import PortDoc, WorkloadDoc

Object = dict[str, Any]


@dataclass(frozen=True)
class Contents:
    """What the manifests of a service bring, as far as the conductor needs it."""

    hosts: tuple[str, ...]  # names of the Services
    ports: tuple[PortDoc, ...]
    workloads: tuple[WorkloadDoc, ...]


def read_manifests(texts: Mapping[str, str], field: str) -> list[Object]:
    """
    Parse YAML documents.

    Args:
        texts: YAML by where it comes from: a key of a ConfigMap, or ``inline``.
        field: The field of the run to name in messages, ``spec.services[0].manifests``.

    Raises:
        InvalidSpecError: Not YAML, or more than the limits allow.
    """
    raise NotImplementedError


def confine(
    documents: Sequence[Object],
    *,
    service: str,
    namespace: str,
    labels: Mapping[str, str],
    field: str,
) -> list[Object]:
    """
    Make the objects to apply from what the user wrote.

    Args:
        documents: From ``read_manifests``.
        service: ``spec.services[].name``; becomes a label of every object and pod.
        namespace: The run's own namespace, forced on every object.
        labels: Labels of everything the run creates.
        field: The field of the run to name in messages.

    Returns:
        New objects, in the order given. Pods run as ``seatrial-workload`` without a token.

    Raises:
        InvalidSpecError: An object may not be in a run; each with its reason.
    """
    raise NotImplementedError


def contents(documents: Sequence[Object]) -> Contents:
    """Say which Services, ports and workloads the documents bring."""
    raise NotImplementedError
