"""A run as the API server, or a file, has it: metadata, spec and status, checked and typed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from seatrial.api import names
from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.explain import explain
from seatrial.api.nesting import excess
from seatrial.api.nulls import nulls
from seatrial.api.rules import broken_rules
from seatrial.api.spec import MUTABLE, RunSpec
from seatrial.api.status import RunStatus
from seatrial.api.unread_steps import excess_of_steps

_NOT_YET = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Metadata:
    """What is used of ``metadata``; of a file that was never applied, the rest is empty."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleted: datetime | None
    finalizers: tuple[str, ...]
    labels: Mapping[str, str]

    @property
    def key(self) -> str:
        """``namespace/name``, for logs."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Run:
    """One IntegrationTestRun."""

    metadata: Metadata
    spec: RunSpec
    status: RunStatus

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """``metadata.namespace``: where the user keeps the run, not its environment."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """``metadata.uid``."""
        return self.metadata.uid


def parse_metadata(manifest: Mapping[str, Any]) -> Metadata:
    """Read ``metadata``; never fails on what the API server returns, however bad the spec is."""
    metadata = manifest.get("metadata") or {}
    deleted = metadata.get("deletionTimestamp")
    return Metadata(
        name=metadata.get("name") or "",
        namespace=metadata.get("namespace") or "",
        uid=metadata.get("uid") or "",
        generation=metadata.get("generation") or 0,
        resource_version=metadata.get("resourceVersion") or "",
        created=_moment(metadata.get("creationTimestamp")) or _NOT_YET,
        deleted=_moment(deleted),
        finalizers=tuple(metadata.get("finalizers") or ()),
        labels=metadata.get("labels") or {},
    )


def parse_status(manifest: Mapping[str, Any]) -> RunStatus:
    """
    Read ``status``; that of a file is that of a run which nobody has looked at.

    Raises:
        pydantic.ValidationError: Someone other than Seatrial has written it.
    """
    return RunStatus.model_validate(manifest.get("status") or {})


def parse_run(manifest: Mapping[str, Any]) -> Run:
    """
    Read a run and check it as the API server does.

    Args:
        manifest: The object as JSON, from the API server or from a file.

    Raises:
        InvalidSpecError: Something must be changed; ``problems`` has every one that was found,
            each with its field and the remedy.
    """
    return Run(parse_metadata(manifest), parse_spec(manifest), parse_status(manifest))


def parse_spec(manifest: Mapping[str, Any]) -> RunSpec:
    """
    Read ``spec`` and check it, as ``parse_run`` does.

    Raises:
        InvalidSpecError: As ``parse_run``.
    """
    spec = manifest.get("spec")
    _raise_any(_identity(manifest))
    # Before all else that looks inside, level by level and step by step.
    _raise_any(excess_of_steps(spec))
    _raise_any(excess(spec))
    _raise_any(nulls(spec, "spec"))
    try:
        parsed = RunSpec.model_validate(spec)
    except ValidationError as error:
        raise InvalidSpecError(explain(error, "spec")) from None
    _raise_any(broken_rules(parsed, "spec"))
    return parsed


def steered(began: RunSpec, manifest: Mapping[str, Any]) -> RunSpec:
    """
    Take over what may change of a run that has started; the rest is as it began.

    The API server sees to that where it can, but the CRD's rules do not see all of a spec, and the
    chart's policy need not be there. What has changed in spite of them is not even read.
    """
    given = manifest.get("spec") or {}
    changed = {}
    for name, info in RunSpec.model_fields.items():
        if info.alias in MUTABLE:
            asked = {info.alias: given[info.alias]} if info.alias in given else {}
            # What cannot be read was written by a CRD that is not this operator's.
            with suppress(ValidationError):
                changed[name] = getattr(RunSpec.model_validate(_ANY | asked), name)
    return began.model_copy(update=changed)


def steering(manifest: Mapping[str, Any]) -> RunSpec:
    """Read of a spec that cannot be read what may change of a run that has started; no more."""
    return steered(RunSpec.model_validate(_ANY), manifest)


_ANY = {"tests": [{"name": "any", "container": {"image": "any"}}]}


def _raise_any(problems: Iterable[SpecError]) -> None:
    found = list(problems)
    if found:
        raise InvalidSpecError(found)


def _identity(manifest: Mapping[str, Any]) -> Iterator[SpecError]:
    for field, expected in (("apiVersion", names.API_VERSION), ("kind", names.KIND)):
        # The API server's lists leave both out.
        if (given := manifest.get(field, expected)) != expected:
            yield SpecError(field, f"is {str(given)[:80]!r}.", f"Write {expected}.")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
