"""Restart: the workload is rolled over, as ``kubectl rollout restart`` does it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from seatrial.api.errors import NotInjectedError
from seatrial.api.journal import ServiceDoc

from seatrial_runner.clock import parse
from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import (
    Aim,
    Hands,
    Intent,
    ThroughApi,
    scalable,
    target,
    workload_path,
)
from seatrial_runner.conductor.readiness import Object, pods_of, workload_is_ready
from seatrial_runner.conductor.seen import WORKLOADS, Seen

# The annotation kubectl uses, so that `kubectl rollout history` and people recognise it.
ANNOTATION = "kubectl.kubernetes.io/restartedAt"
_LOOK_AGAIN_S = 1.0


class Restart(ThroughApi):
    """Changes the pod template's annotation; the controller replaces all pods."""

    def aim(self, aim: Aim) -> Intent:
        """Take all of the service's workloads."""
        workloads = scalable(aim.service)
        if not workloads:
            raise NotInjectedError(
                f"service {aim.service['name']} has no Deployment or StatefulSet to restart"
            )
        there = _standing(pods_of(aim.service, aim.seen))
        if not there:
            raise NotInjectedError(f"service {aim.service['name']} has no pod at that moment")
        return Intent(
            targets=[target("Pod", pods.name(pod), pods.uid(pod)) for pod in there],
            undo={"workloads": [list(each) for each in workloads], "stamp": aim.stamp},
        )

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Write the annotation, after what the pods of before have told was kept."""
        await asyncio.gather(*(hands.save_logs(each["name"]) for each in intent.targets))
        annotations = {ANNOTATION: intent.undo["stamp"]}
        for kind, name in intent.undo["workloads"]:
            body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
            await hands.api.patch(workload_path(hands, kind, name), body)

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """Return when the watch shows the first pod that is no longer the one of before."""
        while all(
            (pod := hands.seen.get(WORKLOADS["Pod"], each["name"])) is not None
            and pods.uid(pod) == each["uid"]
            and not (pods.is_going(pod) or pods.is_over(pod))
            for each in intent.targets
        ):
            await hands.seen.wait(_LOOK_AGAIN_S)
        return hands.at()

    async def undo(self, hands: Hands, intent: Intent) -> None:
        """Nothing: the controller does it."""

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Tell whether the controller has replaced every pod of before."""
        old = {each["uid"] for each in intent.targets}
        own = [pod for service in services for pod in pods_of(service, seen)]
        there = _standing(own)
        new = [pod for pod in there if pods.uid(pod) not in old]
        new.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
        for each, pod in zip(intent.targets, new, strict=False):
            each["replacedBy"] = pods.uid(pod)
        return len(new) == len(there) and all(
            _is_rolled_over(kind, name, intent.undo["stamp"], seen)
            for kind, name in intent.undo["workloads"]
        )


def _standing(own: list[Object]) -> list[Object]:
    """Leave out what a roll-out does not replace: a pod that has failed may lie there for ever."""
    return [pod for pod in own if not pods.is_going(pod) and not pods.is_over(pod)]


def _is_rolled_over(kind: str, name: str, stamp: str, seen: Seen) -> bool:
    item = seen.get(WORKLOADS[kind], name)
    if item is None:
        return False
    metadata = item["spec"]["template"].get("metadata") or {}
    if not _is_since(str((metadata.get("annotations") or {}).get(ANNOTATION)), stamp):
        return False  # the watch has not told of our change yet
    return workload_is_ready({"kind": kind, "name": name}, seen)


def _is_since(found: str, stamp: str) -> bool:
    """Tell whether a roll-out is ours, or a later one, which has replaced the same pods."""
    try:
        return parse(found) >= parse(stamp)
    except ValueError:
        return False
