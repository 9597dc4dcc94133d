"""How large Envoy's configuration becomes: it must fit into a ConfigMap. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from seatrial.api import families
from seatrial.api.faults import Fault
from seatrial.plan.fronts import Front, carried

# An object in etcd may hold 1.5 MiB, a ConfigMap 1 MiB of data.
MAX_BYTES = 1000 * 1024
# Measured, and rounded up; what the user writes comes on top, for the service and for probes.
_PER_LISTENER = 12_000
_PER_ROUTE = 4_100


def envoy_bytes(faults: Iterable[Fault], fronts: Mapping[str, Sequence[Front]]) -> int:
    """
    Give about how many bytes the configuration has; never less than it really has.

    Args:
        faults: Of the run.
        fronts: Its Services, by service.
    """
    http = [fault for fault in faults if fault.kind in families.HTTP]
    total = 0
    for service in dict.fromkeys(fault.target.service for fault in http if fault.target):
        for front in carried(fronts.get(service, ())):
            for port in front.ports:
                here = [fault for fault in http if _is_hit(fault, service, port.name)]
                classes = 1 + len({source for fault in here for source in _sources(fault)})
                routes = sum(_PER_ROUTE + 2 * _written(fault) for fault in here)
                total += classes * (_PER_LISTENER + routes) if here else 0
    return total


def _is_hit(fault: Fault, service: str, port: str) -> bool:
    target = fault.target
    return target is not None and target.service == service and target.port in (None, port)


def _sources(fault: Fault) -> Sequence[str]:
    return (fault.target.from_ or ()) if fault.target else ()


def _written(fault: Fault) -> int:
    assert fault.http is not None
    document = fault.http.model_dump(mode="json", by_alias=True, exclude_none=True)
    # Envoy's own words for a header are longer.
    words = 60 * (len(fault.http.match.headers) + len(fault.http.match.methods))
    return len(json.dumps(document, ensure_ascii=False).encode()) + words
