"""Scale and outage: another number of pods for a while, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from seatrial.api.errors import NotFoundError, NotInjectedError
from seatrial.api.journal import ServiceDoc

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import (
    Aim,
    Hands,
    Intent,
    Json,
    ThroughApi,
    hold,
    let_go,
    scalable,
    target,
    workload_path,
)
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import PODS, WORKLOADS, Seen

# New pods are made, or ended ones have gone, by then; each pod's own grace comes on top.
_IN_EFFECT_S = 30.0
_GRACE_S = 30  # Kubernetes' default of terminationGracePeriodSeconds


class Scale(ThroughApi):
    """Writes the scale subresource, and the old number back in the end."""

    def aim(self, aim: Aim) -> Intent:
        """Take all of the service's workloads, with the number of pods they have now."""
        wanted = self._wanted(aim.fault)
        originals: dict[str, int] = {}
        targets = []
        for kind, name in scalable(aim.service):
            item = aim.seen.get(WORKLOADS[kind], name)
            if item is None:
                raise NotInjectedError(f"{kind} {name} of service {aim.service['name']} is gone")
            self._check(f"{kind} {name}", item)
            originals[f"{kind}/{name}"] = _replicas(item)
            targets.append(target(kind, name, str(item["metadata"].get("uid") or "")))
        if not targets:
            raise NotInjectedError(
                f"service {aim.service['name']} has no Deployment or StatefulSet to scale"
            )
        for workload in originals:
            hold(aim, workload)
        if all(count == wanted for count in originals.values()):
            raise NotInjectedError(
                f"service {aim.service['name']} already has {wanted} replicas: nothing would change"
            )
        graces = [_grace_s(pod) for pod in pods_of(aim.service, aim.seen)]
        return Intent(
            targets=targets,
            undo={
                "fault": aim.fault["name"],
                "originals": originals,
                "replicas": wanted,
                "withinS": _IN_EFFECT_S + max(graces, default=0),
            },
        )

    def _wanted(self, fault: Json) -> int:
        return int(fault["scale"]["replicas"])

    def _check(self, name: str, workload: Json) -> None:
        """Nothing to check: what scaling does to volumes is what the user wants to see."""

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Write the number, and wait until the pods are made, or have ended and are gone."""
        for workload in intent.undo["originals"]:
            await _write(hands, workload, intent.undo["replicas"])
        within_s = intent.undo["withinS"]
        try:
            async with asyncio.timeout(within_s):
                while not _in_effect(intent, hands.seen):
                    await hands.seen.wait(within_s)
        except TimeoutError:
            raise NotInjectedError(
                f"the number of pods has not changed to {intent.undo['replicas']} within"
                f" {within_s:g} s"
            ) from None

    async def undo(self, hands: Hands, intent: Intent) -> None:
        """Write the old numbers back; a workload that is gone needs none."""
        for workload, original in intent.undo["originals"].items():
            try:
                await _write(hands, workload, original)
            except NotFoundError:
                continue
        let_go(hands, intent.undo["fault"])

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Tell whether the workloads ask for their old numbers again."""
        return all(
            (item := _seen(workload, seen)) is None or _replicas(item) == original
            for workload, original in intent.undo["originals"].items()
        )


class Outage(Scale):
    """Takes all pods away and brings them back; claims of volumes stay."""

    def _wanted(self, fault: Json) -> int:
        return 0

    def _check(self, name: str, workload: Json) -> None:
        policy = workload["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if policy.get("whenScaled") == "Delete":
            raise NotInjectedError(
                f"an outage keeps what is on volumes, but {name} would delete its claims: set"
                " persistentVolumeClaimRetentionPolicy.whenScaled to Retain, or use scale"
            )


async def _write(hands: Hands, workload: str, replicas: int) -> None:
    kind, _, name = workload.partition("/")
    body = {"spec": {"replicas": replicas}}
    await hands.api.patch(f"{workload_path(hands, kind, name)}/scale", body)


def _in_effect(intent: Intent, seen: Seen) -> bool:
    wanted = intent.undo["replicas"]
    for workload in intent.undo["originals"]:
        item = _seen(workload, seen)
        status = (item or {}).get("status") or {}
        if item is None or _replicas(item) != wanted or (status.get("replicas") or 0) != wanted:
            return False
        # NB: status.replicas does not count pods that are ending, but those still answer.
        if sum(_belongs(pod, workload) for pod in seen.all(PODS)) > wanted:
            return False
    return True


def _belongs(pod: dict[str, Any], workload: str) -> bool:
    """Tell whether a workload made the pod, itself or through a ReplicaSet called NAME-HASH."""
    kind, _, name = workload.partition("/")
    owner = str((pods.owner(pod) or {}).get("name") or "")
    return (owner.rpartition("-")[0] if kind == "Deployment" else owner) == name


def _grace_s(pod: Json) -> int:
    grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return _GRACE_S if grace is None else int(grace)


def _seen(workload: str, seen: Seen) -> dict[str, Any] | None:
    kind, _, name = workload.partition("/")
    return seen.get(WORKLOADS[kind], name)


def _replicas(item: dict[str, Any]) -> int:
    replicas = (item.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)
