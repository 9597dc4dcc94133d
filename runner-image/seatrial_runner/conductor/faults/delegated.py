"""A fault that Chaos Mesh or Litmus carries out: its object is made, waited for, and removed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from seatrial.api import names
from seatrial.api.duration import format_duration
from seatrial.api.errors import (
    ClusterError,
    ConflictError,
    NotFoundError,
    NotInjectedError,
    NotRevertedError,
)
from seatrial.api.undoing import ITSELF

from seatrial_runner.conductor.faults.kinds import (
    Aim,
    ByAnother,
    Ended,
    Evidence,
    Hands,
    Intent,
    Json,
    Tell,
    target,
)
from seatrial_runner.conductor.faults.timeline import lasts_s
from seatrial_runner.conductor.faults.tools import tool_of

PREFIX = "seatrial-"
_INJECTED_S = 60.0
_RECOVERED_S = 30.0  # after which it is removed, so that its finalizers have it recover
_GONE_S = 60.0
_ASK_AGAIN_S = 0.5
# Chaos Mesh counts from the object's creation, which is written in whole seconds.
_CLEARLY_S = 1.5


class Delegated(ByAnother):
    """A resource of another tool; its own conditions are the evidence."""

    counts_itself = False
    keeps_time = False
    _ends = 0.0  # by our own monotonic clock

    def aim(self, aim: Aim) -> Intent:
        """Take the object as it was written; it is confined when it is made."""
        manifest = aim.fault["resource"]["manifest"]
        version, kind = str(manifest.get("apiVersion")), str(manifest.get("kind"))
        name = f"{PREFIX}{aim.fault['name']}"
        _object(manifest, name, namespace="", lasts_s=0.0)  # or it is refused now
        return Intent(
            targets=[target(kind, name, "")],
            undo={
                "fault": aim.fault["name"],
                "apiVersion": version,
                "kind": kind,
                "name": name,
                "lastsS": lasts_s(aim.fault),
            },
        )

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Make the object."""
        undo = intent.undo
        collection = await _collection(hands, undo)
        manifest = hands.faults[undo["fault"]]["resource"]["manifest"]
        body = _object(manifest, undo["name"], namespace=hands.namespace, lasts_s=undo["lastsS"])
        self._ends = asyncio.get_running_loop().time() + undo["lastsS"]
        try:
            made = await hands.api.post(collection, body)
        except ConflictError:  # our own answer got lost, or that of an earlier time does not go
            made = await hands.api.get(f"{collection}/{undo['name']}")
            if made["metadata"].get("deletionTimestamp"):
                raise NotInjectedError(
                    f"{undo['kind']} {undo['name']} of an earlier time is still there"
                    f" (finalizers: {_finalizers(made)}); see the log of the tool's controller"
                ) from None
        intent.targets[0]["uid"] = str(made["metadata"].get("uid") or "")

    async def take_effect(self, hands: Hands, intent: Intent) -> None:
        """Wait until the object says that everything is injected."""
        undo = intent.undo
        tool = tool_of(undo["apiVersion"])
        path = f"{await _collection(hands, undo)}/{undo['name']}"
        told = tool.told(await hands.api.get(path))
        try:
            async with asyncio.timeout(_INJECTED_S):
                while not told.injected and not told.problem:
                    await asyncio.sleep(_ASK_AGAIN_S)
                    told = tool.told(await hands.api.get(path))
        except TimeoutError:
            raise NotInjectedError(
                f"{undo['kind']} {undo['name']} was not injected within {_INJECTED_S:g} s:"
                f" {told.conditions}; see the log of the tool's controller"
            ) from None
        if told.problem:
            raise NotInjectedError(f"{undo['kind']} {undo['name']}: {told.problem}")

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """Give the present moment: ``take_effect`` has read the object's own condition."""
        return hands.at()

    def without_effect(self, fault: Json, hits: int) -> str:
        """Say that its conditions never told of it."""
        return "its conditions did not say that it was injected"

    async def watch(self, hands: Hands, intent: Intent, tell: Tell) -> Ended:
        """Return when the tool has ended it, or somebody has removed it."""
        undo = intent.undo
        tool = tool_of(undo["apiVersion"])
        path = f"{await _collection(hands, undo)}/{undo['name']}"
        while True:
            await asyncio.sleep(_ASK_AGAIN_S)
            try:
                told = tool.told(await hands.api.get(path))
            except NotFoundError:
                early = f"{undo['kind']} {undo['name']} was removed, not by the conductor"
                return Ended(by=ITSELF, at=hands.at(), early=early)
            except ClusterError:
                continue  # the API server is away; the tool ends it at its deadline all the same
            if told.recovered:
                early = told.problem or _early(undo, self._ends - asyncio.get_running_loop().time())
                by = ITSELF if early else "deadline"
                return Ended(by=by, at=hands.at(), early=early, undone=False)

    async def undo(self, hands: Hands, intent: Intent) -> Evidence | None:
        """Have it recover, and remove it; it is undone when it is gone, finalizers and all."""
        undo = intent.undo
        tool = tool_of(undo["apiVersion"])
        try:
            path = f"{await _collection(hands, undo)}/{undo['name']}"
        except NotInjectedError:
            return None  # of a kind that is not there, nothing is
        try:
            item = await hands.api.get(path)
            if not tool.told(item).recovered:
                await hands.api.patch(path, tool.stop())
                item = await self._until_recovered(hands, path, intent)
            uid = {"preconditions": {"uid": item["metadata"]["uid"]}}
            await hands.api.delete(path, {"kind": "DeleteOptions", "apiVersion": "v1", **uid})
        except NotFoundError:
            return None
        try:
            async with asyncio.timeout(_GONE_S):
                while True:
                    item = await hands.api.get(path)
                    await asyncio.sleep(_ASK_AGAIN_S)
        except NotFoundError:
            return None
        except TimeoutError:
            raise NotRevertedError(
                f"{undo['kind']} {undo['name']} is still there {_GONE_S:g} s after it was deleted"
                f" (finalizers: {_finalizers(item)}): {tool.told(item).conditions}"
            ) from None

    async def _until_recovered(self, hands: Hands, path: str, intent: Intent) -> Json:
        """
        Give the object when it says that it has recovered, or after a while.

        Some have nothing to recover (a pod that was killed) and never say so.
        """
        tool = tool_of(intent.undo["apiVersion"])
        item = await hands.api.get(path)
        try:
            async with asyncio.timeout(_RECOVERED_S):
                while not _is_over(tool.told(item).recovered, item):
                    await asyncio.sleep(_ASK_AGAIN_S)
                    item = await hands.api.get(path)
        except TimeoutError:
            pass
        return item


def _object(manifest: Json, name: str, *, namespace: str, lasts_s: float) -> Json:
    """
    Give the object as it is to be made, from what the user wrote, of any shape.

    Raises:
        NotInjectedError: It cannot be confined, or read.
    """
    try:
        confined = tool_of(str(manifest.get("apiVersion"))).confine(
            manifest, namespace=namespace, lasts_s=lasts_s
        )
        metadata = manifest.get("metadata") or {}
        confined["metadata"] = {
            "name": name,
            "namespace": namespace,
            "labels": {
                **(metadata.get("labels") or {}),
                names.MANAGED_BY: names.MANAGED_BY_VALUE,
                names.LABEL_COMPONENT: names.COMPONENT_ENVIRONMENT,
            },
            "annotations": metadata.get("annotations") or {},
        }
    except (AttributeError, TypeError):
        raise NotInjectedError(
            f"{str(manifest.get('kind'))[:80]} {name}: its manifest has not the shape that the"
            " tool's documentation shows; compare maps and lists"
        ) from None
    return confined


def _finalizers(item: Json) -> str:
    return ", ".join(item["metadata"].get("finalizers") or []) or "none"


def _early(undo: Json, lacks_s: float) -> str:
    """Say how much of its time is missing; empty if none is."""
    if lacks_s < _CLEARLY_S:
        return ""
    missing = format_duration(timedelta(seconds=round(lacks_s, 1)))
    return (
        f"{undo['kind']} {undo['name']} recovered {missing} before its time, not by the conductor"
    )


def _is_over(recovered: bool, item: Json) -> bool:
    return recovered or bool(item["metadata"].get("deletionTimestamp"))


async def _collection(hands: Hands, undo: Json) -> str:
    """
    Give the path of the objects of a kind in the run's namespace.

    Raises:
        NotInjectedError: The cluster has no such kind.
    """
    group = f"/apis/{undo['apiVersion']}"
    try:
        resources = (await hands.api.get(group))["resources"]
    except NotFoundError:
        resources = []
    for each in resources:
        if each["kind"] == undo["kind"] and "/" not in each["name"] and each["namespaced"]:
            return f"{group}/namespaces/{hands.namespace}/{each['name']}"
    raise NotInjectedError(
        f"this cluster has no {undo['apiVersion']} {undo['kind']}: install the tool, or use another"
        " kind of fault"
    )
