"""What the gateway carries: which Services, on which ports, and what through Envoy. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from seatrial.api import families, names
from seatrial.api.control import EnvoyDoc, GatewayDoc, ListenerDoc
from seatrial.api.faults import Fault
from seatrial.plan.fronts import Front, carried

MAX_LISTENERS = 256
# The gateway's configuration is a variable of its pod; Linux bounds each at 128 KiB.
MAX_BYTES = 120 * 1024


@dataclass(frozen=True)
class Carried:
    """A Service that the gateway stands in for."""

    service: str  # spec.services[].name
    host: str  # name of the Service
    listeners: tuple[ListenerDoc, ...]  # in the order of its ports

    @property
    def direct(self) -> str:
        """Name of the Service behind it, which leads to its pods."""
        return names.direct_service(self.host)


@dataclass(frozen=True)
class GatewayPlan:
    """Everything that the gateway of a run carries."""

    carried: tuple[Carried, ...]
    http_faults: tuple[Fault, ...]

    @property
    def document(self) -> GatewayDoc:
        """The gateway's configuration."""
        return GatewayDoc(
            listeners=[listener for each in self.carried for listener in each.listeners],
            httpFaults=[fault.name for fault in self.http_faults],
        )

    @property
    def is_too_large(self) -> bool:
        """Whether the configuration does not fit into a variable."""
        return len(json.dumps(self.document)) > MAX_BYTES

    def direct(self, service: str) -> dict[str, str]:
        """Say where the pods of a service are without the gateway between: host by host."""
        return {each.host: each.direct for each in self.carried if each.service == service}

    def of(self, host: str) -> Carried | None:
        """Find a Service by its name; None if it is not carried."""
        return next((each for each in self.carried if each.host == host), None)


def is_needed(faults: Iterable[Fault]) -> bool:
    """Tell whether a fault needs the gateway."""
    return any(fault.kind in families.GATEWAY for fault in faults)


def plan_gateway(
    faults: Sequence[Fault], fronts: Mapping[str, Sequence[Front]]
) -> GatewayPlan | None:
    """
    Choose what is carried.

    Args:
        faults: Of the run, checked by ``validate``.
        fronts: Its Services, by service.

    Returns:
        The same for the same run, however often it is asked; None if no fault needs a gateway.
    """
    if not is_needed(faults):
        return None
    http = tuple(fault for fault in faults if fault.kind in families.HTTP)
    listen, envoy = count(names.GATEWAY_FIRST_LISTEN), count(names.ENVOY_FIRST_LISTEN)
    chosen = []
    for service in carried_services(faults):
        for front in carried(fronts.get(service, ())):
            listeners = tuple(
                ListenerDoc(
                    service=front.host,
                    portName=port.name,
                    port=port.port,
                    listen=next(listen),
                    upstreamHost=names.direct_service(front.host),
                    envoy=_envoy(service, port.name, http, envoy),
                )
                for port in front.ports
            )
            chosen.append(Carried(service, front.host, listeners))
    return GatewayPlan(tuple(chosen), http)


def carried_services(faults: Iterable[Fault]) -> list[str]:
    """Name the services that are carried, in order: targets, and the other side of partitions."""
    services: dict[str, None] = {}
    for fault in faults:
        if fault.kind in families.GATEWAY and fault.target is not None:
            services[fault.target.service] = None
            services |= dict.fromkeys(asked_back(fault))
    return list(services)


def asked_back(fault: Fault) -> Iterator[str]:
    """Name the services that a partition keeps its target from asking."""
    if fault.partition is None or fault.target is None or fault.partition.direction == "toTarget":
        return
    for source in fault.target.from_ or ():
        if source != families.FROM_TESTS:
            yield source


def _envoy(
    service: str, port: str, http: Sequence[Fault], numbers: Iterator[int]
) -> EnvoyDoc | None:
    """Give a port of Envoy to everyone, and one to each source that a fault tells apart."""
    here = [
        fault.target
        for fault in http
        if fault.target is not None
        and fault.target.service == service
        and fault.target.port in (None, port)
    ]
    if not here:
        return None
    sources = dict.fromkeys(source for target in here for source in target.from_ or ())
    return EnvoyDoc(port=next(numbers), sources={source: next(numbers) for source in sources})
