"""Scale and outage: another number of pods for a while, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from seatrial.api.errors import ConflictError, NotFoundError, NotInjectedError
from seatrial.api.journal import ChangedDoc, ServiceDoc
from seatrial.api.undoing import ITSELF, OPERATOR, mark_key, mark_of, note_key, noted

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
    hold,
    let_go,
    scalable,
    target,
    undone_before,
    workload_path,
)
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import PODS, WORKLOADS, Seen

# New pods are made, or ended ones have gone, by then; the pods' own grace comes on top.
_IN_EFFECT_S = 30.0
_LOOK_AGAIN_S = 5.0
_TOLD_S = 2.0  # a watch that tells of a change no sooner is broken
_GRACE_S = 30  # Kubernetes' default of terminationGracePeriodSeconds


class Scale(ThroughApi):
    """
    Writes the number of pods into the workload, and the old number back in the end.

    NB: not through the scale subresource, which has no annotations: the mark must come and go in
    the same write.
    """

    def aim(self, aim: Aim) -> Intent:
        """Take all of the service's workloads, with the number of pods they have now."""
        wanted = self._wanted(aim.fault)
        originals: dict[str, int] = {}
        targets, in_turn = [], False
        for kind, name in scalable(aim.service):
            item = aim.seen.get(WORKLOADS[kind], name)
            if item is None:
                raise NotInjectedError(f"{kind} {name} of service {aim.service['name']} is gone")
            self._check(f"{kind} {name}", item)
            originals[f"{kind}/{name}"] = _replicas(item)
            in_turn |= _is_in_turn(kind, item)
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
                "mark": mark_of(aim.stamp),
                "originals": originals,
                "replicas": wanted,
                "withinS": _IN_EFFECT_S + (sum(graces) if in_turn else max(graces, default=0)),
            },
        )

    def _wanted(self, fault: Json) -> int:
        return int(fault["scale"]["replicas"])

    def _check(self, name: str, workload: Json) -> None:
        """Nothing to check: what scaling does to volumes is what the user wants to see."""

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Write the number."""
        undo = intent.undo
        await _save_logs(hands, dict.fromkeys(undo["originals"], int(undo["replicas"])))
        uids = _uids(intent)
        for workload in undo["originals"]:
            notes = {mark_key(undo["fault"]): undo["mark"], note_key(undo["fault"]): None}
            try:
                await _write(hands, workload, undo["replicas"], notes, uid=uids.get(workload, ""))
            except ConflictError:
                raise NotInjectedError(f"{workload} was replaced by another one") from None

    async def take_effect(self, hands: Hands, intent: Intent) -> None:
        """Wait until the pods are made, or have ended and are gone."""
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

    async def watch(self, hands: Hands, intent: Intent, tell: Tell) -> Ended:
        """Return when somebody else has taken the mark or changed the number of pods."""
        undo = intent.undo
        while True:
            for workload in undo["originals"]:
                item = _seen(workload, hands.seen)
                if item is None:
                    continue
                if at := noted(item, undo["fault"], undo["mark"]):
                    return Ended(by=OPERATOR, at=at, undone=False)
                if _replicas(item) != undo["replicas"]:
                    early = (
                        f"{workload} was given {_replicas(item)} replicas, not by the conductor;"
                        " see what else scales it, such as an autoscaler"
                    )
                    return Ended(by=ITSELF, at=hands.at(), early=early, undone=False)
            await hands.seen.wait(_LOOK_AGAIN_S)

    async def undo(self, hands: Hands, intent: Intent) -> Evidence | None:
        """Write the old numbers back; a workload that is gone, or another by now, needs none."""
        undo, before, uids = intent.undo, [], _uids(intent)
        for workload, original in undo["originals"].items():
            try:
                notes = {mark_key(undo["fault"]): None}
                item = await _write(hands, workload, original, notes, uid=uids.get(workload, ""))
            except NotFoundError:
                continue
            except ConflictError:
                if await _is_there(hands, workload, uids[workload]):
                    raise  # it was not the UID
                continue
            before.append(noted(item, undo["fault"], undo.get("mark", "-")))
        # NB: a fault that follows takes the number it sees for the one to bring back.
        with suppress(TimeoutError):
            async with asyncio.timeout(_TOLD_S):
                while not self.is_undone(intent, (), hands.seen):
                    await hands.seen.wait(_TOLD_S)
        let_go(hands, undo["fault"])
        return undone_before(before)

    def changed(self, intent: Intent) -> list[ChangedDoc]:
        """List the workloads with their old numbers."""
        return [
            {
                "kind": each["kind"],
                "name": each["name"],
                "uid": each["uid"],
                "replicas": intent.undo["originals"][f"{each['kind']}/{each['name']}"],
            }
            for each in intent.targets
        ]

    def within_s(self, intent: Intent) -> float:
        """Give the time that pods may take to be made, or to end."""
        return float(intent.undo["withinS"])

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Tell whether the workloads ask for their old numbers again."""
        uids = _uids(intent)
        return all(
            (item := _seen(workload, seen)) is None
            or _replicas(item) == original
            or item["metadata"].get("uid") != (uids.get(workload) or item["metadata"].get("uid"))
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


async def _save_logs(hands: Hands, numbers: Mapping[str, int]) -> None:
    """Keep the logs of pods before there are fewer of them; which ones go, nobody knows yet."""
    there = [pod for pod in hands.seen.all(PODS) if not pods.is_going(pod)]
    for_each = {name: [pod for pod in there if _belongs(pod, name)] for name in numbers}
    going = [pod for name, own in for_each.items() if len(own) > numbers[name] for pod in own]
    await asyncio.gather(*(hands.save_logs(pods.name(pod)) for pod in going))


async def _write(
    hands: Hands, workload: str, replicas: int, annotations: Json, *, uid: str = ""
) -> Json:
    kind, _, name = workload.partition("/")
    metadata = {"annotations": annotations, **({"uid": uid} if uid else {})}
    body = {"metadata": metadata, "spec": {"replicas": replicas}}
    return await hands.api.patch(workload_path(hands, kind, name), body)


async def _is_there(hands: Hands, workload: str, uid: str) -> bool:
    kind, _, name = workload.partition("/")
    try:
        item = await hands.api.get(workload_path(hands, kind, name))
    except NotFoundError:
        return False
    return bool(item["metadata"].get("uid") == uid)


def _uids(intent: Intent) -> dict[str, str]:
    return {f"{each['kind']}/{each['name']}": each["uid"] for each in intent.targets}


def _in_effect(intent: Intent, seen: Seen) -> bool:
    wanted = intent.undo["replicas"]
    for workload in intent.undo["originals"]:
        item = _seen(workload, seen)
        status = (item or {}).get("status") or {}
        if item is None or _replicas(item) != wanted or (status.get("replicas") or 0) != wanted:
            return False
        # NB: status.replicas does not count pods that are ending, but those still answer.
        # Those that are over do not, and one that has failed may lie there for ever.
        there = [pod for pod in seen.all(PODS) if not pods.is_over(pod)]
        if sum(_belongs(pod, workload) for pod in there) > wanted:
            return False
    return True


def _belongs(pod: dict[str, Any], workload: str) -> bool:
    """Tell whether a workload made the pod, itself or through a ReplicaSet called NAME-HASH."""
    kind, _, name = workload.partition("/")
    owner = pods.owner(pod) or {}
    owner_kind, owned_by = owner.get("kind"), str(owner.get("name") or "")
    if kind == "Deployment":
        return owner_kind == "ReplicaSet" and owned_by.rpartition("-")[0] == name
    return (owner_kind, owned_by) == (kind, name)


def _is_in_turn(kind: str, workload: Json) -> bool:
    """Tell whether the pods go, and come, one after the other."""
    return kind == "StatefulSet" and workload["spec"].get("podManagementPolicy") != "Parallel"


def _grace_s(pod: Json) -> int:
    grace = (pod.get("spec") or {}).get("terminationGracePeriodSeconds")
    return _GRACE_S if grace is None else int(grace)


def _seen(workload: str, seen: Seen) -> dict[str, Any] | None:
    kind, _, name = workload.partition("/")
    return seen.get(WORKLOADS[kind], name)


def _replicas(item: dict[str, Any]) -> int:
    replicas = (item.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)
