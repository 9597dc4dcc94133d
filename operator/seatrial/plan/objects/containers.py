"""What all our containers have in common: security contexts, environments, files, probes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from seatrial.api import names
from seatrial.api.spec import ObjectReference, PodSecurity, Probe, Resources
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.naming import MAX_FILES_BYTES, copy_name, file_keys, files_name
from seatrial.plan.objects.manifest import Json, Manifest, metadata

# User and group of the runner image (runner-image/Dockerfile).
RUNNER_USER = 65532
_REFERENCE = re.compile(r"\$\(([^)]+)\)")


def pod_security_context(run: Blueprint) -> Json:
    """
    Give what the run's Pod Security level asks of every pod.

    Where it is privileged, that is for agents of faults alone: pods stay as restricted.
    """
    context: Json = {"seccompProfile": {"type": "RuntimeDefault"}}
    if run.spec.pod_security is not PodSecurity.BASELINE:
        context["runAsNonRoot"] = True
    return context


def container_security_context(run: Blueprint, run_as_user: int | None = None) -> Json:
    """Give what the run's Pod Security level asks of every container."""
    context: Json = {}
    if run.spec.pod_security is not PodSecurity.BASELINE:
        context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    if run_as_user is not None:
        context["runAsUser"] = run_as_user
    return context


def runner_security_context() -> Json:
    """Give the context of our own containers: always restricted, and nothing to write to."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": RUNNER_USER,
        "runAsGroup": RUNNER_USER,
    }


def environment(values: Mapping[str, str]) -> list[Json]:
    """
    List environment variables so that ``$(OTHER)`` is expanded.

    The kubelet expands only what was defined before, and a map that went through the API server
    has lost the order it was written in.
    """
    ordered: dict[str, str] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in ordered or name in path:
            return
        for other in _REFERENCE.findall(values[name]):
            if other in values:
                add(other, (*path, name))
        ordered[name] = values[name]

    for name in sorted(values):
        add(name, ())
    return [{"name": name, "value": value} for name, value in ordered.items()]


def environment_from(references: Iterable[ObjectReference] | None) -> list[Json]:
    """Refer to the copies of the user's ConfigMaps and Secrets."""
    sources: list[Json] = []
    for reference in references or ():
        if reference.config_map:
            sources.append({"configMapRef": {"name": copy_name(reference.config_map)}})
        elif reference.secret:
            sources.append({"secretRef": {"name": copy_name(reference.secret)}})
    return sources


def scenario_variables(references: Iterable[ObjectReference]) -> list[Json]:
    """Give what scenarios see as ``env``, under names that mean nothing to the process itself."""
    return [
        {
            "prefix": names.ENV_SECRET_PREFIX if each.secret else names.ENV_VARIABLE_PREFIX,
            **environment_from([each])[0],
        }
        for each in references
    ]


def resources(given: Resources | None) -> Json:
    """Write resources as in a Pod; what is not given comes from the LimitRange."""
    return given.model_dump(mode="json", by_alias=True, exclude_none=True) if given else {}


def probe(given: Probe) -> Json:
    """Write a probe as in a Pod; the models use Kubernetes' own names."""
    return given.model_dump(mode="json", by_alias=True, exclude_none=True)


class Files:
    """Files of a container: the ConfigMaps that hold them, and how they are mounted."""

    def __init__(self, run: Blueprint, owner: str, contents: Mapping[str, str] | None) -> None:
        """``owner`` is ``service.NAME`` or ``test.NAME``; contents go by absolute path."""
        self._run = run
        self._owner = owner
        self._parts = list(_pack(sorted((contents or {}).items())))
        self._keys = file_keys(contents or {})

    def manifests(self, component: str) -> Iterator[Manifest]:
        """Make the ConfigMaps."""
        for number, part in enumerate(self._parts):
            yield Manifest(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": metadata(self._run, self._name(number), component),
                    "data": {self._keys[path]: content for path, content in part},
                }
            )

    def volumes(self) -> list[Json]:
        """List the pod's volumes."""
        return [
            {"name": f"files-{number}", "configMap": {"name": self._name(number)}}
            for number, _ in enumerate(self._parts)
        ]

    def mounts(self) -> list[Json]:
        """List the container's mounts: each file by itself, so that its folder keeps the rest."""
        return [
            {
                "name": f"files-{number}",
                "mountPath": path,
                "subPath": self._keys[path],
                "readOnly": True,
            }
            for number, part in enumerate(self._parts)
            for path, _ in part
        ]

    def _name(self, number: int) -> str:
        return files_name(self._owner, number)


def _pack(files: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    part: list[tuple[str, str]] = []
    size = 0
    for path, content in files:
        length = len(content.encode())
        if part and size + length > MAX_FILES_BYTES:
            yield part
            part, size = [], 0
        part.append((path, content))
        size += length
    if part:
        yield part
