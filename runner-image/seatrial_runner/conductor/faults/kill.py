"""Kill: pods are deleted; their controller replaces them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Sequence
from typing import Any

from seatrial.api.duration import parse_duration
from seatrial.api.errors import ClusterError, ConflictError, NotFoundError, NotInjectedError
from seatrial.api.journal import ServiceDoc

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import Aim, Hands, Intent, target
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import PODS, Seen

logger = logging.getLogger("seatrial.conductor")

# NB: not 0. The process ends no later with it (2.2 s either way, measured with Kubernetes 1.36: a
# kubelet keeps to at least a second), but the API server forgets the pod at once, and a StatefulSet
# starts its successor beside it.
LEAST_GRACE_S = 1


def how_many(asked: int | str | None, there: int) -> int:
    """
    Give how many pods of ``there`` are asked for.

    Args:
        asked: A number, a percentage such as ``50%`` (rounded up, at least 1), or ``all``; None: 1.
        there: How many there are, 1 or more.

    Raises:
        NotInjectedError: More are asked for than there are, or it is none of these.
    """
    text = str(1 if asked is None else asked)
    if text == "all":
        return there
    if text.endswith("%") and text[:-1].isdigit():
        # Whole numbers: 1.1 * 100 would round up to 111.
        return min(max(-(-int(text[:-1]) * there // 100), 1), there)
    if not text.isdigit() or int(text) < 1:
        raise NotInjectedError(f"target.pods: {text!r} is not a number, a percentage or all")
    if int(text) > there:
        raise NotInjectedError(
            f"{text} pods were asked for, {there} run; lower target.pods or raise replicas"
        )
    return int(text)


def choose(names: Sequence[str], count: int, seed: str) -> list[str]:
    """Choose ``count`` of the names by chance, the same for the same names and seed; sorted."""
    return sorted(random.Random(seed).sample(sorted(names), count))


class Kill:
    """Deletes pods, with the least grace there is unless more is given."""

    def aim(self, aim: Aim) -> Intent:
        """Choose among the service's running pods; ready ones first."""
        there = {
            pods.name(pod): pod
            for pod in pods_of(aim.service, aim.seen)
            if pods.phase(pod) == "Running" and not pods.is_going(pod)
        }
        if not there:
            raise NotInjectedError(
                f"service {aim.service['name']} has no running pod at that moment"
            )
        for name, pod in there.items():
            if pods.owner(pod) is None:
                raise NotInjectedError(
                    f"nothing would replace pod {name} of service {aim.service['name']}: make it a"
                    " Deployment or a StatefulSet"
                )
        ready = [name for name, pod in there.items() if pods.is_ready(pod)]
        count = how_many(aim.fault["target"].get("pods"), len(there))
        chosen = choose(ready if len(ready) >= count else list(there), count, aim.seed)
        return Intent(
            targets=[target("Pod", name, pods.uid(there[name])) for name in chosen],
            undo={
                "seed": aim.seed,
                "grace": _grace_s(aim.fault),
                "before": sorted(pods.uid(pod) for pod in there.values()),
            },
        )

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Delete the chosen pods; one that is gone already does not count."""
        await asyncio.gather(*(hands.save_logs(each["name"]) for each in intent.targets))
        results = await asyncio.gather(
            *(self._delete(hands, each["name"], each["uid"], intent) for each in intent.targets),
            return_exceptions=True,
        )
        errors = [result for result in results if isinstance(result, ClusterError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ClusterError):
                raise result
        if len(errors) == len(results):
            raise NotInjectedError(f"no pod could be deleted: {errors[0]}")
        for error in errors:
            logger.warning("pod not deleted: %s", error)
        intent.targets = [
            each
            for each, result in zip(intent.targets, results, strict=True)
            if not isinstance(result, ClusterError)
        ]

    async def _delete(self, hands: Hands, name: str, uid: str, intent: Intent) -> None:
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

    async def undo(self, hands: Hands, intent: Intent) -> None:
        """Nothing: the controller does it."""

    def is_undone(self, intent: Intent, service: ServiceDoc, seen: Seen) -> bool:
        """Tell whether every killed pod has a successor that the controller made after it."""
        before = set(intent.undo["before"])
        there = [pod for pod in pods_of(service, seen) if not pods.is_going(pod)]
        killed = {each["uid"] for each in intent.targets}
        if any(pods.uid(pod) in killed for pod in there):
            return False
        new = [pod for pod in there if pods.uid(pod) not in before]
        new.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
        for each in intent.targets:
            each["replacedBy"] = _successor(each["name"], new)
        return all(each["replacedBy"] for each in intent.targets)


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
