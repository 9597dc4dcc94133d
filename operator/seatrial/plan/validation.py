"""What the schema cannot say: whether a run can work, before anything is created for it. Pure."""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from typing import Any

from seatrial.api import names
from seatrial.api.amounts import parse_quantity
from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.paths import below
from seatrial.api.spec import ObjectReference, PodSecurity, RunSpec, Service
from seatrial.plan.faults import fault_problems
from seatrial.plan.fixtures import fixture_problems
from seatrial.plan.manifests import contents, problems, read_manifests
from seatrial.plan.nesting import all_steps
from seatrial.plan.parts import Part, workload_kind
from seatrial.plan.presets import PresetImages, preset_problems, with_presets
from seatrial.plan.restricted import contradictions, restricted_problems
from seatrial.plan.selection import selection_problems
from seatrial.plan.settings import FaultCeiling
from seatrial.plan.snapshots import snapshot_problems
from seatrial.plan.step_checks.web import Hosts
from seatrial.plan.steps import scenario_problems

# (kind, name) -> the object of the run's own namespace, or None if it is not there. What was not
# looked for is left out: the CLI knows of what is in a file, and not of what is in the cluster.
Found = Mapping[tuple[str, str], Mapping[str, Any] | None]

# An object in etcd may hold 1.5 MiB; leave room for names and managed fields.
MAX_RUN_BYTES = 900 * 1024
# Of YAML in all: several services may read one ConfigMap, and what is read takes 20 times as much.
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_MANIFEST_KEYS = (".yaml", ".yml", ".json")
_SUITE_KEYS = ("test_*.py", "*_test.py", "*.yaml", "*.yml")
_PYTEST_SETTINGS = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


@dataclass(frozen=True)
class Limits:
    """What this cluster's operator allows, from its Helm values."""

    pod_security: frozenset[PodSecurity] = frozenset({PodSecurity.RESTRICTED})
    faults: FaultCeiling = dataclasses.field(default_factory=FaultCeiling)


def references(spec: RunSpec) -> set[tuple[str, str]]:
    """Name the ConfigMaps and Secrets that the run refers to, as (kind, name)."""
    return {reference for reference, _ in _references(spec)}


def validate(spec: RunSpec, found: Found | None, limits: Limits) -> list[SpecError]:
    """
    Find everything that keeps the run from working.

    Args:
        spec: The spec, already checked by ``parse_run``.
        found: The objects named by ``references``; None without a cluster, which skips them.
        limits: What the operator allows.

    Returns:
        Every problem with its field and remedy, the most telling first; empty if it can work.
    """
    spec = with_presets(spec, PresetImages())
    missing = [] if found is None else list(_missing(spec, found))
    documents, unreadable = _documents(spec, found)
    parts = {each.name: _part(each, documents) for each in spec.services}
    hosts = _hosts(spec, documents)
    return [
        *_allowed(spec, limits),
        *missing,
        *unreadable,
        *(each for field, objects in documents.values() for each in problems(objects, field)),
        *_held_to_restricted(spec, documents),
        *_collisions(spec, documents),
        *_cycle(spec),
        *preset_problems(spec),
        *scenario_problems(spec, hosts),
        *snapshot_problems(spec, found),
        *fixture_problems(spec, found),
        *selection_problems(spec),
        *fault_problems(spec, parts, found, limits.faults),
        *_files(spec),
        *_size(spec),
    ]


def one_message(found: Sequence[SpecError]) -> str:
    """Put the first problem into one sentence, and count the others."""
    return str(InvalidSpecError(found))


# Objects of the run's own namespace --------------------------------------------------------------


def _references(spec: RunSpec) -> Iterator[tuple[tuple[str, str], str]]:
    yield from _environment(spec.env_from, "spec.envFrom")
    for i, service in enumerate(spec.services):
        field = f"spec.services[{i}]"
        if service.manifests and service.manifests.config_map:
            yield ("ConfigMap", service.manifests.config_map), f"{field}.manifests.configMap"
        yield from _environment(service.env_from or [], f"{field}.envFrom")
    for i, test in enumerate(spec.tests):
        field = f"spec.tests[{i}]"
        if test.pytest:
            yield ("ConfigMap", test.pytest.config_map), f"{field}.pytest.configMap"
            yield from _environment(test.pytest.env_from, f"{field}.pytest.envFrom")
        if test.container:
            yield from _environment(test.container.env_from, f"{field}.container.envFrom")
    if spec.snapshots and spec.snapshots.config_map:
        yield ("ConfigMap", spec.snapshots.config_map), "spec.snapshots.configMap"
    if spec.fixtures and spec.fixtures.config_map:
        yield ("ConfigMap", spec.fixtures.config_map), "spec.fixtures.configMap"


def _environment(
    sources: list[ObjectReference], field: str
) -> Iterator[tuple[tuple[str, str], str]]:
    for i, source in enumerate(sources):
        if source.config_map:
            yield ("ConfigMap", source.config_map), f"{field}[{i}].configMap"
        if source.secret:
            yield ("Secret", source.secret), f"{field}[{i}].secret"


def _missing(spec: RunSpec, found: Found) -> Iterator[SpecError]:
    label = f"{names.LABEL_READABLE}={names.LABEL_READABLE_VALUE}"
    for (kind, name), field in _references(spec):
        if (kind, name) not in found:
            continue
        there = found[kind, name]
        if there is None:
            problem = f"there is no {kind} {name} beside the run."
            yield SpecError(field, problem, "Create it in the same namespace, before the run.")
            continue
        labels = there.get("metadata", {}).get("labels") or {}
        if labels.get(names.LABEL_READABLE) != names.LABEL_READABLE_VALUE:
            problem = f"{kind} {name} may not be read by runs."
            yield SpecError(
                field, problem, f"Allow it: kubectl label {kind.lower()} {name} {label}"
            )
            continue
        keys = [*(there.get("data") or {}), *(there.get("binaryData") or {})]
        if field.endswith("manifests.configMap") and not _matching(keys, _MANIFEST_KEYS, "*"):
            problem = f"ConfigMap {name} has no key that ends in .yaml, .yml or .json."
            yield SpecError(field, problem, "Put the manifests into such keys.")
        # With settings of its own a suite decides what a test file is called.
        if field.endswith("pytest.configMap") and not _matching(
            keys, (*_SUITE_KEYS, *_PYTEST_SETTINGS)
        ):
            problem = f"ConfigMap {name} holds no test file."
            yield SpecError(field, problem, "Name test files test_*.py.")


def _matching(keys: list[str], patterns: Sequence[str], prefix: str = "") -> bool:
    return any(fnmatchcase(key, prefix + pattern) for key in keys for pattern in patterns)


# The system under test ---------------------------------------------------------------------------

# By service: its field, and its objects.
_Documents = dict[str, tuple[str, list[dict[str, Any]]]]


def manifest_texts(service: Service, found: Found | None) -> dict[str, str] | None:
    """Give the YAML of a service by where it comes from; None if that is not known."""
    if service.manifests is None:
        return None
    if service.manifests.inline is not None:
        return {"inline": service.manifests.inline}
    source = (found or {}).get(("ConfigMap", service.manifests.config_map or ""))
    data = (source or {}).get("data") or {}
    keys = [key for key in sorted(data) if key.endswith(_MANIFEST_KEYS)]
    return {key: data[key] for key in keys} or None


def _documents(spec: RunSpec, found: Found | None) -> tuple[_Documents, list[SpecError]]:
    documents: _Documents = {}
    unreadable: list[SpecError] = []
    size = 0
    for i, service in enumerate(spec.services):
        field = f"spec.services[{i}].manifests"
        if texts := manifest_texts(service, found):
            size += sum(map(len, texts.values()))
            if size > MAX_MANIFEST_BYTES:
                most = f"{MAX_MANIFEST_BYTES // 2**20} MiB of YAML"
                problem = f"brings the run to more than {most} in all."
                unreadable.append(SpecError(field, problem, "Make several runs of it."))
                break
            try:
                documents[service.name] = (field, read_manifests(texts, field))
            except InvalidSpecError as error:
                unreadable += error.problems
    return documents, unreadable


def _hosts(spec: RunSpec, documents: _Documents) -> Hosts | None:
    hosts: dict[str, frozenset[int] | None] = {}
    if any(step.webhook for step in all_steps(spec)):
        hosts[names.WEBHOOKS] = frozenset({80})
    for service in spec.services:
        if service.manifests is None:
            hosts[service.name] = frozenset(
                port.port for port in service.ports or () if port.protocol == "TCP"
            )
        elif service.name in documents:
            for host in contents(documents[service.name][1]).hosts:
                hosts[host] = None
            hosts.setdefault(service.name, frozenset())
        else:
            return None
    return hosts


def _held_to_restricted(spec: RunSpec, documents: _Documents) -> Iterator[SpecError]:
    for field, objects in documents.values():
        match spec.pod_security:
            case PodSecurity.PRIVILEGED:
                yield from restricted_problems(objects, field)
            case PodSecurity.RESTRICTED:
                yield from contradictions(objects, field)


def _part(service: Service, documents: _Documents) -> Part:
    if service.manifests is None:
        return Part(service)
    if service.name not in documents:
        return Part(service, known=False)
    return Part(service, documents[service.name][1])


def _collisions(spec: RunSpec, documents: _Documents) -> Iterator[SpecError]:
    """Find objects of two services that would be one."""
    owners: dict[tuple[str, str], str] = {}
    for service in spec.services:
        if service.manifests is None:
            kinds = (workload_kind(service), "Service")
            owners |= {(kind, service.name): service.name for kind in kinds}
    for name, (field, objects) in documents.items():
        for document in objects:
            kind = str(document.get("kind"))
            metadata = document.get("metadata")
            object_name = str(metadata.get("name")) if isinstance(metadata, dict) else ""
            owner = owners.setdefault((kind, object_name), name)
            if owner != name:
                problem = f"service {owner} has a {kind} of that name too."
                yield SpecError(f"{field}[{kind}/{object_name}]", problem, "Rename one of them.")


def _cycle(spec: RunSpec) -> Iterator[SpecError]:
    """Find a circle of services that wait for one another."""
    depends = {service.name: service.depends_on or [] for service in spec.services}
    try:
        TopologicalSorter(depends).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))  # graphlib goes from the one waited for
        field = f"spec.services[{list(depends).index(circle[0])}].dependsOn"
        problem = f"services wait for one another: {' -> '.join(circle)}."
        yield SpecError(field, problem, "Take one of them out.")


# Limits ------------------------------------------------------------------------------------------


def _allowed(spec: RunSpec, limits: Limits) -> Iterator[SpecError]:
    if spec.pod_security not in limits.pod_security:
        allowed = ", ".join(sorted(limits.pod_security))
        problem = f"{spec.pod_security} is not allowed on this cluster."
        remedy = f"Allowed is: {allowed}; the Helm value runs.podSecurityLevels decides."
        yield SpecError("spec.podSecurity", problem, remedy)


def _files(spec: RunSpec) -> Iterator[SpecError]:
    for i, service in enumerate(spec.services):
        yield from _paths(service.files or {}, f"spec.services[{i}].files")
        yield from _volumes(service, f"spec.services[{i}].volumes")
    for i, test in enumerate(spec.tests):
        if test.container is None:
            continue
        field = f"spec.tests[{i}].container"
        yield from _paths(test.container.files or {}, f"{field}.files")
        if test.container.junit is not None:
            folder = posixpath.dirname(test.container.junit)
            if folder == "/" or any(mark in folder for mark in "*?["):
                problem = "needs a folder of its own, without wildcards."
                yield SpecError(f"{field}.junit", problem, "Write it like /results/*.xml.")


def _paths(files: Mapping[str, str], field: str) -> Iterator[SpecError]:
    plain = {path: posixpath.normpath(path.replace("//", "/")) for path in files}
    for path, normal in plain.items():
        if path != normal:
            yield SpecError(below(field, path), "is not a plain path.", f"Write {normal[:80]}.")
        if any(other.startswith(f"{normal}/") for other in plain.values()):
            problem = "is a file, and a folder of another file."
            yield SpecError(below(field, path), problem, "Rename one of them.")


def _volumes(service: Service, field: str) -> Iterator[SpecError]:
    seen: dict[str, int] = {}
    for index, volume in enumerate(service.volumes or ()):
        path = f"{field}[{index}].path"
        if volume.path != (normal := posixpath.normpath(volume.path.replace("//", "/"))):
            yield SpecError(path, "is not a plain path.", f"Write {normal[:80]}.")
        if normal in seen:
            problem = f"is the same as that of volumes[{seen[normal]}]."
            yield SpecError(path, problem, "Give each a directory of its own.")
        if normal in (service.files or {}):
            yield SpecError(path, "is a file of the service too.", "Rename one of them.")
        seen.setdefault(normal, index)
        if parse_quantity(volume.size) < 1:
            yield SpecError(f"{field}[{index}].size", "is nothing.", "Raise it.")


def _size(spec: RunSpec) -> Iterator[SpecError]:
    for field in ("tests", "scenarios", "faults"):
        value = spec.model_dump(mode="json", by_alias=True, exclude_none=True, include={field})
        size = len(json.dumps(value, ensure_ascii=False).encode())
        if size > MAX_RUN_BYTES:
            problem = f"has {size // 1024} KiB, more than {MAX_RUN_BYTES // 1024} KiB."
            yield SpecError(f"spec.{field}", problem, "Make several runs of it.")
