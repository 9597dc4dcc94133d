"""Carries out a plan, in the order that keeps a crash between any two writes harmless."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from itertools import groupby
from typing import Any

from seatrial.api import names
from seatrial.api.duration import format_duration
from seatrial.api.errors import ClusterError, ForbiddenError, NotFoundError, lacks_a_right
from seatrial.api.reasons import Reason
from seatrial.api.run import Metadata
from seatrial.api.status import RunStatus
from seatrial.cluster.client import Client, Object
from seatrial.cluster.errors import AlreadyExistsError, InvalidObjectError, NotYetError
from seatrial.cluster.kinds import CONFIGMAP, NAMESPACE, RUN, kind_of
from seatrial.cluster.record import Record
from seatrial.cluster.undoing import undo
from seatrial.plan.blueprint import run_labels
from seatrial.plan.objects import Manifest, Mode, ObjectKey
from seatrial.plan.objects.manifest import CREATED, FOUND
from seatrial.plan.result import Delete, Plan, Undo
from seatrial.plan.seen import Refusal, see_namespace, see_pod
from seatrial.plan.status import write_status

logger = logging.getLogger(__name__)

_DRAWN = re.compile(r"\$\(([^()]+)\)")
_TRIES = 40  # of an object whose namespace is not counted yet, 25 ms apart


async def persist(
    client: Client, metadata: Metadata, before: RunStatus, plan: Plan, record: Record
) -> bool:
    """
    Write what must outlive a crash before anything is done about it: finalizer and status.

    Args:
        client: The API server.
        metadata: Of the run, as the plan saw it.
        before: The status the plan started from; nothing is written if it stays the same.
        plan: What to do.
        record: Is brought up to date with each write.

    Returns:
        Whether anything was written.

    Raises:
        ClusterError: It could not be written; ConflictError if the run has changed since.
    """
    # With the version the decision rests on: if someone has changed the run since, or another
    # operator is at work, the API server refuses, and the run is looked at again.
    version, writes = metadata.resource_version, record.writes
    if plan.finalizer is True:
        body = _run_body(metadata, resourceVersion=version, finalizers=[names.FINALIZER])
        record.run = await client.apply(RUN, body)
        record.writes += 1
        version = record.run["metadata"]["resourceVersion"]
    if plan.status != before and (document := write_status(plan.status)) != write_status(before):
        body = _run_body(metadata, resourceVersion=version)
        body["status"] = document
        record.run = await client.apply(RUN, body, subresource="status")
        record.writes += 1
    return record.writes > writes


async def undo_faults(client: Client, plan: Plan, record: Record) -> list[Exception]:
    """
    Undo the faults whose time is over: all at once, and before anything else.

    Returns:
        What went wrong. It must not keep the rest of the plan from being carried out.
    """
    undoing = (_undo(client, each, record) for each in plan.undo)
    failures = []
    for result in await asyncio.gather(*undoing, return_exceptions=True):
        if isinstance(result, Exception):
            failures.append(result)
        elif result is not None:
            raise result  # this process ends
    return failures


async def carry_out(client: Client, metadata: Metadata, plan: Plan, record: Record) -> bool:
    """
    Do what the plan asks for, after ``undo_faults`` and ``persist``.

    Returns:
        Whether anything was done, so that it is worth planning again at once.

    Raises:
        ClusterError: A step failed; those before it are done and recorded.
    """
    writes = record.writes
    await _make(client, plan.apply, record)
    if plan.copy_report and not record.report_problem:
        try:
            await _copy_report(client, metadata, plan.status, record)
        except ClusterError as error:
            record.report_error = str(error)
            raise
        if record.report_problem:
            fields = {"run": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}
            fields["error"] = record.report_problem
            logger.warning("a report cannot be copied", extra=fields)
    for each in plan.delete:
        await _delete(client, each, record)
    if plan.finalizer is False:
        record.run = await client.apply(RUN, _run_body(metadata))
        record.writes += 1
    return record.writes > writes


def _run_body(metadata: Metadata, **fields: Any) -> Object:
    # With its UID, so that a run that is gone is not made again.
    identity = {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {**identity, **fields},
    }


async def _make(client: Client, manifests: tuple[Manifest, ...], record: Record) -> None:
    """Write objects: the namespace, then what the conductor needs beside everything else."""
    namespaces = [each for each in manifests if each.key.kind == "Namespace"]
    await _make_stages(client, namespaces, record)
    if record.refusal is not None:
        return
    if record.namespace is not None:
        ours = record.namespace.owner == record.run["metadata"]["uid"]
        seals = [each.body["metadata"]["annotations"][names.ANNOTATION_SEAL] for each in namespaces]
        if not ours or (seals and record.namespace.seal not in seals):
            return  # someone else's: the planner says what follows
    shared = [each for each in manifests if each.of_everyone]
    await _make_stages(client, shared, record)
    if record.refusal is not None:
        return
    rest = [each for each in manifests if each.key.kind != "Namespace" and each not in shared]
    await _together(
        _make_stages(client, [each for each in rest if each.of_conductor], record),
        _make_stages(client, [each for each in rest if not each.of_conductor], record),
    )


async def _make_stages(client: Client, manifests: list[Manifest], record: Record) -> None:
    """Write objects stage by stage; those of a stage at the same time."""
    ordered = sorted(manifests, key=lambda each: each.stage)
    for _, stage in groupby(ordered, key=lambda each: each.stage):
        await _together(*(_write(client, each, record) for each in stage))
        if record.refusal is not None:
            return


async def _together(*steps: Awaitable[None]) -> None:
    """Do all of it, whatever fails; then raise the failure that tells most."""
    results = await asyncio.gather(*steps, return_exceptions=True)
    failures = [each for each in results if isinstance(each, BaseException)]
    if failures:
        # What is no error of the cluster's tells more than a time-out.
        raise min(failures, key=lambda each: isinstance(each, ClusterError))


async def _write(client: Client, manifest: Manifest, record: Record) -> None:
    for attempt in range(_TRIES):
        try:
            await _write_once(client, manifest, record)
        except NotYetError as error:
            if attempt == _TRIES - 1 or error.retry_after is None:
                raise
            await asyncio.sleep(error.retry_after.total_seconds())
        except InvalidObjectError as error:
            record.refusal = Refusal(Reason.INVALID_SPEC, _refused(manifest.key, error))
            return
        except ForbiddenError as error:
            if _may_pass(error):
                raise
            reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in str(error) else Reason.FORBIDDEN
            record.refusal = Refusal(reason, _refused(manifest.key, error))
            return
        else:
            return


async def _write_once(client: Client, manifest: Manifest, record: Record) -> None:
    kind, key = kind_of(manifest.key.kind), manifest.key
    record.writes += 1
    if manifest.mode is Mode.APPLY:
        manager = "-".join(part for part in (names.FIELD_MANAGER, key.aspect) if part)
        await client.apply(kind, manifest.body, manager=manager)
        record.applied[key] = manifest.digest
        return
    body: Object | None
    try:
        body = await client.create(kind, await _completed(client, manifest))
        record.applied[key] = CREATED
    except AlreadyExistsError:
        record.applied[key] = FOUND
        # Of these two, more must be known than that they are there.
        if key.kind not in ("Namespace", "Pod"):
            return
        body = await client.get(kind, key.namespace, key.name)
    if body is not None:
        note(record, key, body)


def note(record: Record, key: ObjectKey, body: Mapping[str, Any]) -> None:
    """Record what the API server returned for a namespace or the conductor's pod."""
    if key.kind == "Namespace":
        record.namespace = see_namespace(body)
    elif key.kind == "Pod" and key.name == names.CONDUCTOR:
        record.conductor = see_pod(body)


async def _completed(client: Client, manifest: Manifest) -> Mapping[str, Any]:
    """Put in what the planner does not know: values to be drawn, tokens to be asked for."""
    # Digits and letters, which no URL, command line or file needs to quote.
    data = {key: secrets.token_hex(32) for key in manifest.random_keys}
    data |= {key: _with_drawn(text, data) for key, text in manifest.texts.items()}
    if manifest.token_of:
        namespace = manifest.key.namespace
        token, seconds = await client.account_token(namespace, manifest.token_of, manifest.token_s)
        if seconds < manifest.token_s:
            # Better now than in the middle of a test.
            raise InvalidObjectError(_short_token(seconds, manifest.token_s))
        data[names.TOKEN_KEY] = token
    return {**manifest.body, "stringData": data} if data else manifest.body


def _with_drawn(text: str, drawn: Mapping[str, str]) -> str:
    return _DRAWN.sub(lambda match: drawn.get(match[1], match[0]), text)


def _short_token(seconds: int, needed: int) -> str:
    given, longest = (format_duration(timedelta(seconds=each)) for each in (seconds, needed))
    return (
        f"the API server gives tokens for {given} at most, and with its spec.timeout this run may"
        f" take {longest}. Shorten spec.timeout, or raise the API server's"
        f" --service-account-max-token-expiration"
    )


def _may_pass(error: ForbiddenError) -> bool:
    """Tell a missing right, which someone may grant, and a namespace that goes from a refusal."""
    if error.status == 401:  # who we are is not known, or not yet: nobody has judged the object
        return True
    text = str(error)
    return lacks_a_right(text) or "attempting to grant" in text or _is_going(error)


def _is_going(error: ForbiddenError) -> bool:
    """Tell whether nothing can be created in a namespace any more."""
    # Source: Kubernetes, staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle.
    return "is being terminated" in str(error)


def _refused(key: ObjectKey, error: ClusterError) -> str:
    return f"{key.kind} {key.name} was refused: {error}"[:1024]


async def _copy_report(
    client: Client, metadata: Metadata, status: RunStatus, record: Record
) -> None:
    """Copy the report beside the run, owned by it. A ConfigMap of someone else is left alone."""
    assert status.namespace is not None
    source = await client.get(CONFIGMAP, status.namespace, names.REPORT_CONFIGMAP)
    if source is None:
        raise NotFoundError(f"ConfigMap {status.namespace}/{names.REPORT_CONFIGMAP} is not there")
    name = names.report_name(metadata.name)
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": metadata.name,
        "uid": metadata.uid,
    }
    body: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": metadata.namespace,
            "labels": {
                **run_labels(metadata),
                names.LABEL_COMPONENT: names.COMPONENT_REPORT,
            },
            "ownerReferences": [owner],
        },
        **{field: source[field] for field in ("data", "binaryData") if source.get(field)},
    }
    record.writes += 1
    try:
        await client.create(CONFIGMAP, body)
    except AlreadyExistsError:
        existing = await client.get(CONFIGMAP, metadata.namespace, name)
        owners = (existing or {}).get("metadata", {}).get("ownerReferences") or ()
        if not any(each.get("uid") == metadata.uid for each in owners):
            older = {"kind": names.KIND, "name": metadata.name}
            if any(older.items() <= each.items() for each in owners):
                # The run was deleted and applied again; the garbage collector comes a little later.
                raise ClusterError(f"ConfigMap {name} is still that of an earlier run") from None
            record.report_problem = f"ConfigMap {name} is there already, and not of this run."
            return
    except InvalidObjectError as error:
        record.report_problem = str(error)
        return
    except ForbiddenError as error:
        if not _is_going(error):
            raise
        record.report_problem = str(error)
        return
    record.report_copied = True


async def _undo(client: Client, wanted: Undo, record: Record) -> None:
    record.writes += 1
    record.undone[wanted.key] = await undo(client, wanted)


async def _delete(client: Client, delete: Delete, record: Record) -> None:
    kind = kind_of(delete.kind)
    await client.delete(kind, delete.namespace, delete.name, delete.uid, force=delete.force)
    record.writes += 1
    if kind is NAMESPACE:
        # The watch says soon what is left of it; until then it is going, so that it is not
        # deleted twice.
        body = await client.get(NAMESPACE, "", delete.name)
        record.namespace = see_namespace(body) if body is not None else None
