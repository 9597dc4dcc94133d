"""The Services of the system under test, as their clients see them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.api.spec import Service


@dataclass(frozen=True)
class FrontPort:
    """A port of a Service; one without a name goes by its number."""

    name: str
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True)
class Front:
    """A Service: its name, which is a host name, and what decides whether it can be carried."""

    host: str
    ports: tuple[FrontPort, ...]
    headless: bool = False
    selects: bool = True  # it has a selector, so that Kubernetes knows its pods
    sound: bool = True  # every port is one; the API server will refuse one that is not

    @property
    def obstacle(self) -> str:
        """Why the gateway cannot carry it, as the end of a sentence; empty if it can."""
        if self.headless:
            return "is headless: its clients connect to the pods themselves"
        if not self.selects:
            return "has no selector, so it leads to no pods of this run"
        if not self.ports:
            return "has no port"
        if not self.sound:
            return "has a port that is none"
        other = next((each for each in self.ports if each.protocol != "TCP"), None)
        if other is not None:
            return f"has port {other.name} of protocol {other.protocol}, and only TCP is carried"
        return ""


def fronts_of(service: Service, documents: Iterable[Mapping[str, Any]]) -> tuple[Front, ...]:
    """
    Name the Services of a part of the system; ``documents`` are those of its manifests.

    The documents may be of any shape: they are read here before anyone has checked them.
    """
    if service.manifests is None:
        ports = tuple(
            FrontPort(port.name, port.port, port.protocol) for port in service.ports or ()
        )
        return (Front(service.name, ports),) if ports else ()
    return tuple(_front(each) for each in documents if each.get("kind") == "Service")


def carried(fronts: Sequence[Front]) -> tuple[Front, ...]:
    """Pick those that the gateway can carry."""
    return tuple(each for each in fronts if not each.obstacle)


def _front(document: Mapping[str, Any]) -> Front:
    spec = _map(document.get("spec"))
    listed = spec.get("ports")
    written = listed if isinstance(listed, list) else []
    ports = tuple(_ports(written))
    return Front(
        host=str(_map(document.get("metadata")).get("name", ""))[:253],
        ports=ports,
        headless=spec.get("clusterIP") == "None",
        selects=bool(_map(spec.get("selector"))),
        sound=len(ports) == len(written),
    )


def _ports(written: Iterable[object]) -> Iterable[FrontPort]:
    for each in written:
        port = _map(each)
        number = port.get("port")
        if isinstance(number, int):
            name, protocol = port.get("name") or number, port.get("protocol") or "TCP"
            yield FrontPort(str(name), number, str(protocol))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
