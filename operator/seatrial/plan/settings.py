"""What the cluster's administrator decides, as far as the planner needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from seatrial.api.families import KINDS
from seatrial.plan.presets.images import PresetImages


def _default_quota() -> Mapping[str, str]:
    # Far above what a run needs, far below what would hurt a cluster.
    return {
        "pods": "200",
        "services": "100",
        "count/jobs.batch": "100",
        "persistentvolumeclaims": "20",
    }


def _default_limits() -> Mapping[str, Mapping[str, str]]:
    return {
        "default": {"memory": "1Gi"},
        "defaultRequest": {"cpu": "50m", "memory": "64Mi"},
    }


@dataclass(frozen=True)
class FaultCeiling:
    """What faults may do at most, in every run."""

    kinds: frozenset[str] = frozenset(KINDS)
    max_duration: timedelta = timedelta(hours=1)
    max_pods: int = 100  # percent of a service's pods
    # Such as chaos-mesh.org/v1alpha1/NetworkChaos; None: not known, without a cluster.
    delegated: frozenset[str] | None = frozenset()


@dataclass(frozen=True)
class ClusterNetwork:
    """Where pods find the API server and DNS, as NetworkPolicies see it: behind any Service."""

    api_server_ports: tuple[int, ...] = (443, 6443)
    api_server_cidrs: tuple[str, ...] = ()  # empty: any address
    dns_namespaces: tuple[str, ...] = ("kube-system",)
    dns_ports: tuple[int, ...] = (53,)
    dns_cidrs: tuple[str, ...] = ("169.254.0.0/16",)  # beside the pods there: NodeLocal DNSCache


@dataclass(frozen=True)
class PlanSettings:
    """Bounds and defaults of every run; ``seatrial.app.settings`` names their variables."""

    runner_image: str
    runner_pull_policy: str = "IfNotPresent"
    agent_image: str = ""  # of faults inside pods
    envoy_image: str = ""  # of HTTP faults
    presets: PresetImages = field(default_factory=PresetImages)
    image_pull_secrets: tuple[str, ...] = ()
    pod_security_levels: tuple[str, ...] = ("restricted",)
    faults: FaultCeiling = FaultCeiling()
    network: ClusterNetwork = ClusterNetwork()
    max_concurrent_runs: int = 20
    max_timeout: timedelta = timedelta(hours=4)
    quota: Mapping[str, str] = field(default_factory=_default_quota)
    limits: Mapping[str, Mapping[str, str]] = field(default_factory=_default_limits)
    read_secrets: bool = True
    api_ca: str = ""  # certificates the API server is known by, as PEM; not a variable
