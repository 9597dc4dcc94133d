"""Whether a fault can hit what it is aimed at, by who carries it out. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from decimal import Decimal

from seatrial.api import families
from seatrial.api.amounts import parse_quantity, parse_share
from seatrial.api.duration import format_duration
from seatrial.api.errors import SpecError
from seatrial.api.fault_kinds import HttpBody
from seatrial.api.faults import Fault, Target
from seatrial.api.names import AGENT_PORT
from seatrial.api.rules import did_you_mean
from seatrial.plan.fronts import Front, carried
from seatrial.plan.manifests import contents
from seatrial.plan.parts import CONTROLLERS, Part

_BY_CONTROLLERS = ("kill", "restart", "evict", "scale", "outage")
_NO_SERVICE = ("Service", "Give it one, in its manifests.")
_SLOWEST_RESPONSE = Decimal(1024)  # Envoy counts in KiB/s


def target_problems(fault: Fault, parts: Mapping[str, Part], field: str) -> Iterator[SpecError]:
    """
    Find what keeps a fault from hitting its target.

    Args:
        fault: With a target.
        parts: The system under test, by service.
        field: Of the fault, such as ``spec.faults[0]``.
    """
    assert fault.target is not None
    part = parts[fault.target.service]
    yield from _pods(fault, fault.target, part, f"{field}.target")
    if fault.kind in families.API:
        yield from _api(fault, part, field)
    elif fault.kind in families.GATEWAY:
        yield from _gateway(fault, fault.target, parts, field)
    elif fault.kind in families.POD:
        yield from _inside(fault, part, field)
    elif fault.kind in families.DELEGATED:
        problem = "is of no use: the resource has a selector of its own."
        yield SpecError(f"{field}.target", problem, "Take it out.")


# Pods --------------------------------------------------------------------------------------------


def _pods(fault: Fault, aim: Target, part: Part, field: str) -> Iterator[SpecError]:
    replicas = part.replicas
    if replicas is None or fault.scale:
        return
    if replicas == 0:
        problem = f"service {part.name} has no pods: its replicas are 0."
        yield SpecError(f"{field}.service", problem, "Give it replicas.")
    elif isinstance(aim.pods, int) and aim.pods > replicas:
        problem = f"service {part.name} has {replicas} replicas only."
        yield SpecError(f"{field}.pods", problem, "Lower it, or write all.")


# Through the API server --------------------------------------------------------------------------


def _api(fault: Fault, part: Part, field: str) -> Iterator[SpecError]:
    target = f"{field}.target.service"
    restarts = fault.configuration is not None and fault.configuration.restart
    by_controller = fault.kind in _BY_CONTROLLERS or restarts
    if by_controller and not part.is_short and part.known:
        if not part.workloads(*CONTROLLERS):
            problem = f"service {part.name} has no Deployment or StatefulSet,"
            problem += " so nothing would bring its pods back."
            yield SpecError(target, problem, "Make it one of them.")
        elif (fault.kill or fault.evict or restarts) and (bare := part.workloads("Pod")):
            name = contents(bare).workloads[0]["name"]
            problem = f"nothing would bring back pod {name} of {part.name}."
            yield SpecError(target, problem, "Make it a Deployment.")
    if fault.scale:
        yield from _scale(fault.scale.replicas, part, f"{field}.scale.replicas")
    if fault.outage and not part.has_volume:
        problem = f"service {part.name} has no volume: what it has stored is lost with its pods."
        remedy = "Give it volumes; or use scale: {replicas: 0}, if there is nothing to keep."
        yield SpecError(target, problem, remedy)
    if fault.no_endpoints and part.known and not any(each.selects for each in part.fronts):
        problem = f"service {part.name} has no Service that could be cut off from its pods."
        yield SpecError(target, problem, "Give it ports.")


def _scale(replicas: int, part: Part, field: str) -> Iterator[SpecError]:
    if replicas == part.replicas:
        problem = f"service {part.name} has {replicas} replicas already."
        yield SpecError(field, problem, "Give another number.")
    elif replicas > 1 and part.service.volumes:
        problem = f"service {part.name} has volumes, which only one pod can use."
        yield SpecError(field, problem, "Use 0.")


# Through the gateway -----------------------------------------------------------------------------


def _gateway(
    fault: Fault, aim: Target, parts: Mapping[str, Part], field: str
) -> Iterator[SpecError]:
    part = parts[aim.service]
    if part.known:
        here = carried(part.fronts)
        if not here:
            yield _cannot_carry(part, f"{field}.target.service")
        else:
            yield from _port(fault, aim, part, here, field)
    if aim.connections is not None:
        yield from _share(aim.connections, f"{field}.target.connections")
    if fault.partition:
        yield from _other_side(fault, aim, parts, field)
    yield from _amounts(fault, field)


def _cannot_carry(part: Part, field: str) -> SpecError:
    if not part.fronts:
        lacking, remedy = ("ports", "Give it ports.") if part.is_short else _NO_SERVICE
        problem = f"service {part.name} has no {lacking}, so no traffic reaches it."
        return SpecError(field, problem, remedy)
    front = part.fronts[0]
    problem = f"the gateway cannot carry Service {front.host}: it {front.obstacle}."
    if front.headless:
        remedy = "Use packets, a fault inside its pods; or give it a Service with an address."
    else:
        remedy = "Use packets, a fault inside its pods; or put its TCP ports into another Service."
    return SpecError(field, problem, remedy)


def _port(
    fault: Fault, aim: Target, part: Part, here: tuple[Front, ...], field: str
) -> Iterator[SpecError]:
    ports = {port.name: port.port for front in here for port in front.ports}
    if aim.port is not None and aim.port not in ports:
        problem = f"service {part.name} has no TCP port named {aim.port!r}."
        yield SpecError(f"{field}.target.port", problem, did_you_mean(aim.port, ports))
    elif fault.http and aim.port is None and len(ports) > 1:
        problem = f"service {part.name} has several ports: {', '.join(ports)}."
        yield SpecError(f"{field}.target", problem, "Say in port which of them speaks HTTP.")


def _other_side(
    fault: Fault, aim: Target, parts: Mapping[str, Part], field: str
) -> Iterator[SpecError]:
    """Find services that the target could go on asking, because the gateway cannot carry them."""
    assert fault.partition is not None
    if fault.partition.direction == "toTarget":
        return
    sources = aim.from_ or []
    others = [parts[name] for name in sources if name != families.FROM_TESTS]
    for index, name in enumerate(sources):
        if name == families.FROM_TESTS:
            continue
        part = parts[name]
        if part.known and part.fronts and not carried(part.fronts):
            error = _cannot_carry(part, f"{field}.target.from[{index}]")
            remedy = "Write direction: toTarget, or give it a Service that can be carried."
            yield SpecError(error.field, error.problem, remedy)
    asked = any(not part.known or part.fronts for part in others)
    if fault.partition.direction == "fromTarget" and not asked:
        problem = "is fromTarget, and nothing in target.from has ports that it could ask."
        yield SpecError(f"{field}.partition.direction", problem, "Write toTarget.")


def _amounts(fault: Fault, field: str) -> Iterator[SpecError]:
    if fault.bandwidth:
        least = Decimal(1)
        yield from _rate(fault.bandwidth.rate, least, f"{field}.bandwidth.rate")
    if fault.corrupt:
        yield from _share(fault.corrupt.share, f"{field}.corrupt.share")
    if fault.reset and fault.for_ and fault.reset.after and fault.reset.after >= fault.for_:
        problem = f"is as long as the fault lasts ({format_duration(fault.for_)})."
        yield SpecError(f"{field}.reset.after", problem, "Shorten it.")
    if fault.http:
        yield from _share(fault.http.share, f"{field}.http.share")
        if fault.http.rate:
            yield from _rate(fault.http.rate, _SLOWEST_RESPONSE, f"{field}.http.rate")
        if fault.http.body:
            yield from _body(fault.http.body, f"{field}.http.body")


def _body(body: HttpBody, field: str) -> Iterator[SpecError]:
    if body.content_type and any(ord(each) < 32 for each in body.content_type):
        problem = "has a line break or another control character."
        yield SpecError(f"{field}.contentType", problem, "Take it out.")


def _rate(rate: str, least: Decimal, field: str) -> Iterator[SpecError]:
    if parse_quantity(rate) < least:
        text = "1Ki" if least == _SLOWEST_RESPONSE else "1"
        problem = f"{rate} is less than {text} byte per second."
        yield SpecError(field, problem, "Raise it; or use blackhole to stop everything.")


def _share(share: str, field: str) -> Iterator[SpecError]:
    if parse_share(share) == 0:
        yield SpecError(field, f"is {share}: nothing would be hit.", "Raise it.")


# In the target's pod -----------------------------------------------------------------------------


def _inside(fault: Fault, part: Part, field: str) -> Iterator[SpecError]:
    if part.known and not part.is_short and not part.workloads(*CONTROLLERS, "Pod"):
        problem = f"service {part.name} has no pods that stay."
        yield SpecError(f"{field}.target.service", problem, "Give it a Deployment.")
    for port in part.service.ports or ():
        if (port.target_port or port.port) == AGENT_PORT:
            problem = (
                f"service {part.name} listens on port {AGENT_PORT}, as the fault's agent does."
            )
            yield SpecError(f"{field}.target.service", problem, "Let it listen on another port.")
    if fault.packets:
        shares = ("loss", "duplicate", "reorder", "corrupt")
        for name in shares:
            if share := getattr(fault.packets, name):
                yield from _share(share, f"{field}.packets.{name}")
    if fault.dns and fault.dns.address is not None and not _is_address(fault.dns.address):
        problem = f"{fault.dns.address[:80]!r} is no IP address."
        yield SpecError(f"{field}.dns.address", problem, "Write one such as 10.0.0.1.")
    if fault.cpu:
        yield from _share(fault.cpu.load, f"{field}.cpu.load")
    if fault.memory and parse_quantity(fault.memory.size) < 1:
        yield SpecError(f"{field}.memory.size", "is nothing.", "Raise it.")
    if fault.disk and part.known and not _is_on(fault.disk.path, part):
        problem = f"{fault.disk.path[:80]} is on no volume of service {part.name}."
        there = ", ".join(list(part.mounts())[:8])
        remedy = f"There is: {there}." if there else "Give the service volumes."
        yield SpecError(f"{field}.disk.path", problem, remedy)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_on(path: str, part: Part) -> bool:
    return any(f"{path}/".startswith(f"{mount.rstrip('/')}/") for mount in part.mounts())
