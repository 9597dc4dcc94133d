"""Copies of the ConfigMaps and Secrets that a run refers to."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.api import names
from seatrial.api.spec import ObjectReference, RunSpec
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.naming import copy_name
from seatrial.plan.objects.manifest import Json, Manifest, metadata

_COPIED_FIELDS = ("data", "binaryData", "type")


def copies(run: Blueprint, pull_secrets: tuple[str, ...]) -> Iterator[Manifest]:
    """Make a copy of each object that pods of the run refer to."""
    wanted = {*_copied(run.spec), *(("Secret", name) for name in pull_secrets)}
    for kind, name in sorted(wanted):
        source = run.found[kind, name]
        assert source is not None  # one that is missing has ended the run before
        body: Json = {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": metadata(run, copy_name(name), names.COMPONENT_ENVIRONMENT),
        }
        body.update({field: source[field] for field in _COPIED_FIELDS if source.get(field)})
        yield Manifest(body)


def pull_secrets(run: Blueprint, configured: tuple[str, ...]) -> tuple[str, ...]:
    """Pick those of the configured pull secrets that the run's namespace offers."""
    return tuple(
        name
        for name in configured
        if (source := run.found.get(("Secret", name)))
        and source["metadata"].get("labels", {}).get(names.LABEL_READABLE)
        == names.LABEL_READABLE_VALUE
    )


def _copied(spec: RunSpec) -> Iterator[tuple[str, str]]:
    yield from _environment(spec.env_from)
    for service in spec.services:
        yield from _environment(service.env_from or [])
    for test in spec.tests:
        if test.pytest:
            yield "ConfigMap", test.pytest.config_map
            yield from _environment(test.pytest.env_from)
        if test.container:
            yield from _environment(test.container.env_from)


def _environment(sources: list[ObjectReference]) -> Iterator[tuple[str, str]]:
    for source in sources:
        if source.config_map:
            yield "ConfigMap", source.config_map
        elif source.secret:
            yield "Secret", source.secret
