"""Faults that another tool carries out: which of its objects a run may have. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seatrial.api.confinement import RESERVED_PREFIX
from seatrial.api.errors import SpecError
from seatrial.api.paths import below

GROUPS = ("chaos-mesh.org", "litmuschaos.io")
# By these an object could reach beyond the run: nodes, machines, other clusters; and so by whatever
# names a namespace, such as that of HTTPChaos' certificate, which the tool reads from anywhere.
_ELSEWHERE = ("appns", "nodes", "nodeSelectors", "address", "remoteCluster")
# Handed to stress-ng as it is, which runs as root in the daemon's own file system on the node.
# Source: Chaos Mesh, pkg/chaosdaemon/stress_server_linux.go.
_COMMAND_LINE = ("stressngStressors", "options")
# Below these, keys and values are those of the system under test, and mean nothing to the tool.
_FREE = (
    "labelSelectors", "annotationSelectors", "request_headers", "response_headers", "headers",
    "queries",
)  # fmt: skip
_METADATA = ("name", "labels", "annotations")
_HEAD = ("apiVersion", "kind", "metadata", "spec")
_MAX_DEPTH = 32


def resource_problems(
    manifest: Mapping[str, Any], allowed: frozenset[str] | None, field: str
) -> Iterator[SpecError]:
    """
    Find what keeps an object out of a run.

    Args:
        manifest: As the user wrote it, of any shape.
        allowed: ``GROUP/VERSION/KIND`` that the cluster's values allow; None if that is not known.
        field: Of the manifest, to name in messages.
    """
    version, kind = str(manifest.get("apiVersion"))[:80], str(manifest.get("kind"))[:80]
    if version.partition("/")[0] not in GROUPS or "/" not in version:
        problem = f"apiVersion {version!r} is none of Chaos Mesh or Litmus."
        yield SpecError(field, problem, f"Use one of: {', '.join(f'{g}/...' for g in GROUPS)}.")
        return
    if allowed is not None and f"{version}/{kind}" not in allowed:
        problem = f"{version} {kind} is not allowed on this cluster."
        there = f"Allowed is: {', '.join(sorted(allowed))}" if allowed else "None is"
        yield SpecError(field, problem, f"{there}; the Helm value faults.delegated decides.")
    for key in manifest.keys() - set(_HEAD):
        yield SpecError(below(field, key), "may not be there.", f"There are: {', '.join(_HEAD)}.")
    metadata = manifest.get("metadata", {})
    if not isinstance(metadata, dict):
        yield SpecError(f"{field}.metadata", "is no map.", "Leave it out.")
    else:
        for key in metadata.keys() - set(_METADATA):
            remedy = "Leave it out: the run has a namespace of its own."
            yield SpecError(below(f"{field}.metadata", key), "may not be set in a run.", remedy)
    if not isinstance(manifest.get("spec"), dict):
        yield SpecError(f"{field}.spec", "is missing.", "Say what the fault does.")
        return
    yield from _reaching(manifest["spec"], f"{field}.spec", 0)


def _reaching(value: Any, field: str, depth: int) -> Iterator[SpecError]:
    if depth > _MAX_DEPTH:
        yield SpecError(field[:200], f"is more than {_MAX_DEPTH} levels deep.", "Simplify it.")
    elif isinstance(value, dict):
        for key, each in value.items():
            if _is_elsewhere(key, each):
                remedy = "Leave it out: without it, the run's own namespace is meant."
                yield SpecError(below(field, key), "could reach beyond the run.", remedy)
            elif key in _COMMAND_LINE:
                remedy = "Leave it out; say workers, load and size."
                yield SpecError(below(field, key), "could reach the node.", remedy)
            elif key not in _FREE:
                yield from _reaching(each, below(field, key), depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _reaching(each, below(field, index), depth + 1)
    elif isinstance(value, str) and value.startswith(RESERVED_PREFIX):
        # A pod that the tool makes could have the conductor's token, or its account.
        problem = f"is {value[:80]}, an object of Seatrial's own."
        yield SpecError(field, problem, "Name one of yours.")


def _is_elsewhere(key: str, value: Any) -> bool:
    named = "namespace" in key.lower() or key in _ELSEWHERE
    return named or (key == "pods" and isinstance(value, dict))
