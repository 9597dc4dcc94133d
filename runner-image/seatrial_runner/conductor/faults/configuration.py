"""Configuration: a ConfigMap or Secret is changed or removed for a while."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from seatrial.api.errors import ConflictError, NotFoundError, NotInjectedError
from seatrial.api.journal import ServiceDoc
from seatrial.api.names import GROUP

from seatrial_runner.clock import parse
from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import (
    Aim,
    Hands,
    Intent,
    Json,
    ThroughApi,
    hold,
    let_go,
    target,
)
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import PODS, Seen

# The original is kept in an object of the same kind, so that a Secret never gets into the journal.
OURS = "seatrial-"
UNDO_PREFIX = f"{OURS}undo-"
_RESTORED = f"{GROUP}/restored"  # annotation of the kept object: when the original was back
_PLURALS = {"ConfigMap": "configmaps", "Secret": "secrets"}
_KEPT = ("data", "binaryData", "type", "immutable")
_LOOK_AGAIN_S = 1.0
_RESTARTED_S = 90.0


class Configuration(ThroughApi):
    """Keeps the original, changes the object, and brings back what was changed."""

    def aim(self, aim: Aim) -> Intent:
        """Take the object that is named."""
        change = aim.fault["configuration"]
        kind = "ConfigMap" if change.get("configMap") else "Secret"
        name = change.get("configMap") or change["secret"]
        if name.startswith(OURS):
            raise NotInjectedError(f"{kind} {name} is Seatrial's own; name one of the services'")
        hold(aim, f"{kind} {name}")
        return Intent(
            targets=[target(kind, name, "")],
            undo={
                "kind": kind,
                "name": name,
                "kept": f"{UNDO_PREFIX}{aim.fault['name']}",
                "fault": aim.fault["name"],
                "remove": change.get("remove"),
                # NB: new values are not here. Of a Secret, they are as secret as the old ones.
                "set": sorted(change.get("set") or {}),
                "certificate": (change.get("expireCertificate") or {}).get("key"),
                "restart": aim.service["name"] if change.get("restart") else None,
                "stamp": aim.stamp,
            },
        )

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Keep the original, make the change, and see that the pods have begun anew."""
        undo = intent.undo
        path = _path(hands, undo["kind"], undo["name"])
        try:
            original = await hands.api.get(path)
        except NotFoundError:
            raise NotInjectedError(
                f"there is no {undo['kind']} {undo['name']} in the run's namespace; name one of"
                " the services' manifests, or of their files and secrets"
            ) from None
        uid = str(original["metadata"].get("uid") or "")
        intent.targets[0]["uid"] = uid
        values = self._changed(hands, original, undo)
        await self._keep(hands, original, undo)
        if values is None:
            options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
            await hands.api.delete(path, options)
        else:
            await hands.api.patch(path, {"metadata": {"uid": uid}, **values})
        if undo["restart"] is not None:
            await _restart(hands, undo["restart"])

    def _changed(self, hands: Hands, original: Json, undo: Json) -> Json | None:
        """Give the merge patch that makes the change; None: the object is removed."""
        remove, name = undo["remove"], f"{undo['kind']} {undo['name']}"
        if remove is not None and not remove.get("keys"):
            return None
        if original.get("immutable"):
            raise NotInjectedError(
                f"{name} is immutable: it can only be removed as a whole (remove: {{}})"
            )
        if remove is not None:
            missing = [key for key in remove["keys"] if _field_of(original, key) is None]
            if missing:
                raise NotInjectedError(f"{name} has no key {', '.join(missing)}")
            return _patch(original, undo["kind"], dict.fromkeys(remove["keys"]))
        if undo["certificate"]:
            expired = _expired(original, undo, parse(hands.at()))
            return _patch(original, undo["kind"], {undo["certificate"]: expired})
        return _patch(original, undo["kind"], dict(_values(hands, undo)))

    async def _keep(self, hands: Hands, original: Json, undo: Json) -> None:
        metadata = original["metadata"]
        kept = {
            "apiVersion": "v1",
            "kind": undo["kind"],
            "metadata": {
                "name": undo["kept"],
                "labels": metadata.get("labels") or {},
                "annotations": metadata.get("annotations") or {},
            },
            # NB: not immutable: it will be marked when the original is back.
            **{key: original[key] for key in _KEPT if key in original and key != "immutable"},
        }
        if original.get("immutable"):
            kept["metadata"]["annotations"] |= {_IMMUTABLE: "true"}
        try:
            await hands.api.post(_path(hands, undo["kind"]), kept)
        except ConflictError:
            # Kept by an earlier try that was not undone, or by one whose answer was lost: what it
            # holds is older than what is there now, and so it is the original.
            return

    async def undo(self, hands: Hands, intent: Intent) -> None:
        """Bring back what was changed, and only that; then let go of the original."""
        undo = intent.undo
        kept_path = _path(hands, undo["kind"], undo["kept"])
        try:
            kept = await hands.api.get(kept_path)
        except NotFoundError:
            let_go(hands, undo["fault"])  # nothing was changed yet, or all is back
            return
        restored = (kept["metadata"].get("annotations") or {}).get(_RESTORED)
        if restored is None:
            await self._restore(hands, kept, intent)
            restored = hands.at()
            annotations = {"annotations": {_RESTORED: restored}}
            await hands.api.patch(kept_path, {"metadata": annotations})
        if undo["restart"] is not None:
            await _delete_older(hands, undo["restart"], parse(restored))
        let_go(hands, undo["fault"])
        uid = {"preconditions": {"uid": kept["metadata"]["uid"]}}
        try:
            await hands.api.delete(kept_path, {"kind": "DeleteOptions", "apiVersion": "v1", **uid})
        except (NotFoundError, ConflictError):
            return

    async def _restore(self, hands: Hands, kept: Json, intent: Intent) -> None:
        undo = intent.undo
        path = _path(hands, undo["kind"], undo["name"])
        try:
            present = await hands.api.get(path)
        except NotFoundError:
            made = await self._make_again(hands, kept, undo)
            intent.targets[0]["replacedBy"] = str(made["metadata"].get("uid") or "")
            return
        await hands.api.patch(path, _difference(present, kept, self._keys(kept, undo)))

    def _keys(self, kept: Json, undo: Json) -> list[str]:
        if undo["remove"] is not None:
            return list(undo["remove"].get("keys") or _all_keys(kept))
        return [undo["certificate"]] if undo["certificate"] else list(undo["set"])

    async def _make_again(self, hands: Hands, kept: Json, undo: Json) -> Json:
        annotations = dict(kept["metadata"].get("annotations") or {})
        immutable = annotations.pop(_IMMUTABLE, None) is not None
        again = {
            "apiVersion": "v1",
            "kind": undo["kind"],
            "metadata": {
                "name": undo["name"],
                "labels": kept["metadata"].get("labels") or {},
                "annotations": annotations,
            },
            **{key: kept[key] for key in _KEPT if key in kept},
            **({"immutable": True} if immutable else {}),
        }
        try:
            return await hands.api.post(_path(hands, undo["kind"]), again)
        except ConflictError:  # our own answer got lost
            return await hands.api.get(_path(hands, undo["kind"], undo["name"]))

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Nothing to wait for: the API server has answered."""
        return True


_IMMUTABLE = f"{GROUP}/immutable"


def _values(hands: Hands, undo: Json) -> dict[str, str]:
    """Give the new values of ``set``, which only the spec has."""
    values: dict[str, str] = hands.faults[undo["fault"]]["configuration"]["set"]
    return values


def _path(hands: Hands, kind: str, name: str = "") -> str:
    base = f"/api/v1/namespaces/{hands.namespace}/{_PLURALS[kind]}"
    return f"{base}/{name}" if name else base


def _field_of(item: Json, key: str) -> str | None:
    """Tell which of ``data`` and ``binaryData`` has a key."""
    return next((field for field in ("data", "binaryData") if key in (item.get(field) or {})), None)


def _all_keys(item: Json) -> list[str]:
    return [*(item.get("data") or {}), *(item.get("binaryData") or {})]


def _patch(item: Json, kind: str, values: dict[str, str | None]) -> Json:
    """Give the merge patch that sets keys to texts, or removes them (None)."""
    patch: dict[str, dict[str, str | None]] = {}
    for key, text in values.items():
        field = _field_of(item, key)
        if field == "binaryData":
            patch.setdefault("binaryData", {})[key] = None
        if text is not None and kind == "Secret":
            text = base64.b64encode(text.encode()).decode()
        if text is not None or field != "binaryData":
            patch.setdefault("data", {})[key] = text
    return dict(patch)


def _difference(present: Json, kept: Json, keys: Sequence[str]) -> Json:
    """Give the merge patch that brings keys back to what they were, and removes what was not."""
    patch: Json = {}
    for field in ("data", "binaryData"):
        old, new = kept.get(field) or {}, present.get(field) or {}
        for key in keys:
            if old.get(key) != new.get(key):
                patch.setdefault(field, {})[key] = old.get(key)
    return patch


def _expired(original: Json, undo: Json, now: datetime) -> str:
    from seatrial_runner.conductor.faults.certificates import CertificateError, expired_copy

    values: dict[str, Any] = original.get("data") or {}
    texts = {
        each: base64.b64decode(value).decode("utf-8", "replace")
        if undo["kind"] == "Secret"
        else value
        for each, value in values.items()
    }
    try:
        return expired_copy(texts, undo["certificate"], now=now)
    except CertificateError as error:
        raise NotInjectedError(f"{undo['kind']} {undo['name']}: {error}") from None


# Pods that read their configuration at start -----------------------------------------------------


async def _restart(hands: Hands, service: str) -> None:
    """Have every pod of a service begin anew, and return when those of before are gone."""
    old = _pods(hands, service)
    uids = {pods.uid(pod) for pod in old}
    await _delete(hands, old)
    try:
        async with asyncio.timeout(_RESTARTED_S):
            while any(pods.uid(pod) in uids for pod in _pods(hands, service)):
                await hands.seen.wait(_LOOK_AGAIN_S)
    except TimeoutError:
        raise NotInjectedError(
            f"pods of service {service} that began before the change were still there after"
            f" {_RESTARTED_S:g} s"
        ) from None


async def _delete_older(hands: Hands, service: str, moment: datetime) -> None:
    """Delete the pods that began before a moment."""
    # NB: creationTimestamp has whole seconds: a pod of the same second may be one of before.
    await _delete(
        hands,
        [
            pod
            for pod in _pods(hands, service)
            if parse(pod["metadata"]["creationTimestamp"]) <= moment
        ],
    )


async def _delete(hands: Hands, old: list[Json]) -> None:
    """
    Delete pods with their own grace; their controllers make others.

    NB: not a roll-out. That one keeps the pods of before for as long as new ones are not ready,
    which with their configuration lost is for ever: nothing would be seen of the fault.
    """
    for pod in old:
        if pods.is_going(pod):
            continue
        await hands.save_logs(pods.name(pod))
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": pods.uid(pod)},
        }
        try:
            await hands.api.delete(PODS.path(hands.namespace, pods.name(pod)), body)
        except (NotFoundError, ConflictError):
            continue


def _pods(hands: Hands, service: str) -> list[Json]:
    found = next(each for each in hands.services if each["name"] == service)
    return pods_of(found, hands.seen)
