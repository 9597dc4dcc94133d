"""The controller: takes orders by the control interface, and has the workers carry them out."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime
from time import monotonic

from seatrial.api.control import FaultOrder, GatewayDoc
from seatrial.api.errors import NotInjectedError, NotRevertedError
from seatrial.api.families import HTTP, NETWORK

from seatrial_runner import clock
from seatrial_runner.control import ControlServer, Evidence
from seatrial_runner.gateway import effects
from seatrial_runner.gateway.board import COUNTS, SLOTS, Board, Cell
from seatrial_runner.gateway.http_faults import HttpFaults
from seatrial_runner.gateway.links import Links, NoAnswerError
from seatrial_runner.gateway.messages import FaultWord, Word
from seatrial_runner.gateway.refusals import Refusals, next_look

logger = logging.getLogger("seatrial.gateway")

_RESOLVE_AGAIN_S = 0.25
# How exactly the first and the last refused connection are known.
_LOOK_S = 0.05
_KEPT = 1000  # faults that have ended, whose evidence is still known


class Controller:
    """Carries orders out: those of the network through the workers, those of HTTP through Envoy."""

    def __init__(
        self, doc: GatewayDoc, channels: list[socket.socket], board: Board, http: HttpFaults
    ) -> None:
        self._doc = doc
        self._board = board
        self._http = http
        self._links = Links(channels, self._state, board.processes())
        self._faults: dict[str, FaultWord] = {}
        self._ending: dict[str, FaultWord] = {}  # until every worker has said that it is over
        self._free = set(range(SLOTS))
        self._ended: OrderedDict[str, Evidence] = OrderedDict()
        self._https: set[str] = set()  # names of http faults
        self._refusals: dict[str, Refusals] = {}  # of faults that close ports
        self._lost_before: dict[str, int] = {}  # connections, when the fault began
        self._looking: asyncio.Task[None] | None = None
        self._sources: dict[str, list[str]] = {}
        self._upstreams: dict[str, str] = {}
        self._resolving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to carry."""
        self._links.open()
        self._resolving = asyncio.create_task(self._resolve())
        await self._http.start()

    async def stop(self) -> None:
        """End what runs in the background; the workers go on."""
        self._links.close()
        for task in (self._resolving, self._looking):
            if task is not None:
                task.cancel()
        await self._http.stop()

    def ready(self) -> str:
        """Give an empty text, or why traffic cannot be carried yet."""
        hosts = self._hosts() - set(self._upstreams)
        if hosts:
            return f"the address of Service {min(hosts)} is not known yet"
        if not self._links.synced:
            return "a worker has not begun yet"
        return self._http.ready()

    async def take_sources(self, sources: dict[str, list[str]]) -> None:
        """Hear who is behind which address."""
        self._sources = sources
        await self._links.tell("put", [], sources=sources)

    # The carrier ---------------------------------------------------------------------------------

    async def put(self, name: str, order: FaultOrder, deadline: float) -> datetime:
        """Put a fault into effect, in every worker, or in Envoy; give the moment when it is."""
        self._ended.pop(name, None)
        if order["kind"] in HTTP:
            self._https.add(name)
            self._lost_before[name] = self._board.lost
            await self._http.put(name, order, deadline)
            return clock.now()
        self._https.discard(name)
        self._check(order)
        if not self._free:
            raise NotInjectedError(f"{SLOTS} faults are in effect: end one before")
        slot = self._free.pop()
        self._board.clear(slot)
        self._lost_before[name] = self._board.lost
        if _closes_ports(order):
            self._refusals[name] = Refusals()
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_for_refusals())
        self._faults[name] = FaultWord(name=name, order=order, slot=slot, deadline=deadline)
        await self._links.tell("put", [self._faults[name]])
        return clock.now()

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None:
        """Move the deadline, in every worker."""
        if order["kind"] in HTTP:
            await self._http.renew(name, order, deadline)
            return
        self._faults[name]["deadline"] = deadline
        await self._links.tell("put", [self._faults[name]])

    async def delete(self, name: str) -> None:
        """End a fault, in every worker."""
        if name in self._https:
            await self._http.delete(name)
            return
        word = self._faults.get(name)
        if word is None:
            return
        # A worker that is made anew from here on does not hear of it.
        self._ending[name] = self._faults.pop(name)
        try:
            await self._links.tell("remove", [word])
        except BaseException as error:
            self._faults.setdefault(name, word)  # so that the next try says it again
            if isinstance(error, NoAnswerError):
                raise NotRevertedError(f"fault {name} may still be there: {error}") from error
            raise
        finally:
            self._ending.pop(name, None)
        self._ended[name] = self._evidence(word)
        while len(self._ended) > _KEPT:
            self._ended.popitem(last=False)
        self._refusals.pop(name, None)
        self._lost_before.pop(name, None)
        self._free.add(word["slot"])

    async def evidence(self, name: str) -> Evidence:
        """Give what a fault has met, by the counts of all workers."""
        if name in self._https:
            evidence = await self._http.evidence(name)
            return replace(evidence, counts={**evidence.counts, **self._lost_of(name)})
        word = self._faults.get(name) or self._ending.get(name)
        return self._ended.get(name, Evidence()) if word is None else self._evidence(word)

    async def abilities(self) -> dict[str, str]:
        """Say that all can be done; of http, Envoy knows."""
        return dict.fromkeys(NETWORK, "") | await self._http.abilities()

    # Inside --------------------------------------------------------------------------------------

    def _state(self, number: int) -> Word:
        return Word(
            number=number,
            do="state",
            faults=list(self._faults.values()),
            sources=self._sources,
            upstreams=self._upstreams,
        )

    def _check(self, order: FaultOrder) -> None:
        if order["kind"] not in NETWORK:
            raise NotInjectedError(f"{order['kind']} is none of the gateway's kinds")
        effects.read_effect(order["kind"], order["params"])
        carried = {(each["service"], each["portName"]) for each in self._doc["listeners"]}
        for number, path in enumerate(order.get("paths", [])):
            service, port = path["service"], path["port"]
            if service not in {each for each, _ in carried}:
                raise ValueError(
                    f"paths[{number}].service: this gateway does not carry Service {service}"
                )
            if port is not None and (service, port) not in carried:
                raise ValueError(
                    f"paths[{number}].port: this gateway carries no port {port} of {service}"
                )

    def _evidence(self, word: FaultWord) -> Evidence:
        slot, board = word["slot"], self._board
        # Before the moments: workers write meanwhile, and no hit is told without its moment.
        hits = board.total(slot, Cell.HITS)
        first, last = board.moments(slot)
        counts: dict[str, int] = {
            name: total for cell, name in COUNTS.items() if (total := board.total(slot, cell))
        }
        moments = [clock.from_milliseconds(each) for each in (first, last) if each]
        refusals = self._refusals.get(word["name"])
        if refusals is not None:
            refusals.look(clock.now())
            hits += refusals.count
            moments += [each for each in (refusals.first, refusals.last) if each]
            if refusals.count:
                name = COUNTS[Cell.REFUSED]
                counts[name] = counts.get(name, 0) + refusals.count
        return Evidence(
            hits=hits,
            first_hit=min(moments, default=None),
            last_hit=max(moments, default=None),
            counts=counts | self._lost_of(word["name"]),
        )

    def _lost_of(self, name: str) -> dict[str, int]:
        """Count what broke while a fault was on, not by it: by a worker that died."""
        now = self._board.lost
        lost = now - self._lost_before.get(name, now)
        return {"lostConnections": lost} if lost else {}

    async def _look_for_refusals(self) -> None:
        while self._refusals:
            now = clock.now()
            for refusals in self._refusals.values():
                refusals.look(now)
            disturbed = any(each.are_disturbed(now) for each in self._refusals.values())
            moment = monotonic()
            due = next_look(moment) if disturbed else moment + _LOOK_S
            await asyncio.sleep(due - moment)

    def _hosts(self) -> set[str]:
        return {each["upstreamHost"] for each in self._doc["listeners"]}

    async def _resolve(self) -> None:
        """
        Find the addresses of the Services behind, once: a Service keeps its address.

        Not for each connection: that would make the cluster's DNS a part of the system under test.
        """
        while missing := self._hosts() - set(self._upstreams):
            found = await asyncio.gather(*(_address(host) for host in sorted(missing)))
            addresses = dict(zip(sorted(missing), found, strict=True))
            self._upstreams |= {host: address for host, address in addresses.items() if address}
            try:
                await self._links.tell("put", [], upstreams=self._upstreams)
            except (NoAnswerError, RuntimeError) as error:
                logger.warning("not every worker has heard of the Services: %s", error)
            if self._hosts() - set(self._upstreams):
                await asyncio.sleep(_RESOLVE_AGAIN_S)


def _closes_ports(order: FaultOrder) -> bool:
    everyone = any(path["sources"] is None for path in order.get("paths", [])) or not order.get(
        "paths"
    )
    return order["kind"] == "refuse" and everyone and order.get("connections", 1.0) >= 1.0


async def _address(host: str) -> str:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        logger.info("no address of %s yet: %s", host, error)
        return ""
    return str(found[0][4][0])


async def serve(controller: Controller, server: ControlServer, listening: socket.socket) -> None:
    """Serve the control interface until the process ends."""
    await controller.start()
    await server.start_on(listening)
    logger.info("the gateway takes orders", extra={"boot": server.boot})
    await asyncio.Event().wait()
