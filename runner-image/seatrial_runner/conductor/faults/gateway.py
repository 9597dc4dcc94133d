"""Faults in traffic: the gateway carries them out, and probes see that they are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from seatrial.api import families
from seatrial.api.amounts import parse_share
from seatrial.api.control import FaultOrder, PathDoc
from seatrial.api.errors import NotInjectedError
from seatrial.api.journal import ServiceDoc, TargetState

from seatrial_runner.clock import parse
from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import Aim, Evidence, Hands, Intent, Json, target
from seatrial_runner.conductor.faults.looking import Sight, Spot, can_be_seen, look_for
from seatrial_runner.conductor.faults.places import GatewayPlace
from seatrial_runner.conductor.faults.remote import Remote, an_undo
from seatrial_runner.conductor.faults.timeline import lasts_s
from seatrial_runner.conductor.readiness import pods_of

GATEWAY = "gateway"  # key of the only place
_MARGIN_S = 0.05  # before a fault's end, from which on a look may be too late


class Traffic(Remote):
    """A fault at layer 4, or of HTTP."""

    bearer = "what carried the fault out, such as Envoy"

    def __init__(self) -> None:
        self._looks = 0  # of probes, that came to their end and saw nothing
        self._refused = 0  # probes, by closed ports
        self._checks: Callable[[], int] = int  # of ours, that were counted as connections
        self._ends = False

    def aim(self, aim: Aim) -> Intent:
        """Take the paths that lead to the target's Services."""
        kind = families.kind_of(aim.fault)
        lasts = lasts_s(aim.fault)
        assert lasts is not None  # the schema has checked it
        order = FaultOrder(
            kind=kind,
            params=dict(aim.fault[kind]),
            forS=lasts,
            seed=aim.seed,
            paths=paths_of(aim),
        )
        if share := aim.fault["target"].get("connections"):
            order["connections"] = parse_share(share)
        return Intent(targets=_targets(aim), undo=an_undo(aim.fault, {GATEWAY: order}, aim.stamp))

    def place(self, hands: Hands, key: str) -> GatewayPlace:
        """Give the gateway."""
        if hands.gateway is None:
            raise NotInjectedError("this run has no gateway")
        return hands.gateway

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """See that probes come back as long as nothing is wrong, then order it."""
        await self.place(hands, GATEWAY).look_around(spots_of(hands, intent.undo))
        self._checks = hands.checked.from_now(intent.undo["orders"][GATEWAY])
        await super().apply(hands, intent)

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """Probe until the effect is seen on every path."""
        place, order = self.place(hands, GATEWAY), intent.undo["orders"][GATEWAY]
        spots = [spot for spot in spots_of(hands, intent.undo) if place.echoes(spot)]
        ordered_by_us = "earliest" in intent.undo
        if not spots or not ordered_by_us or not can_be_seen(order["kind"], order["params"]):
            await asyncio.Event().wait()  # nobody can look; the end will say so
        left = parse(intent.undo["earliest"]) - parse(hands.at())
        sight = Sight(
            fault=intent.undo["fault"],
            kind=order["kind"],
            params=order["params"],
            lasts_s=order["forS"],
            token=await place.token(),
            ends=time.monotonic() + left.total_seconds() - _MARGIN_S,
        )
        if order["kind"] == "refuse":
            self._refused = len(spots)  # at most, and until it is known
        moment, self._refused = await look_for(sight, spots, self._looked)
        return moment

    async def undo(self, hands: Hands, intent: Intent) -> Evidence | None:
        """Have it ended; a probe that this lets go has not missed it."""
        self._ends = True
        return await super().undo(hands, intent)

    def corrected(self, evidence: Evidence) -> Evidence:
        """Take off the probes and checks that were counted as connections."""
        hits = max(evidence.hits - self._refused - self._checks(), 0)
        return replace(evidence, hits=hits, first_hit=evidence.first_hit if hits else None)

    def _looked(self) -> None:
        if not self._ends:
            self._looks += 1

    def without_effect(self, fault: Json, hits: int) -> str:
        """Say which probe has seen nothing; a connection that met it before one could, has."""
        if hits and not self._looks:
            return ""
        kind = families.kind_of(fault)
        return (
            f"no probe of the conductor has seen {kind} on its way to service"
            f" {fault['target']['service']} before the fault ended; see the log of pod"
            " seatrial-gateway, and let the fault last longer than its effect takes to be seen"
        )


def paths_of(aim: Aim) -> list[PathDoc]:
    """
    Give the traffic that is hit.

    Raises:
        NotInjectedError: There is none that a gateway carries.
    """
    wanted = aim.fault["target"]
    sources: list[str] | None = wanted.get("from")
    paths = []
    way = (aim.fault.get("partition") or {}).get("direction", "toTarget")
    if way in ("both", "toTarget"):
        paths += [
            PathDoc(service=host, port=wanted.get("port"), sources=sources)
            for host in _carried(aim.service)
        ]
    if way in ("both", "fromTarget"):
        others = [each for each in aim.services if each["name"] in (sources or [])]
        paths += [
            PathDoc(service=host, port=None, sources=[aim.service["name"]])
            for other in others
            for host in _carried(other)
        ]
    if not paths:
        raise NotInjectedError(f"the gateway carries no Service of {aim.service['name']}")
    return paths


def spots_of(hands: Hands, undo: Json) -> list[Spot]:
    """
    Give where probes can see a fault: on each path, each of its ports and each of its sources.

    Not each port as each source: that may be hundreds, and a fault is shorter than so many looks.
    """
    return list(dict.fromkeys(_spots(hands, undo["orders"][GATEWAY])))


def _spots(hands: Hands, order: Any) -> Iterator[Spot]:
    for path in order["paths"]:
        for service in hands.services:
            if path["service"] not in (service.get("direct") or {}):
                continue
            ports = [
                port["port"] for port in service["ports"] if path["port"] in (None, port["name"])
            ]
            sources = path["sources"] or [families.FROM_TESTS]
            for number in range(max(len(ports), len(sources)) if ports else 0):
                port, source = ports[number % len(ports)], sources[number % len(sources)]
                yield Spot(path["service"], port, source)


def _carried(service: ServiceDoc) -> list[str]:
    return list(service.get("direct") or {})


def _targets(aim: Aim) -> list[TargetState]:
    return [
        target("Pod", pods.name(pod), pods.uid(pod))
        for pod in pods_of(aim.service, aim.seen)
        if not pods.is_going(pod) and not pods.is_over(pod)
    ]
