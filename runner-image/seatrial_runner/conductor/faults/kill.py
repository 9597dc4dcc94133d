"""Kill: pods are deleted; their controller replaces them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from seatrial.api.duration import parse_duration
from seatrial.api.errors import ClusterError, ConflictError, NotFoundError, NotInjectedError
from seatrial.api.journal import ServiceDoc

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import (
    Aim,
    Hands,
    Intent,
    ThroughApi,
    held_pod,
    hold,
    target,
)
from seatrial_runner.conductor.faults.targets import chosen_pods
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import PODS, Seen

# NB: not 0. The process ends no later with it (2.2 s either way, measured with Kubernetes 1.36: a
# kubelet keeps to at least a second), but the API server forgets the pod at once, and a StatefulSet
# starts its successor beside it.
LEAST_GRACE_S = 1
_LOOK_AGAIN_S = 1.0


class Kill(ThroughApi):
    """Deletes pods, with the least grace there is unless more is given."""

    def aim(self, aim: Aim) -> Intent:
        """Choose among the service's running pods; ready ones first."""
        chosen = chosen_pods(aim)
        for pod in chosen:
            if pods.owner(pod) is None:
                raise NotInjectedError(
                    f"nothing would replace pod {pods.name(pod)} of service"
                    f" {aim.service['name']}: make it a Deployment or a StatefulSet"
                )
        for pod in chosen:
            hold(aim, held_pod(pods.uid(pod)))
        before = [pod for pod in pods_of(aim.service, aim.seen) if not pods.is_over(pod)]
        return Intent(
            targets=[target("Pod", pods.name(pod), pods.uid(pod)) for pod in chosen],
            undo={
                **self._how(aim.fault),
                "before": sorted(pods.uid(pod) for pod in before if not pods.is_going(pod)),
            },
        )

    def _how(self, fault: dict[str, Any]) -> dict[str, Any]:
        return {"grace": _grace_s(fault)}

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Take the chosen pods away; one that is gone already does not count, and is told."""
        await asyncio.gather(*(hands.save_logs(each["name"]) for each in intent.targets))
        results = await asyncio.gather(
            *(self._take(hands, each["name"], each["uid"], intent) for each in intent.targets),
            return_exceptions=True,
        )
        errors = [result for result in results if isinstance(result, ClusterError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ClusterError):
                raise result
        if len(errors) == len(results):
            raise NotInjectedError(f"no pod could be taken away: {errors[0]}")
        if errors:
            missed = f"{len(errors)} of {len(results)} pods could not be hit: {errors[0]}"
            intent.undo["missed"] = missed
        for each, result in zip(intent.targets, results, strict=True):
            if isinstance(result, ClusterError):
                hands.held.pop(held_pod(each["uid"]), None)
        intent.targets = [
            each
            for each, result in zip(intent.targets, results, strict=True)
            if not isinstance(result, ClusterError)
        ]

    async def _take(self, hands: Hands, name: str, uid: str, intent: Intent) -> None:
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": intent.undo["grace"],
            "preconditions": {"uid": uid},
        }
        try:
            await hands.api.delete(PODS.path(hands.namespace, name), body)
        except (NotFoundError, ConflictError) as error:
            raise ClusterError(f"pod {name} was gone before the fault: {error}") from error

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """Return when the watch shows each of the pods going, or gone."""
        while any(_stands(each["name"], each["uid"], hands.seen) for each in intent.targets):
            await hands.seen.wait(_LOOK_AGAIN_S)
        return hands.at()

    async def undo(self, hands: Hands, intent: Intent) -> None:
        """Nothing: the controller does it."""

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Tell whether every killed pod has a successor that the controller made after it."""
        before = set(intent.undo["before"])
        own = [pod for service in services for pod in pods_of(service, seen)]
        # One that has failed long ago may lie there for ever: it is nobody's successor.
        there = [pod for pod in own if not pods.is_going(pod) and not pods.is_over(pod)]
        killed = {each["uid"] for each in intent.targets}
        if any(pods.uid(pod) in killed for pod in there):
            return False
        new = [pod for pod in there if pods.uid(pod) not in before]
        new.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
        for each in intent.targets:
            each["replacedBy"] = _successor(each["name"], new)
        return all(each["replacedBy"] for each in intent.targets)


def _stands(name: str, uid: str, seen: Seen) -> bool:
    pod = seen.get(PODS, name)
    return pod is not None and pods.uid(pod) == uid and not pods.is_going(pod)


def _successor(name: str, new: list[dict[str, Any]]) -> str | None:
    """Take a successor off the list: the pod of the same name (StatefulSet), or else the oldest."""
    for pod in new:
        if pods.name(pod) == name:
            new.remove(pod)
            return pods.uid(pod)
    return pods.uid(new.pop(0)) if new else None


def _grace_s(fault: dict[str, Any]) -> int:
    given = (fault.get("kill") or {}).get("gracePeriod") or "0s"
    return max(math.ceil(parse_duration(given).total_seconds()), LEAST_GRACE_S)
