"""Which module carries out which kind of fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from seatrial.api import families

from seatrial_runner.conductor.faults.configuration import Configuration
from seatrial_runner.conductor.faults.delegated import Delegated
from seatrial_runner.conductor.faults.evict import Evict
from seatrial_runner.conductor.faults.gateway import Traffic
from seatrial_runner.conductor.faults.inside import Inside, Met
from seatrial_runner.conductor.faults.kill import Kill
from seatrial_runner.conductor.faults.kinds import Json, Kind
from seatrial_runner.conductor.faults.no_endpoints import NoEndpoints
from seatrial_runner.conductor.faults.restart import Restart
from seatrial_runner.conductor.faults.scale import Outage, Scale

TABLE: Mapping[str, Callable[[], Kind]] = {
    "kill": Kill,
    "restart": Restart,
    "evict": Evict,
    "scale": Scale,
    "outage": Outage,
    "noEndpoints": NoEndpoints,
    "configuration": Configuration,
    **dict.fromkeys(families.GATEWAY, Traffic),
    **dict.fromkeys(families.POD, Inside),
    "packets": Met,
    "dns": Met,
    **dict.fromkeys(families.DELEGATED, Delegated),
}


def kind_of(fault: Json) -> Kind:
    """Give the module that can do a fault."""
    return TABLE[families.kind_of(fault)]()
