"""What a ``configuration`` fault may change: ConfigMaps and Secrets that this run makes. Pure."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from seatrial.api.errors import SpecError
from seatrial.api.fault_kinds import Configuration
from seatrial.api.rules import did_you_mean
from seatrial.api.spec import ObjectReference
from seatrial.plan.configuration_readers import Reading, readings
from seatrial.plan.naming import MAX_FILES_BYTES, copy_name, file_keys, files_name
from seatrial.plan.parts import Part

Key = tuple[str, str]  # kind and the name by which the user knows it


@dataclass(frozen=True)
class Source:
    """A ConfigMap or Secret in the run's namespace."""

    name: str  # there
    keys: Collection[str] | None  # None: not known
    read: Literal["anytime", "atStart"]  # when pods see a change of it
    immutable: bool = False
    stays: bool = False  # pods see changes of it, but not that it is gone as a whole
    readers: frozenset[str] = frozenset()  # services whose pods read it, as far as is known
    # By key, as far as they are known.
    texts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def sources(
    parts: Sequence[Part], found: Mapping[Key, Mapping[str, Any] | None] | None
) -> dict[Key, Source]:
    """
    List what there is, by the name that the user knows.

    1. ConfigMaps and Secrets of manifests, by their own names;
    2. copies of what ``envFrom`` names, by the name of what is copied;
    3. the files of a service of the short form, by the service's name.
    """
    result: dict[Key, Source] = {}
    read: dict[Key, list[Reading]] = {}
    for reading in readings(parts):
        read.setdefault(reading.key, []).append(reading)
    for part in parts:
        for document in part.workloads("ConfigMap", "Secret"):
            key = (str(document["kind"]), _name(document))
            if key not in result:
                result[key] = _own(document, read.get(key, ()))
    for part in parts:
        for reference in part.service.env_from or ():
            key = _key(reference)
            present = _keys((found or {}).get(key))
            source = Source(copy_name(key[1]), present, "atStart", readers=_with(reference, parts))
            result.setdefault(key, source)
    for part in parts:
        files = part.service.files or {}
        if files and sum(len(each.encode()) for each in files.values()) <= MAX_FILES_BYTES:
            keys = file_keys(files)
            texts = {keys[path]: text for path, text in files.items()}
            name, own = files_name(f"service.{part.name}", 0), frozenset({part.name})
            source = Source(name, set(keys.values()), "atStart", readers=own, texts=texts)
            result.setdefault(("ConfigMap", part.name), source)
    return result


def is_complete(parts: Iterable[Part]) -> bool:
    """Whether all manifests are known, so that what is not listed is not there."""
    return all(part.known for part in parts)


def named(change: Configuration) -> Key:
    """Say which object a fault changes."""
    if change.config_map is not None:
        return ("ConfigMap", change.config_map)
    assert change.secret is not None
    return ("Secret", change.secret)


def configuration_problems(
    change: Configuration,
    there: Mapping[Key, Source],
    field: str,
    *,
    target: str,
    complete: bool,
) -> Iterator[SpecError]:
    """
    Find what keeps the object from being changed as asked, or its readers from seeing that.

    Args:
        change: Of a fault.
        there: What can be changed.
        field: Of the change, such as ``spec.faults[0].configuration``.
        target: The fault's service.
        complete: Whether nothing but that is there.
    """
    kind, name = named(change)
    path = f"{field}.{'configMap' if kind == 'ConfigMap' else 'secret'}"
    source = there.get((kind, name))
    if source is None:
        if complete:
            known = sorted(each for of, each in there if of == kind)
            problem = f"this run makes no {kind} {name}."
            remedy = did_you_mean(name, known) or "Name one of manifests, envFrom or files."
            yield SpecError(path, problem, remedy)
        return
    if source.immutable and not (change.remove and not change.remove.keys):
        problem = f"{kind} {name} is immutable."
        remedy = "Remove it as a whole, remove: {} with restart: true, or make it mutable."
        yield SpecError(path, problem, remedy)
    elif source.read == "atStart" and not change.restart:
        problem = f"pods read {kind} {name} at their start only, and would not see the change."
        yield SpecError(f"{field}.restart", problem, "Write restart: true.")
    elif source.stays and change.remove and not change.remove.keys and not change.restart:
        problem = f"pods that run keep their files when {kind} {name} is gone, unless their volume"
        problem += " says optional: true."
        yield SpecError(f"{field}.restart", problem, "Write restart: true, or remove keys of it.")
    elif source.read == "atStart" and complete and target not in source.readers:
        where = f"{field.removesuffix('.configuration')}.target.service"
        problem = f"pods of service {target} do not read {kind} {name}, so nobody would see it."
        yield SpecError(where, problem, did_you_mean(target, source.readers))
    for where, key in _asked(change):
        if source.keys is not None and key not in source.keys:
            problem = f"{kind} {name} has no key {key}."
            yield SpecError(f"{field}.{where}", problem, did_you_mean(key, source.keys))
    if change.set and all(source.texts.get(key) == text for key, text in change.set.items()):
        yield SpecError(f"{field}.set", f"{kind} {name} has these values already.", "Give others.")


def _asked(change: Configuration) -> Iterator[tuple[str, str]]:
    if change.remove:
        yield from ((f"remove.keys[{i}]", key) for i, key in enumerate(change.remove.keys))
    if change.expire_certificate:
        yield "expireCertificate.key", change.expire_certificate.key


def _own(document: Mapping[str, Any], read: Sequence[Reading]) -> Source:
    """Describe an object of manifests; what no pod reads, somebody may read at any time."""
    # NB: a kubelet does not look again at what is immutable, not even whether it is there.
    immutable = document.get("immutable") is True
    seen = not immutable and any(each.changes for each in read)
    return Source(
        _name(document),
        _keys(document),
        "atStart" if read and not seen else "anytime",
        immutable=immutable,
        stays=bool(read) and not any(each.absence for each in read),
        readers=frozenset(each.service for each in read),
        texts=_texts(document),
    )


def _texts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values that are text, of what is encoded too."""
    secret = document["kind"] == "Secret"
    encoded = document.get("data" if secret else "binaryData")
    plain = document.get("stringData" if secret else "data")
    texts = {}
    for key, value in encoded.items() if isinstance(encoded, dict) else ():
        with suppress(TypeError, ValueError):  # no text, or no base64
            texts[key] = base64.b64decode(value).decode()
    return texts | (plain if isinstance(plain, dict) else {})


def _with(reference: ObjectReference, parts: Iterable[Part]) -> frozenset[str]:
    """Name the services whose variables come from an object."""
    return frozenset(part.name for part in parts if reference in (part.service.env_from or ()))


def _keys(document: Mapping[str, Any] | None) -> set[str] | None:
    if document is None:
        return None
    fields = (document.get(each) for each in ("data", "stringData", "binaryData"))
    return {str(key) for field in fields if isinstance(field, dict) for key in field}


def _key(reference: ObjectReference) -> Key:
    if reference.config_map is not None:
        return ("ConfigMap", reference.config_map)
    return ("Secret", reference.secret or "")


def _name(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
