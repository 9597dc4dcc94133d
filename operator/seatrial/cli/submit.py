"""Brings a file's objects to the cluster: first what the run needs, then the run."""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

from seatrial.api import names
from seatrial.api.errors import NotFoundError
from seatrial.cli.client import Cluster, RefusedError, runs_path
from seatrial.cli.documents import Documents
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.last_applied import with_last_applied

Json = dict[str, Any]

DELETION_TIMEOUT_S = 300.0


def prepare(
    manifest: Json,
    *,
    name: str | None,
    keep: str | None,
    tags: list[str] | None = None,
    without: list[str] | None = None,
) -> Json:
    """
    Give the run as it will be created: with what the command line says in it, without status.

    Raises:
        CommandError: It has neither a name nor a generateName.
    """
    manifest = copy.deepcopy(manifest)
    manifest.pop("status", None)
    metadata = manifest.get("metadata")
    metadata = manifest["metadata"] = metadata if isinstance(metadata, dict) else {}
    if name:
        metadata.pop("generateName", None)
        metadata["name"] = name
    if not (metadata.get("name") or metadata.get("generateName")):
        raise CommandError("the run has no metadata.name: write one, or give --name", Exit.REFUSED)
    if keep and isinstance(manifest.get("spec"), dict):
        manifest["spec"]["keepEnvironment"] = {"onSuccess": keep, "onFailure": keep}
    if (tags or without) and isinstance(manifest.get("spec"), dict):
        chosen = {"tags": tags, "without": without}
        manifest["spec"]["select"] = {key: value for key, value in chosen.items() if value}
    return manifest


def submit(
    cluster: Cluster,
    manifest: Json,
    documents: Documents,
    options: argparse.Namespace,
    say: Callable[[str], None],
) -> Json:
    """
    Apply the other objects of the file, and create the run.

    Args:
        cluster: Where to.
        manifest: The run.
        documents: The file it comes from.
        options: ``namespace`` and ``replace`` count.
        say: Is told of each object, in a sentence.

    Returns:
        The run as the API server has it.

    Raises:
        CommandError: There is such a run already, or an object of the file cannot be applied.
        ClusterError: The API server refuses, or does not answer.
    """
    for document in documents.others:
        namespace = _namespace_of(document, cluster, options)
        path = _object_path(cluster, document, namespace)
        if "/namespaces/" in path:
            document["metadata"]["namespace"] = namespace
        applied = cluster.apply(path, with_last_applied(document, document))
        say(f"applied {applied['kind']} {applied['metadata']['name']}")
    namespace = _namespace_of(manifest, cluster, options)
    manifest["metadata"]["namespace"] = namespace
    if "name" in manifest["metadata"]:  # else kubectl apply cannot mean it
        written = prepare(documents.only_run(), name=manifest["metadata"]["name"], keep=None)
        written["metadata"]["namespace"] = namespace
        manifest = with_last_applied(manifest, written)
    try:
        created = cluster.create(runs_path(namespace), manifest, fieldValidation="Strict")
    except RefusedError as error:
        if error.status != 409:
            raise
        _make_room(cluster, namespace, manifest["metadata"]["name"], options, say)
        created = cluster.create(runs_path(namespace), manifest, fieldValidation="Strict")
    say(f"created {names.KIND} {created['metadata']['name']} in namespace {namespace}")
    return created


def _namespace_of(document: Json, cluster: Cluster, options: argparse.Namespace) -> str:
    metadata = document.setdefault("metadata", {})
    written = metadata.get("namespace")
    if written and options.namespace and written != options.namespace:
        raise CommandError(
            f"{document['kind']} {metadata.get('name', '')} says namespace {written}, and -n says"
            f" {options.namespace}: leave one out",
            Exit.USAGE,
        )
    return str(written or cluster.namespace)


def _object_path(cluster: Cluster, document: Json, namespace: str) -> str:
    """Find the path of an object by what the API server says of its kind."""
    version, kind = str(document.get("apiVersion", "")), document["kind"]
    name = document["metadata"].get("name")
    if not name:
        raise CommandError(f"a {kind} of the file has no metadata.name: write one", Exit.REFUSED)
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    try:
        resources = cluster.get(root)["resources"]
    except NotFoundError:
        resources = []
    for each in resources:
        if each["kind"] == kind and "/" not in each["name"]:
            inside = f"/namespaces/{namespace}" if each["namespaced"] else ""
            return f"{root}{inside}/{each['name']}/{name}"
    raise CommandError(
        f"the cluster has no {kind} of apiVersion {version}: correct it, or install its definition",
        Exit.REFUSED,
    )


def _make_room(
    cluster: Cluster,
    namespace: str,
    name: str,
    options: argparse.Namespace,
    say: Callable[[str], None],
) -> None:
    """Delete the run of the same name if that was asked for, and wait until it has gone."""
    try:
        there = cluster.get(runs_path(namespace, name))
    except NotFoundError:
        return
    if not options.replace:
        verdict = (there.get("status") or {}).get("verdict")
        state = f"has finished ({verdict})" if verdict else "is still going on"
        raise CommandError(
            f"run {name} in namespace {namespace} is there already and {state}: a run is never run"
            " again; give --replace to delete it first, or --name for another name",
            Exit.REFUSED,
        )
    say(f"deleting the earlier run {name}")
    cluster.delete(runs_path(namespace, name), there["metadata"]["uid"])
    give_up = time.monotonic() + DELETION_TIMEOUT_S
    while time.monotonic() < give_up:
        try:
            if (
                cluster.get(runs_path(namespace, name))["metadata"]["uid"]
                != there["metadata"]["uid"]
            ):
                return
        except NotFoundError:
            return
        time.sleep(0.2)
    raise CommandError(
        f"run {name} is still being deleted after {DELETION_TIMEOUT_S:.0f} s: see what holds it"
        f" with seatrial show {name} -n {namespace}, or give --name",
        Exit.TIMED_OUT,
    )
