"""What a ``configuration`` fault makes of a ConfigMap or Secret. Pure."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from seatrial.api.errors import NotInjectedError

Json = dict[str, Any]


def changes(
    original: Json,
    undo: Json,
    *,
    values: dict[str, str],
    now: datetime,
) -> Json | None:
    """
    Give the merge patch that makes the change; None: the object is removed.

    Args:
        original: The object as it is before.
        undo: Of the fault's intent.
        values: New texts by key, of a fault that sets them.
        now: The present moment.

    Raises:
        NotInjectedError: It cannot be made of this object.
    """
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
        expired = _expired(original, undo, now)
        return _patch(original, undo["kind"], {undo["certificate"]: expired})
    return _patch(original, undo["kind"], dict(values))


def changed_keys(undo: Json) -> list[str]:
    """List the keys that are changed; empty: the whole object is removed."""
    if undo["remove"] is not None:
        return list(undo["remove"].get("keys") or ())
    return [undo["certificate"]] if undo["certificate"] else list(undo["set"])


def _field_of(item: Json, key: str) -> str | None:
    """Tell which of ``data`` and ``binaryData`` has a key."""
    return next((field for field in ("data", "binaryData") if key in (item.get(field) or {})), None)


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
