"""An object to be made, and the labels all of them carry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    the LimitRange; the system under test also waits for its policies, configuration and Services.
    """

    ACCOUNTS = 1
    CONFIGURATION = 2
    WORKLOADS = 3


_STAGES = {
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

    The planner knows neither randomness nor tokens; the cluster layer puts them into a Secret when
    it creates it: drawn values under ``random_keys``, a token of the ServiceAccount ``token_of``,
    good for ``token_s`` seconds, under TOKEN_KEY; and ``texts``, in which ``$(KEY)`` stands for
    what was drawn under that key.
    """

    body: Mapping[str, Any]
    mode: Mode = Mode.APPLY
    random_keys: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    token_of: str = ""
    token_s: int = 0
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
        return _STAGES.get(self.key.kind, Stage.CONFIGURATION)

    @property
    def of_conductor(self) -> bool:
        """
        Whether the conductor's pod needs it to start.

        These are written beside everything else, in their own order, because every run waits for
        that pod: ServiceAccount, Secret with its token, pod.
        """
        kinds = ("ServiceAccount", "Secret", "Pod")
        return self.key.kind in kinds and self.key.name == names.CONDUCTOR

    @property
    def of_everyone(self) -> bool:
        """
        Whether pods of both sides need it to start.

        A container whose Secret is missing is looked at again only seconds later.
        Source: Kubernetes, pkg/kubelet, backOffPeriod.
        """
        return self.key.kind == "Secret" and self.key.name == names.CONNECTIONS_SECRET

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
