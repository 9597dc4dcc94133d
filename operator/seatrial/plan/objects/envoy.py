"""
Envoy's configuration: HTTP as it came, and a route for each ``http`` fault, which nobody meets yet.

Everything is there from the start. A fault's route matches requests that the fault is on for, and
that is nobody until the gateway says so in a file, which Envoy reads at each request. Connections
that are open already meet the fault too, and it ends at the deadline in the file whoever has died.
See docs/decisions/0011-http-faults-are-routes-of-envoy.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from seatrial.api import names
from seatrial.api.control import ListenerDoc
from seatrial.api.faults import Fault
from seatrial.plan.objects.containers import runner_security_context
from seatrial.plan.objects.envoy_clusters import cluster, lane
from seatrial.plan.objects.envoy_listeners import listener, switchboard
from seatrial.plan.objects.envoy_terms import (
    Places,
    is_slow,
    lane_name,
    loopback,
    probe_lane_name,
    upstream,
)
from seatrial.plan.objects.manifest import Json
from seatrial.plan.settings import PlanSettings

__all__ = [
    "ARGUMENTS",
    "Places",
    "envoy_bootstrap",
    "envoy_container",
    "envoy_shared_mount",
    "envoy_volumes",
]

# One worker: the line that it writes for a mark comes after all that it has written before. Lines
# are written at once, because the gateway reads them when a fault ends; no others are.
ARGUMENTS = (
    "--disable-hot-restart",
    *("--concurrency", "1"),
    *("--log-level", "warning"),
    *("--file-flush-min-size-kb", "0"),
    *("--file-flush-interval-msec", "20"),
)
_CONFIG_DIRECTORY = "/etc/seatrial"
_CONFIG_VOLUME = "envoy"
_SHARED_VOLUME = "envoy-shared"
# The gateway begins new files long before.
_SHARED_SIZE = "128Mi"
_RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "1Gi"}}


def envoy_container(settings: PlanSettings) -> Json:
    """Make Envoy's container in the gateway's pod, as the same user: both use the volume."""
    return {
        "name": "envoy",
        "image": settings.envoy_image,
        "imagePullPolicy": settings.runner_pull_policy,
        "command": ["/usr/local/bin/envoy"],
        "args": ["-c", f"{_CONFIG_DIRECTORY}/{names.ENVOY_CONFIG}", *ARGUMENTS],
        "resources": _RESOURCES,
        "securityContext": runner_security_context(),
        "volumeMounts": [
            {"name": _CONFIG_VOLUME, "mountPath": _CONFIG_DIRECTORY, "readOnly": True},
            envoy_shared_mount(),
        ],
    }


def envoy_shared_mount() -> Json:
    """Give the mount that the gateway's own container needs too."""
    return {"name": _SHARED_VOLUME, "mountPath": names.ENVOY_DIRECTORY}


def envoy_volumes() -> list[Json]:
    """List the pod's volumes: Envoy's configuration, and what it shares with the gateway."""
    return [
        {"name": _CONFIG_VOLUME, "configMap": {"name": names.GATEWAY}},
        # In memory: Envoy's one worker must not wait for a disk.
        {"name": _SHARED_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": _SHARED_SIZE}},
    ]


def envoy_bootstrap(
    listeners: Iterable[tuple[str, ListenerDoc]],
    faults: Sequence[Fault],
    places: Places | None = None,
) -> Json:
    """
    Write Envoy's whole configuration.

    Args:
        listeners: What the gateway carries, each with its service's name in the spec; those
            without ``envoy`` are left out.
        faults: The run's ``http`` faults, in the order of their declaration: where several are on
            at once, a request meets the first whose match and share it falls under.
        places: Where the gateway finds it.
    """
    places = places or Places()
    carried = [(service, doc) for service, doc in listeners if doc["envoy"] is not None]
    clusters: dict[str, Json] = {}
    servers: list[Json] = []
    for service, doc in carried:
        clusters[upstream(doc)] = cluster(upstream(doc), doc["upstreamHost"], doc["port"])
        here = [fault for fault in faults if _is_hit(fault, service, doc["portName"])]
        for fault in filter(is_slow, here):
            for name in (lane_name(fault, doc), probe_lane_name(fault)):
                clusters[name] = lane(name, places)
        for source, port in _ports(doc):
            met = [fault for fault in here if _comes_from(fault, source)]
            servers.append(listener(doc, port, met, places, len(servers)))
    servers.append(switchboard(places))
    return {
        "admin": {"address": loopback(places.admin_port)},
        "static_resources": {"listeners": servers, "clusters": list(clusters.values())},
    }


def _ports(doc: ListenerDoc) -> Iterator[tuple[str | None, int]]:
    assert doc["envoy"] is not None
    yield None, doc["envoy"]["port"]
    yield from doc["envoy"]["sources"].items()


def _is_hit(fault: Fault, service: str, port: str) -> bool:
    target = fault.target
    return target is not None and target.service == service and target.port in (None, port)


def _comes_from(fault: Fault, source: str | None) -> bool:
    assert fault.target is not None
    return fault.target.from_ is None or source in fault.target.from_
