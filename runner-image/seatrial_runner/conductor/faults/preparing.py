"""What the faults of a run need before the gate opens: the gateway, and agents that can do them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from seatrial.api import families
from seatrial.api.errors import FaultError
from seatrial.api.journal import FailureDoc
from seatrial.api.reasons import Reason

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.agents import AgentPlace, key_of
from seatrial_runner.conductor.faults.control_client import UnreachableError
from seatrial_runner.conductor.faults.kinds import Hands, Json
from seatrial_runner.conductor.faults.looking import Spot
from seatrial_runner.conductor.faults.places import GatewayPlace
from seatrial_runner.conductor.faults.targets import has_labels
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.stage import Stage

# Images are pulled meanwhile.
_WITHIN_S = 120.0


async def prepare(stage: Stage, hands: Hands) -> FailureDoc | None:
    """Return None when every declared fault can be carried out, or why one cannot."""
    for failure in await asyncio.gather(
        _prepare_gateway(stage, hands), _prepare_agents(stage, hands)
    ):
        if failure is not None:
            return failure
    return None


async def _prepare_gateway(stage: Stage, hands: Hands) -> FailureDoc | None:
    faults = [each for each in stage.run["faults"] if families.kind_of(each) in families.GATEWAY]
    gateway = hands.gateway
    if not faults or gateway is None:
        return None
    try:
        await gateway.ready(within_s=_WITHIN_S)
        while not await gateway.client.serves():  # Envoy may come later than the gateway itself
            await stage.seen.wait(_AGAIN_S)
        abilities = await gateway.client.abilities(patience_s=_WITHIN_S)
    except UnreachableError as error:
        return _failure(Reason.ENVIRONMENT_FAILED, faults[0], f"{error}: see pod seatrial-gateway")
    for fault in faults:
        if why := abilities.get(families.kind_of(fault)):
            return _unsupported(fault, f"by the gateway: {why}")
    await _look_around(gateway, hands, faults)
    return None


_AGAIN_S = 0.5


async def _look_around(gateway: GatewayPlace, hands: Hands, faults: list[Json]) -> None:
    """See at which spots probes come back, now that no fault is there."""
    spots = [
        Spot(host, port["port"], families.FROM_TESTS)
        for service in hands.services
        for host in service.get("direct") or {}
        for port in service["ports"]
    ]
    await gateway.look_around(spots)


async def _prepare_agents(stage: Stage, hands: Hands) -> FailureDoc | None:
    agents = hands.agents
    if agents is None:
        return None
    wanted: dict[str, list[Json]] = {}
    for key, fault in _wanted(stage):
        wanted.setdefault(key, []).append(fault)
    asked = (_ask(agents.place(key), faults) for key, faults in wanted.items())
    return next((failure for failure in await asyncio.gather(*asked) if failure is not None), None)


async def _ask(place: AgentPlace, faults: list[Json]) -> FailureDoc | None:
    try:
        await place.ready(within_s=_WITHIN_S)
        abilities = await place.client.abilities(patience_s=10.0)
    except FaultError as error:
        if place.pod_is_gone:  # its successor gets an agent when it is hit
            return None
        return _failure(Reason.UNSUPPORTED_FAULT, faults[0], f"needs an agent: {error}")
    for fault in faults:
        if why := abilities.get(families.kind_of(fault)):
            return _unsupported(fault, f"by {place.client.what}: {why}")
    return None


def _wanted(stage: Stage) -> Iterator[tuple[str, Json]]:
    """Give each pod that a fault may choose, by its key, with that fault."""
    for fault in stage.run["faults"]:
        if families.kind_of(fault) not in families.POD:
            continue
        service = stage.service(fault["target"]["service"])
        assert service is not None  # the operator has checked it
        for pod in pods_of(service, stage.seen):
            labelled = has_labels(pod, fault["target"].get("podLabels") or {})
            if pods.phase(pod) == "Running" and not pods.is_going(pod) and labelled:
                yield key_of(pod), fault


def _unsupported(fault: Json, why: str) -> FailureDoc:
    kind = families.kind_of(fault)
    return _failure(Reason.UNSUPPORTED_FAULT, fault, f"{kind} cannot be carried out {why}")


def _failure(reason: str, fault: Json, sentence: str) -> FailureDoc:
    return {
        "reason": str(reason),
        "message": f"Fault {fault['name']}: {sentence}."[:1024],
        "service": (fault.get("target") or {}).get("service") or "",
    }
