"""
The rules that go beyond types and bounds, checked in Python as the API server checks them in CEL.

Where CEL can only say that a reference is broken, this says which, and what was probably meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.families import FROM_TESTS
from seatrial.api.fields import Model
from seatrial.api.spec import RunSpec

_SHOWN = 32  # of what there is: all fields of whatever has fields, and all services
_MOST_COMPARED = 100_000  # characters by characters


def broken_rules(spec: RunSpec, field: str) -> Iterator[SpecError]:
    """Find the rules that the spec breaks; ``field`` is where it stands, such as ``spec``."""
    yield from _in_model(spec, field)
    yield from _dangling(spec, field)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Suggest the word that was probably meant, or say which there are; as a remedy."""
    # NB: the time it takes grows with both; a ConfigMap may have thousands of keys, each of 253
    # characters, and a run may name as many that it has not.
    few = len(word) * sum(map(len, known)) <= _MOST_COMPARED
    if few and (close := difflib.get_close_matches(word, known, n=1, cutoff=0.6)):
        return f"Did you mean {close[0]}?"
    if known:
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        shown = ", ".join(sorted(known)[:_SHOWN])
        return f"There {'is' if len(known) == 1 else 'are'}: {shown}{more}."
    return ""


def _in_model(model: Model, field: str) -> Iterator[SpecError]:
    for rule in type(model).__rules__:
        if rule.check and not rule.check(model):
            yield SpecError(f"{field}.{rule.field}" if rule.field else field, rule.message)
    for name, info in type(model).model_fields.items():
        path = f"{field}.{info.alias or name}"
        value = getattr(model, name)
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        if isinstance(value, list):
            yield from _duplicates(value, path, extra.get("x-kubernetes-list-type"))
        yield from _inside(value, path)


def _inside(value: Any, field: str) -> Iterator[SpecError]:
    if isinstance(value, Model):
        yield from _in_model(value, field)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _inside(each, f"{field}[{index}]")


def _duplicates(entries: Sequence[Any], field: str, list_type: object) -> Iterator[SpecError]:
    if list_type not in ("map", "set"):
        return
    seen = set()
    for index, entry in enumerate(entries):
        name = entry.name if list_type == "map" else entry
        if name in seen:
            yield SpecError(f"{field}[{index}]", f"{name!r} is there twice.", "Names are unique.")
        seen.add(name)


def _dangling(spec: RunSpec, field: str) -> Iterator[SpecError]:
    """Find references to services and tests that the run does not have."""
    services = [service.name for service in spec.services]
    tests = [test.name for test in spec.tests]
    for i, service in enumerate(spec.services):
        for j, name in enumerate(service.depends_on or ()):
            path = f"{field}.services[{i}].dependsOn[{j}]"
            yield from _unknown(name, services, path, "service")
    for i, fault in enumerate(spec.faults):
        path = f"{field}.faults[{i}]"
        if fault.target is not None:
            field_ = f"{path}.target"
            yield from _unknown(fault.target.service, services, f"{field_}.service", "service")
            for j, name in enumerate(fault.target.from_ or ()):
                sources = [*services, FROM_TESTS]
                yield from _unknown(name, sources, f"{field_}.from[{j}]", "service")
        if fault.when.test is not None:
            yield from _unknown(fault.when.test, tests, f"{path}.when.test", "test")
        if fault.when.fault is not None:
            others = [other.name for other in spec.faults if other.name != fault.name]
            yield from _unknown(fault.when.fault, others, f"{path}.when.fault", "other fault")


def _unknown(name: str, known: Iterable[str], field: str, kind: str) -> Iterator[SpecError]:
    known = list(known)
    if name not in known:
        yield SpecError(
            field, f"no {kind} of this run is named {name!r}.", did_you_mean(name, known)
        )
