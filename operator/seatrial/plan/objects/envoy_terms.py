"""What the parts of Envoy's configuration have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seatrial.api import names
from seatrial.api.control import ListenerDoc
from seatrial.api.fault_kinds import Http
from seatrial.api.faults import Fault
from seatrial.plan.objects.manifest import Json

HTTP = "envoy.extensions.filters.http"
FILTERS = "envoy.filters.http"
# Two of the same kind, told apart by these names.
SWITCH_FILTER = "seatrial.switch"
MET_FILTER = "seatrial.met"
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


@dataclass(frozen=True)
class Places:
    """Where Envoy and the gateway beside it meet; other than in a pod only in tests."""

    directory: str = names.ENVOY_DIRECTORY
    admin_port: int = names.ENVOY_ADMIN_PORT


def upstream(doc: ListenerDoc) -> str:
    """Name the cluster of the Service behind."""
    return f"{doc['service']}:{doc['port']}"


def lane_name(fault: Fault, doc: ListenerDoc) -> str:
    """Name the lane through the gateway that leads on to a Service."""
    return f"{fault.name}.{doc['listen']}"


def probe_lane_name(fault: Fault) -> str:
    """Name the lane whose end answers probes."""
    return f"{fault.name}.probe"


def is_slow(fault: Fault) -> bool:
    """Tell whether its requests go through the gateway once more, which holds them up."""
    http = http_of(fault)
    return http.delay is not None or http.rate is not None


def http_of(fault: Fault) -> Http:
    """Give what the fault does."""
    assert fault.http is not None
    return fault.http


def http1() -> Json:
    """Give how HTTP/1 is spoken on both sides: header lines as they came."""
    case = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
    return {
        "header_key_format": {"stateful_formatter": extension("preserve_case", case)},
        "enable_trailers": True,
    }


def http2() -> Json:
    """Give how HTTP/2 is spoken on both sides."""
    return {"max_concurrent_streams": 2147483647}


def loopback(port: int) -> Json:
    """Give an address that only this pod has."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def extension(name: str, kind: str, **config: Any) -> Json:
    """Configure a part of Envoy by its name."""
    return {"name": name, "typed_config": typed(kind, **config)}


def typed(kind: str, **config: Any) -> Json:
    """Say what a configuration is of."""
    return {"@type": f"type.googleapis.com/{kind}", **config}
