"""An object to be made, and the labels all of them carry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from typing import Any, NamedTuple

from seatrial.api import names
from seatrial.plan.blueprint import Blueprint, label_value, run_labels

Json = dict[str, Any]


class ObjectKey(NamedTuple):
    """
    What names an object in the cluster; ``namespace`` is empty for a Namespace.

    ``aspect`` is the part of an object that is written by itself, with a field manager of its own.
    """

    kind: str
    namespace: str
    name: str
    aspect: str = ""


CREATED = "created"  # stands for the digest of what was created just now
FOUND = "found"  # of what was there when it was to be created


class Mode(Enum):
    """How an object is written."""

    APPLY = "server-side apply: made, or brought back to what the plan says"
    CREATE = "made once, never changed by the operator"


class Stage(IntEnum):
    """
    What must exist before what; objects of one stage are written together.

    The API server refuses a pod whose ServiceAccount is missing and completes its resources from
    the LimitRange. The conductor's pod waits for nothing else, because every run waits for it;
    the system under test also waits for its policies, configuration and Services.
    """

    NAMESPACE = 0
    ACCOUNTS = 1
    CONFIGURATION = 2  # and the conductor's pod
    WORKLOADS = 3


_STAGES = {
    "Namespace": Stage.NAMESPACE,
    "ServiceAccount": Stage.ACCOUNTS,
    "LimitRange": Stage.ACCOUNTS,
    "ResourceQuota": Stage.ACCOUNTS,
    "Pod": Stage.WORKLOADS,
    "Deployment": Stage.WORKLOADS,
    "StatefulSet": Stage.WORKLOADS,
    "Job": Stage.WORKLOADS,
}


@dataclass(frozen=True)
class Manifest:
    """
    An object to be made.

    ``random_keys`` are keys of a Secret whose values the cluster layer draws when it creates it:
    the planner knows no randomness.
    """

    body: Mapping[str, Any]
    mode: Mode = Mode.APPLY
    random_keys: tuple[str, ...] = ()
    aspect: str = ""

    @cached_property
    def key(self) -> ObjectKey:
        """What names the object."""
        metadata = self.body["metadata"]
        return ObjectKey(
            self.body["kind"], metadata.get("namespace", ""), metadata["name"], self.aspect
        )

    @property
    def stage(self) -> Stage:
        """When it is written."""
        if self.key.kind == "Pod" and self.key.name == names.CONDUCTOR:
            return Stage.CONFIGURATION
        return _STAGES.get(self.key.kind, Stage.CONFIGURATION)

    @cached_property
    def digest(self) -> str:
        """Equal for equal content."""
        text = json.dumps(self.body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def metadata(run: Blueprint, name: str, component: str, **labels: str) -> Json:
    """Metadata of an object in the run's namespace; label names without the group."""
    extra = {f"{names.GROUP}/{key}": label_value(value) for key, value in labels.items()}
    return {
        "name": name,
        "namespace": run.environment,
        "labels": {**run_labels(run.metadata), names.LABEL_COMPONENT: component, **extra},
    }
