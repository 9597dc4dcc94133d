"""No endpoints: a Service finds no pods for a while; the pods themselves go on running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from seatrial.api.errors import (
    ClusterError,
    NotFoundError,
    NotInjectedError,
    NotRevertedError,
)
from seatrial.api.journal import ChangedDoc, ServiceDoc
from seatrial.api.undoing import ITSELF, OPERATOR, cut_key, mark_key, mark_of, note_key, noted

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import (
    Aim,
    Ended,
    Evidence,
    Hands,
    Intent,
    Json,
    Tell,
    ThroughApi,
    target,
    undone_before,
)
from seatrial_runner.conductor.reach import until_cut_off
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import ENDPOINT_SLICES, SERVICES, Seen

_SERVICE_NAME = "kubernetes.io/service-name"  # label of EndpointSlices
_IN_EFFECT_S = 30.0
_LOOK_AGAIN_S = 5.0
_READY_S = 2.0  # a ready pod becomes an endpoint within so long


class NoEndpoints(ThroughApi):
    """Adds to the selectors of the target's Services a label that no pod has."""

    def __init__(self) -> None:
        self._open: list[str] = []  # where connections were still accepted

    def aim(self, aim: Aim) -> Intent:
        """Take all Services of the target; behind a gateway, those that lead to the pods."""
        direct = aim.service.get("direct") or {}
        services = [direct.get(host, host) for host in aim.service["hosts"]]
        return Intent(
            targets=[target("Service", name, "") for name in services],
            undo={
                "fault": aim.fault["name"],
                "mark": mark_of(aim.stamp),
                "services": services,
            },
        )

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Change the selectors."""
        await self._find_endpoints(hands, intent)
        for each in intent.targets:
            path = SERVICES.path(hands.namespace, each["name"])
            found = await hands.api.get(path)
            if not found["spec"].get("selector"):
                raise NotInjectedError(
                    f"Service {each['name']} has no selector: nothing here decides its endpoints"
                )
            await hands.api.patch(path, _selector(intent.undo, intent.undo["mark"]))
            each["uid"] = str(found["metadata"].get("uid") or "")

    async def take_effect(self, hands: Hands, intent: Intent) -> None:
        """Wait until the Services have no endpoints."""
        try:
            async with asyncio.timeout(_IN_EFFECT_S):
                while any(_endpoints(name, hands.seen) for name in intent.undo["services"]):
                    await hands.seen.wait(_IN_EFFECT_S)
        except TimeoutError:
            raise NotInjectedError(
                f"Service {', '.join(intent.undo['services'])} still had endpoints after"
                f" {_IN_EFFECT_S:g} s"
            ) from None
        # The node's proxy learns of it up to a second later; until then clients still get through.
        await self._look(hands, intent)

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """Give the moment from which on nobody gets through any more."""
        while self._open:
            await self._look(hands, intent)
        return hands.at()

    async def _look(self, hands: Hands, intent: Intent) -> None:
        self._open = await until_cut_off(intent.undo["services"], _ports(intent, hands.services))

    def without_effect(self, fault: Json, hits: int) -> str:
        """Say where clients got through."""
        return (
            f"connections to {', '.join(self._open)} were accepted until its end: the nodes'"
            " proxies had not taken note of it; let it last longer"
        )

    async def watch(self, hands: Hands, intent: Intent, tell: Tell) -> Ended:
        """Return when a Service leads to pods again."""
        undo = intent.undo
        while True:
            for name in undo["services"]:
                if _endpoints(name, hands.seen):
                    item = await _service(hands, name)
                    if at := noted(item, undo["fault"], undo["mark"]):
                        return Ended(by=OPERATOR, at=at, undone=False)
                    early = f"Service {name} was given endpoints again, not by the conductor"
                    return Ended(by=ITSELF, at=hands.at(), early=early, undone=False)
            await hands.seen.wait(_LOOK_AGAIN_S)

    async def _find_endpoints(self, hands: Hands, intent: Intent) -> None:
        """Keep the Services that have endpoints; those of a pod that is just ready come later."""
        names = list(intent.undo["services"])
        try:
            async with asyncio.timeout(_READY_S):
                while not any(_endpoints(name, hands.seen) for name in names):
                    await hands.seen.wait(_READY_S)
        except TimeoutError:
            raise NotInjectedError(
                f"Service {', '.join(names) or '(none)'} has no endpoints at that moment: there is"
                " nothing to cut off"
            ) from None
        found = [name for name in names if _endpoints(name, hands.seen)]
        intent.undo["services"] = found
        intent.targets = [each for each in intent.targets if each["name"] in found]

    async def undo(self, hands: Hands, intent: Intent) -> Evidence | None:
        """
        Take the label out of the selectors.

        Raises:
            NotRevertedError: The Services that were cut off are gone; nobody else would say so.
        """
        undo, before = intent.undo, []
        for name in undo["services"]:
            try:
                path = SERVICES.path(hands.namespace, name)
                item = await hands.api.patch(path, _selector(undo, None))
            except NotFoundError:
                continue
            before.append(noted(item, undo["fault"], undo["mark"]))
        if not before and not any(each["uid"] for each in intent.targets):
            undo["services"] = []  # none of those that are gone was cut off
        elif not before:
            gone = ", ".join(undo["services"])
            raise NotRevertedError(f"Service {gone} was deleted meanwhile, not by the conductor")
        return undone_before(before)

    def changed(self, intent: Intent) -> list[ChangedDoc]:
        """List the Services that are cut off."""
        return [
            {"kind": each["kind"], "name": each["name"], "uid": each["uid"]}
            for each in intent.targets
        ]

    def within_s(self, intent: Intent) -> float:
        """Give the time that the Services' endpoints may take to go, and the node to learn it."""
        return 2 * _IN_EFFECT_S

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Tell whether a Service that was cut off leads to pods again: they follow one another."""
        ready = any(pods.is_ready(pod) for service in services for pod in pods_of(service, seen))
        cut = intent.undo["services"]
        return not (ready and cut) or any(_endpoints(name, seen) for name in cut)


async def _service(hands: Hands, name: str) -> Json:
    """Give a Service; one that cannot be read tells nothing."""
    try:
        return await hands.api.get(SERVICES.path(hands.namespace, name))
    except ClusterError:
        return {"metadata": {}}


def _ports(intent: Intent, services: Sequence[ServiceDoc]) -> list[int]:
    """Give the ports of the services that are cut off."""
    cut = set(intent.undo["services"])
    return [
        port["port"]
        for service in services
        if cut & {*service["hosts"], *service.get("direct", {}).values()}
        for port in service["ports"]
    ]


def _selector(undo: Json, mark: str | None) -> Json:
    """Give the merge patch that cuts a Service off; with no mark, the one that undoes that."""
    annotations: Json = {mark_key(undo["fault"]): mark}
    if mark is not None:
        annotations[note_key(undo["fault"])] = None
    return {
        "metadata": {"annotations": annotations},
        "spec": {"selector": {cut_key(undo["fault"]): mark}},
    }


def _endpoints(service: str, seen: Seen) -> int:
    """Count the endpoints of a Service, whether ready or not."""
    return sum(
        len(each.get("endpoints") or [])
        for each in seen.all(ENDPOINT_SLICES)
        if (each["metadata"].get("labels") or {}).get(_SERVICE_NAME) == service
    )
