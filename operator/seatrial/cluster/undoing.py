"""
Undoes what a fault has changed, as the planner asks for.

By JSON patches whose first operations test that the object is the one and still bears the mark of
this playing of the fault: the API server does all of it or nothing. So it takes no right to read
workloads and Services, and nothing that has begun meanwhile can be hit.

Source: RFC 6902, "test"; Kubernetes answers 422 where one does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from seatrial.api.errors import ConflictError, NotFoundError
from seatrial.api.names import LABEL_SERVICE
from seatrial.api.undoing import (
    RESTORED,
    all_keys,
    cut_key,
    difference,
    kept_key,
    made_again,
    mark_key,
    note,
    note_key,
    noted,
)
from seatrial.cluster.client import Client, Object
from seatrial.cluster.errors import AlreadyExistsError, InvalidObjectError
from seatrial.cluster.kinds import CONFIGMAP, POD, SECRET, kind_of
from seatrial.plan.result import Undo

Operation = dict[str, Any]


async def undo(client: Client, wanted: Undo) -> str:
    """
    Make an object what it was before a fault.

    Returns:
        When the operator has undone it: now, or before in a write whose answer was lost. Empty if
        somebody else has, or the object is gone.

    Raises:
        ClusterError: It may still be as the fault has made it.
    """
    if wanted.changed["kind"] in ("ConfigMap", "Secret"):
        moment = await _configure(client, wanted)
        if moment and "restart" in wanted.changed:
            await _begin_anew(client, wanted, moment)
        return moment
    kind, name = kind_of(wanted.changed["kind"]), wanted.changed["name"]
    try:
        await client.patch_if(kind, wanted.namespace, name, _operations(wanted))
    except NotFoundError:
        return ""
    except InvalidObjectError:
        # Changes nothing, and is answered with the object.
        item = await client.patch_if(kind, wanted.namespace, name, [])
        if _is_of(item, wanted):
            raise  # it was not the mark
        return noted(item, wanted.fault, wanted.mark)
    return wanted.at


async def _configure(client: Client, wanted: Undo) -> str:
    if wanted.changed["kind"] == "ConfigMap":
        return await _restore(client, wanted)
    if wanted.spare is not None:
        return await _make_anew(client, wanted)
    return await _bring_back(client, wanted)


async def _begin_anew(client: Client, wanted: Undo, moment: str) -> None:
    """
    Delete the pods of a service that began before its configuration was back.

    Whether they are gone, and how the new ones are, is seen by the conductor, or by nobody.
    """
    # NB: creationTimestamp has whole seconds: a pod of the same second may be one of before.
    since = datetime.fromisoformat(moment)
    selector = f"{LABEL_SERVICE}={wanted.changed['restart']}"
    async for pod in client.items(POD, wanted.namespace, selector):
        metadata = pod["metadata"]
        is_over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if "deletionTimestamp" in metadata or is_over:
            continue
        if datetime.fromisoformat(metadata["creationTimestamp"]) <= since:
            await client.delete(POD, wanted.namespace, metadata["name"], metadata["uid"])


def _operations(wanted: Undo) -> list[Operation]:
    changed, fault = wanted.changed, wanted.fault
    operations = _taking_the_mark(wanted, uid=wanted.changed["uid"])
    if changed["kind"] == "Service":
        operations += _without(_pointer("spec", "selector", cut_key(fault)))
    else:
        replicas = changed.get("replicas", 1)
        operations.append({"op": "replace", "path": "/spec/replicas", "value": replicas})
    return operations


def _taking_the_mark(wanted: Undo, *, uid: str) -> list[Operation]:
    """Test that it is the object, and marked; leave the note instead."""
    mark, left = _annotation(mark_key(wanted.fault)), _annotation(note_key(wanted.fault))
    operations = [_test(uid, "metadata", "uid")] if uid else []
    return [
        *operations,
        {"op": "test", "path": mark, "value": wanted.mark},
        {"op": "add", "path": left, "value": note(wanted.mark, wanted.at)},
        {"op": "remove", "path": mark},
    ]


# A Secret ----------------------------------------------------------------------------------------


async def _bring_back(client: Client, wanted: Undo) -> str:
    """
    Move the old values of a Secret's keys from its annotations to where they were.

    NB: nothing of what the Secret holds comes to us: of the answer we ask for metadata only, and
    where annotations may still hold values, for a dry run's in which there are none.
    """
    namespace, name = wanted.namespace, wanted.changed["name"]
    try:
        await client.patch_if(SECRET, namespace, name, _moves(wanted), metadata_only=True)
    except NotFoundError:
        return ""
    except InvalidObjectError:
        if not await _is_marked(client, wanted, name):
            return await _note_on(client, wanted, name)
        # It was not the mark: of a Secret without any key, the API server leaves the field out.
        # Without looking it cannot be told from others, whose keys must stay.
        moves = [{"op": "add", "path": "/data", "value": {}}, *_moves(wanted)]
        await client.patch_if(SECRET, namespace, name, moves, metadata_only=True)
    return wanted.at


async def _make_anew(client: Client, wanted: Undo) -> str:
    """
    Make a Secret again that was removed as a whole, as it was made at first.

    NB: in this order. Of the one that holds the original, the mark is looked at first: without it,
    the Secret may have been removed anew. It is taken away last, so that whoever is killed in
    between is followed by one who does it again.
    """
    assert wanted.spare is not None
    kept = wanted.changed.get("kept", "")
    if not await _is_marked(client, wanted, kept):
        return await _note_on(client, wanted, kept)
    # Where there is one by now, an operator before us has made it, or the conductor.
    with suppress(AlreadyExistsError):
        await client.create(SECRET, wanted.spare)
    restored = {"op": "add", "path": _annotation(RESTORED), "value": wanted.at}
    operations = [*_taking_the_mark(wanted, uid=""), restored]
    try:
        await client.patch_if(SECRET, wanted.namespace, kept, operations, metadata_only=True)
    except (InvalidObjectError, NotFoundError):
        return ""  # the conductor is there again, and has brought it back as well
    return wanted.at


async def _is_marked(client: Client, wanted: Undo, name: str) -> bool:
    test = {"op": "test", "path": _annotation(mark_key(wanted.fault)), "value": wanted.mark}
    return await _look(client, wanted, name, [test, _NO_ANNOTATIONS]) is not None


async def _note_on(client: Client, wanted: Undo, name: str) -> str:
    left, aside = _annotation(note_key(wanted.fault)), "/metadata/aside"
    back = {"op": "move", "from": aside, "path": left}
    away = {"op": "move", "from": left, "path": aside}
    item = await _look(client, wanted, name, [away, _NO_ANNOTATIONS, back])
    return noted(item, wanted.fault, wanted.mark) if item else ""


async def _look(
    client: Client, wanted: Undo, name: str, operations: list[Operation]
) -> Object | None:
    """Give the metadata of a Secret as the operations would make it; None: they cannot."""
    try:
        return await client.patch_if(
            SECRET, wanted.namespace, name, operations, metadata_only=True, dry_run=True
        )
    except (InvalidObjectError, NotFoundError):
        return None


def _moves(wanted: Undo) -> list[Operation]:
    changed, fault = wanted.changed, wanted.fault
    operations = _taking_the_mark(wanted, uid=wanted.changed["uid"])
    added = set(changed.get("added", ()))
    for n, key in enumerate(changed.get("keys", ())):
        path = _pointer("data", key)
        if key in added:
            operations += _without(path)
        else:
            kept = _annotation(kept_key(fault, n))
            operations.append({"op": "move", "from": kept, "path": path})
    return operations


def _without(path: str) -> list[Operation]:
    """Take away what may not be there any more."""
    return [{"op": "add", "path": path, "value": ""}, {"op": "remove", "path": path}]


_NO_ANNOTATIONS: Operation = {"op": "add", "path": "/metadata/annotations", "value": {}}


# A ConfigMap -------------------------------------------------------------------------------------


async def _restore(client: Client, wanted: Undo) -> str:
    """
    Bring a ConfigMap back from the one that holds its original.

    NB: in this order. What is kept is looked at after the ConfigMap, so that one that has been
    restored and changed anew since is of a newer version than the one that is written to.
    """
    changed, namespace = wanted.changed, wanted.namespace
    present = await client.get(CONFIGMAP, namespace, changed["name"])
    kept = await client.get(CONFIGMAP, namespace, changed.get("kept", ""))
    if kept is None or not _is_of(kept, wanted):
        return ""
    if RESTORED in kept["metadata"]["annotations"]:
        return noted(kept, wanted.fault, wanted.mark)
    if present is None:
        await _make(client, namespace, made_again(kept, changed["name"], wanted.fault))
    else:
        patch = difference(present, kept, changed.get("keys") or all_keys(kept))
        if patch:
            version = present["metadata"]["resourceVersion"]
            body = {"metadata": {"resourceVersion": version}, **patch}
            await client.merge(CONFIGMAP, namespace, changed["name"], body)
    notes = {RESTORED: wanted.at, note_key(wanted.fault): note(wanted.mark, wanted.at)}
    metadata = {"uid": kept["metadata"]["uid"], "annotations": notes}
    try:
        await client.merge(CONFIGMAP, namespace, kept["metadata"]["name"], {"metadata": metadata})
    except (ConflictError, NotFoundError):
        return ""  # the conductor is there again, and has brought it back as well
    return wanted.at


async def _make(client: Client, namespace: str, body: Object) -> None:
    metadata = {**body["metadata"], "namespace": namespace}
    try:
        await client.create(CONFIGMAP, {**body, "metadata": metadata})
    except AlreadyExistsError as error:
        raise ConflictError(str(error), status=409) from error  # since we looked: look again


def _is_of(item: Mapping[str, Any], wanted: Undo) -> bool:
    annotations = item["metadata"].get("annotations") or {}
    return bool(annotations.get(mark_key(wanted.fault)) == wanted.mark)


def _annotation(key: str) -> str:
    return _pointer("metadata", "annotations", key)


def _test(value: str, *path: str) -> Operation:
    return {"op": "test", "path": _pointer(*path), "value": value}


def _pointer(*path: str) -> str:
    """Write a path as RFC 6901 does."""
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)
