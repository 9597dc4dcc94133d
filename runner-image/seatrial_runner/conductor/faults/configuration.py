"""Configuration: a ConfigMap or Secret is changed or removed for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from seatrial.api.errors import ClusterError, ConflictError, NotFoundError, NotInjectedError
from seatrial.api.journal import ChangedDoc, ServiceDoc
from seatrial.api.undoing import (
    IMMUTABLE,
    ITSELF,
    KEPT,
    OPERATOR,
    RESTORED,
    UNDO_PREFIX,
    all_keys,
    back_key,
    back_since,
    difference,
    made_again,
    mark_key,
    mark_of,
    noted,
)

from seatrial_runner.clock import parse
from seatrial_runner.conductor.faults import secret_keys
from seatrial_runner.conductor.faults.anew import WITHIN_S, begin_again, begin_anew, refuse_bare
from seatrial_runner.conductor.faults.changes import changed_keys, changes
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
    target,
    undone_before,
)
from seatrial_runner.conductor.seen import Seen

OURS = "seatrial-"
# Copies of what envFrom names, and files of services: of Seatrial's own, these may be changed.
_THE_USERS = ("seatrial-copy.", "seatrial-files.service.")
_LOOK_AGAIN_S = 1.0
_PLURALS = {"ConfigMap": "configmaps", "Secret": "secrets"}


class Configuration(ThroughApi):
    """
    Keeps the original, changes the object, and brings back what was changed.

    The original is kept in an object of its own; of a Secret that is changed and not removed, in
    annotations of itself, from where the operator can bring it back without reading it.
    """

    def __init__(self) -> None:
        self._changed: Json | None = None  # the merge patch; None: the object is removed

    def aim(self, aim: Aim) -> Intent:
        """Take the object that is named."""
        change = aim.fault["configuration"]
        kind = "ConfigMap" if change.get("configMap") else "Secret"
        name = change.get("configMap") or change["secret"]
        if name.startswith(OURS) and not name.startswith(_THE_USERS):
            raise NotInjectedError(f"{kind} {name} is Seatrial's own; name one of the services'")
        if change.get("restart"):
            refuse_bare(aim.service, aim.seen)
        hold(aim, f"{kind} {name}")
        return Intent(
            targets=[target(kind, name, "")],
            undo={
                "kind": kind,
                "name": name,
                "kept": f"{UNDO_PREFIX}{aim.fault['name']}",
                "fault": aim.fault["name"],
                "mark": mark_of(aim.stamp),
                "remove": change.get("remove"),
                # NB: new values are not here. Of a Secret, they are as secret as the old ones.
                "set": sorted(change.get("set") or {}),
                "certificate": (change.get("expireCertificate") or {}).get("key"),
                "restart": aim.service["name"] if change.get("restart") else None,
                "stamp": aim.stamp,
            },
        )

    async def look(self, hands: Hands, intent: Intent) -> None:
        """Of a Secret, read which keys it has; the operator, which reads none, is told."""
        undo = intent.undo
        if not _is_kept_inside(undo):
            return
        original = await self._original(hands, undo)
        intent.targets[0]["uid"] = str(original["metadata"].get("uid") or "")
        present, keys = original.get("data") or {}, changed_keys(undo)
        undo["added"] = [key for key in keys if key not in present]
        secret_keys.keeping(original, undo["fault"], undo["mark"], keys)

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Keep the original, and make the change."""
        undo = intent.undo
        path = _path(hands, undo["kind"], undo["name"])
        original = await self._original(hands, undo)
        uid = str(original["metadata"].get("uid") or "")
        intent.targets[0]["uid"] = uid
        values = changes(original, undo, values=_values(hands, undo), now=parse(hands.at()))
        self._changed = values
        if _is_kept_inside(undo):
            annotations = secret_keys.keeping(
                original, undo["fault"], undo["mark"], changed_keys(undo)
            )
            metadata = {"uid": uid, "annotations": annotations}
            await hands.api.patch(path, {"metadata": metadata, **(values or {})})
            return
        await self._keep(hands, original, undo)
        if values is None:
            options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
            await hands.api.delete(path, options)
        else:
            await hands.api.patch(path, {"metadata": {"uid": uid}, **values})

    async def take_effect(self, hands: Hands, intent: Intent) -> None:
        """See that the pods have begun anew."""
        if intent.undo["restart"] is not None:
            await begin_anew(hands, intent.undo["restart"])

    async def _original(self, hands: Hands, undo: Json) -> Json:
        try:
            item = await hands.api.get(_path(hands, undo["kind"], undo["name"]))
        except NotFoundError:
            raise NotInjectedError(
                f"there is no {undo['kind']} {undo['name']} in the run's namespace; name one of"
                " the services' manifests, or of their files and secrets"
            ) from None
        if _is_kept_inside(undo):
            return secret_keys.as_before(item, undo["fault"], changed_keys(undo))
        return item

    async def _keep(self, hands: Hands, original: Json, undo: Json) -> None:
        metadata = original["metadata"]
        kept = {
            "apiVersion": "v1",
            "kind": undo["kind"],
            "metadata": {
                "name": undo["kept"],
                "labels": metadata.get("labels") or {},
                "annotations": {
                    **(metadata.get("annotations") or {}),
                    mark_key(undo["fault"]): undo["mark"],
                },
            },
            # NB: not immutable: it will be marked when the original is back.
            **{key: original[key] for key in KEPT if key in original and key != "immutable"},
        }
        if original.get("immutable"):
            kept["metadata"]["annotations"] |= {IMMUTABLE: "true"}
        try:
            await hands.api.post(_path(hands, undo["kind"]), kept)
        except ConflictError:
            await self._keep_beside(hands, kept, undo)

    async def _keep_beside(self, hands: Hands, kept: Json, undo: Json) -> None:
        """
        Keep the original where something is kept already.

        By an earlier try that was not undone, or by one whose answer was lost: what it holds is
        older than what is there now, and so it is the original. But if that is back, and only the
        end of its pods was not seen, then it is no original any more.
        """
        path = _path(hands, undo["kind"], undo["kept"])
        metadata = (await hands.api.get(path))["metadata"]
        if RESTORED not in (metadata.get("annotations") or {}):
            # The operator undoes what bears the mark of this time.
            mark = {mark_key(undo["fault"]): undo["mark"]}
            await hands.api.patch(path, {"metadata": {"uid": metadata["uid"], "annotations": mark}})
            return
        uid = {"preconditions": {"uid": metadata["uid"]}}
        await hands.api.delete(path, {"kind": "DeleteOptions", "apiVersion": "v1", **uid})
        await hands.api.post(_path(hands, undo["kind"]), kept)

    async def watch(self, hands: Hands, intent: Intent, tell: Tell) -> Ended:
        """Return when somebody else has brought it back, or has changed what was changed."""
        undo, looks = intent.undo, 0
        while True:
            await asyncio.sleep(_LOOK_AGAIN_S)
            try:
                looks = 0 if await self._is_in_effect(hands, undo) else looks + 1
                at = await self._undone_by_operator(hands, undo) if looks else ""
            except ClusterError:
                continue  # the API server is away: nobody else can have changed it either
            if at and undo["restart"] is None:
                return Ended(by=OPERATOR, at=at, undone=False)
            # The second time: the operator notes what it has done after it has done it.
            if looks > 1 and not at:
                early = f"{undo['kind']} {undo['name']} was changed again, not by the conductor"
                return Ended(by=ITSELF, at=hands.at(), early=early, undone=False)

    async def _is_in_effect(self, hands: Hands, undo: Json) -> bool:
        try:
            present = await hands.api.get(_path(hands, undo["kind"], undo["name"]))
        except NotFoundError:
            return self._changed is None
        return self._changed is not None and all(
            (present.get(field) or {}).get(key) == text
            for field, texts in self._changed.items()
            for key, text in texts.items()
        )

    async def _undone_by_operator(self, hands: Hands, undo: Json) -> str:
        name = undo["name"] if _is_kept_inside(undo) else undo["kept"]
        try:
            item = await hands.api.get(_path(hands, undo["kind"], name))
        except NotFoundError:
            return ""
        return noted(item, undo["fault"], undo["mark"])

    async def undo(self, hands: Hands, intent: Intent) -> Evidence | None:
        """Bring back what was changed, and only that; then let go of the original."""
        if _is_kept_inside(intent.undo):
            return await self._undo_inside(hands, intent.undo)
        undo = intent.undo
        kept_path = _path(hands, undo["kind"], undo["kept"])
        try:
            kept = await hands.api.get(kept_path)
        except NotFoundError:
            let_go(hands, undo["fault"])  # nothing was changed yet, or all is back
            return None
        before = noted(kept, undo["fault"], undo.get("mark", "-"))
        restored = (kept["metadata"].get("annotations") or {}).get(RESTORED)
        if restored is None:
            await self._restore(hands, kept, intent)
            restored = hands.at()
            annotations = {"annotations": {RESTORED: restored}}
            await hands.api.patch(kept_path, {"metadata": annotations})
        if undo["restart"] is not None:
            await begin_again(hands, undo["restart"], parse(restored))
        let_go(hands, undo["fault"])
        uid = {"preconditions": {"uid": kept["metadata"]["uid"]}}
        with suppress(NotFoundError, ConflictError):
            await hands.api.delete(kept_path, {"kind": "DeleteOptions", "apiVersion": "v1", **uid})
        return _undone_before(undo, before)

    async def _undo_inside(self, hands: Hands, undo: Json) -> Evidence | None:
        """Bring the keys of a Secret back from its annotations."""
        path, fault, mark = _path(hands, undo["kind"], undo["name"]), undo["fault"], undo["mark"]
        before = ""
        try:
            item = await self._bring_back(hands, path, undo)
            before = noted(item, fault, mark)
            since = before or back_since(item, fault, mark)
            if since and undo["restart"] is not None:
                await begin_again(hands, undo["restart"], parse(since))
            if back_since(item, fault, mark):
                await hands.api.patch(path, {"metadata": {"annotations": {back_key(fault): None}}})
        except NotFoundError:
            pass  # the Secret is gone, and what was changed of it
        let_go(hands, fault)
        return _undone_before(undo, before)

    async def _bring_back(self, hands: Hands, path: str, undo: Json) -> Json:
        """Bring the keys back, unless that is done; give the Secret as it is then."""
        fault, mark, keys = undo["fault"], undo["mark"], changed_keys(undo)
        while True:
            item = await hands.api.get(path)
            if (item["metadata"].get("annotations") or {}).get(mark_key(fault)) != mark:
                return item
            at = hands.at() if undo["restart"] is not None else ""
            back = secret_keys.bringing_back(item, fault, mark, keys, at)
            try:
                return await hands.api.patch(path, back)
            except ConflictError:
                continue  # the operator was at it, or our own answer got lost: look again

    def changed(self, intent: Intent) -> list[ChangedDoc]:
        """Give the object, and where its original is kept."""
        undo = intent.undo
        doc: ChangedDoc = {
            "kind": undo["kind"],
            "name": undo["name"],
            "uid": intent.targets[0]["uid"],
        }
        if undo["restart"] is not None:
            doc["restart"] = undo["restart"]
        keys = changed_keys(undo)
        if not _is_kept_inside(undo):
            doc["kept"] = undo["kept"]
        elif undo["added"]:
            doc["added"] = undo["added"]
        if keys:
            doc["keys"] = keys
        return [doc]

    def within_s(self, intent: Intent) -> float:
        """Give the time for two writes, and for the pods to begin anew."""
        written_s = super().within_s(intent)
        return written_s if intent.undo["restart"] is None else written_s + WITHIN_S

    async def _restore(self, hands: Hands, kept: Json, intent: Intent) -> None:
        undo = intent.undo
        path = _path(hands, undo["kind"], undo["name"])
        try:
            present = await hands.api.get(path)
        except NotFoundError:
            made = await self._make_again(hands, kept, undo)
            intent.targets[0]["replacedBy"] = str(made["metadata"].get("uid") or "")
            return
        keys = changed_keys(undo) or all_keys(kept)
        await hands.api.patch(path, difference(present, kept, keys))

    async def _make_again(self, hands: Hands, kept: Json, undo: Json) -> Json:
        again = made_again(kept, undo["name"], undo["fault"])
        try:
            return await hands.api.post(_path(hands, undo["kind"]), again)
        except ConflictError:  # our own answer got lost
            return await hands.api.get(_path(hands, undo["kind"], undo["name"]))

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Nothing to wait for: the API server has answered."""
        return True


def _is_kept_inside(undo: Json) -> bool:
    """Tell whether the original is kept in the object itself: a Secret that is not removed."""
    return undo["kind"] == "Secret" and bool(changed_keys(undo))


def _undone_before(undo: Json, before: str) -> Evidence | None:
    """Tell of an operator that was first; where pods had to begin anew, the end was our doing."""
    return undone_before([before]) if undo["restart"] is None else None


def _values(hands: Hands, undo: Json) -> dict[str, str]:
    """Give the new values of ``set``, which only the spec has; empty for other changes."""
    fault = hands.faults.get(undo["fault"]) or {}
    values: dict[str, str] = (fault.get("configuration") or {}).get("set") or {}
    return values


def _path(hands: Hands, kind: str, name: str = "") -> str:
    base = f"/api/v1/namespaces/{hands.namespace}/{_PLURALS[kind]}"
    return f"{base}/{name}" if name else base
