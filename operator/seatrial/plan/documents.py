"""
Plain Kubernetes YAML from users, read within limits. Pure.

What the objects may be is decided in ``manifests``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.journal import PortDoc, WorkloadDoc

Object = dict[str, Any]

MAX_BYTES = 512 * 1024
MAX_DOCUMENTS = 64
# Of all texts together, with every alias written out: as the API server gets them.
MAX_NODES = 50_000
MAX_CHARACTERS = 2 * MAX_BYTES
MAX_DEPTH = 64
_INTEGERS = range(-(2**63), 2**64)  # what the API server can hold

WORKLOADS = ("Deployment", "StatefulSet", "Pod", "Job")


@dataclass(frozen=True)
class Contents:
    """What the manifests of a service bring, as far as the conductor needs it."""

    hosts: tuple[str, ...]  # names of the Services
    ports: tuple[PortDoc, ...]
    workloads: tuple[WorkloadDoc, ...]


class Loader(yaml.CSafeLoader):
    """
    Reads what Kubernetes reads: JSON in YAML's clothes.

    Dates stay text, and so do numbers to the base of 60 (``12:30``): Kubernetes knows neither.
    """


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int")
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0|[1-9][0-9]*|0o?[0-7]+|0x[0-9a-fA-F]+)$"),
    list("-+0123456789"),
)


def read_manifests(texts: Mapping[str, str], field: str) -> list[Object]:
    """
    Parse YAML documents.

    Args:
        texts: YAML by where it comes from: a key of a ConfigMap, or ``inline``.
        field: The field of the run to name in messages, ``spec.services[0].manifests``.

    Returns:
        The documents in order, without empty ones; each a map of JSON values.

    Raises:
        InvalidSpecError: Not YAML, or more than the limits allow.
    """
    if sum(len(text.encode()) for text in texts.values()) > MAX_BYTES:
        problem = f"has more than {MAX_BYTES // 1024} KiB of YAML."
        raise InvalidSpecError([SpecError(field, problem, "Split the service into several.")])
    documents: list[Object] = []
    problems: list[SpecError] = []
    size = _Size()
    for source, text in texts.items():
        try:
            documents += _documents(text, size)
        except _UnreadableError as error:
            problems.append(SpecError(f"{field}.{source}", str(error)))
    if len(documents) > MAX_DOCUMENTS:
        problem = f"has {len(documents)} objects, more than {MAX_DOCUMENTS}."
        problems.append(SpecError(field, problem, "Split the service into several."))
    if not documents and not problems:
        problems.append(SpecError(field, "holds no object.", "Give at least one workload."))
    if problems:
        raise InvalidSpecError(problems)
    return documents


def contents(documents: Sequence[Mapping[str, Any]]) -> Contents:
    """Say which Services, ports and workloads the documents bring; they may be of any shape."""
    services = [each for each in documents if each.get("kind") == "Service"]
    return Contents(
        hosts=tuple(_name(each) for each in services),
        ports=tuple(port for each in services for port in _ports(each)),
        workloads=tuple(
            {"kind": each["kind"], "name": _name(each)}
            for each in documents
            if each.get("kind") in WORKLOADS
        ),
    )


def _name(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _ports(service: Mapping[str, Any]) -> Iterator[PortDoc]:
    spec = service.get("spec")
    ports = spec.get("ports") if isinstance(spec, dict) else None
    for port in ports if isinstance(ports, list) else ():
        if isinstance(port, dict) and isinstance(port.get("port"), int):
            doc = PortDoc(name=str(port.get("name") or port["port"]), port=port["port"])
            if port.get("protocol", "TCP") != "TCP":
                doc["protocol"] = str(port["protocol"])
            yield doc


class _UnreadableError(Exception):
    """The text cannot be taken; the message is a sentence."""


_Weight = tuple[int, int]  # values and characters, with every alias written out


@dataclass
class _Size:
    """How much the documents are that have been looked at."""

    nodes: int = 0
    characters: int = 0


def _documents(text: str, size: _Size) -> list[Object]:
    try:
        _check_size(text, size)
        loaded = [each for each in yaml.load_all(text, Loader=Loader) if each is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise _UnreadableError(f"is not YAML{where}: {problem}.") from None
    # A number of thousands of digits, a binary that is none; of a tag with another value (!!bool x,
    # !!int "", !!timestamp x), the loader lets through whatever goes wrong in it.
    except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError):
        problem = "has a tag that does not fit its value, or a number that is too long."
        remedy = "Leave the tag out, or put the number into quotes."
        raise _UnreadableError(f"{problem} {remedy}") from None
    for document in loaded:
        if not isinstance(document, dict):
            raise _UnreadableError("holds a document that is no object.")
        _check_json(document)
    return loaded


def _check_size(text: str, size: _Size) -> None:
    """
    Refuse what would grow when it is read: aliases of aliases, and endless nesting.

    The parser is asked for events, which cost no more than the text is long.
    """
    weights: dict[str, _Weight] = {}
    open_nodes: list[tuple[str | None, int, int]] = []  # anchor, and how much it is so far
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1, 0))
            if len(open_nodes) > MAX_DEPTH:
                raise _UnreadableError(f"is nested more than {MAX_DEPTH} levels deep.")
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in weights:
                raise _UnreadableError(f"has an alias *{event.anchor} inside of what it names.")
            nodes, characters = weights[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            nodes, characters = 1, len(event.value)
            _remember(weights, event.anchor, (nodes, characters))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, nodes, characters = open_nodes.pop()
            _remember(weights, anchor, (nodes, characters))
        else:
            continue
        if open_nodes:
            anchor, before, written = open_nodes[-1]
            nodes, characters = nodes + before, characters + written
            open_nodes[-1] = (anchor, nodes, characters)
            _bound(size.nodes + nodes, size.characters + characters)
        else:
            size.nodes += nodes
            size.characters += characters
            _bound(size.nodes, size.characters)


def _bound(nodes: int, characters: int) -> None:
    with_aliases = "what aliases repeat included. Split the service into several."
    if nodes > MAX_NODES:
        raise _UnreadableError(f"has more than {MAX_NODES} values, {with_aliases}")
    if characters > MAX_CHARACTERS:
        most = MAX_CHARACTERS // 1024
        raise _UnreadableError(f"has more than {most} KiB of text, {with_aliases}")


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=Loader)
    except yaml.YAMLError as error:
        if "nesting depth" not in str(error):  # libyaml has a limit of its own since 0.2.6
            raise
        raise _UnreadableError(f"is nested more than {MAX_DEPTH} levels deep.") from error


def _remember(weights: dict[str, _Weight], anchor: str | None, weight: _Weight) -> None:
    if anchor is not None:
        weights[anchor] = weight


def _check_json(value: Any) -> None:
    """Refuse what JSON does not know: other keys than text, sets, bytes, infinite numbers."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            for key in each:
                if not isinstance(key, str):
                    raise _UnreadableError(f"has the key {str(key)[:40]}; put it in quotes.")
            pending += each.values()
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, float) and not math.isfinite(each):
            raise _UnreadableError("has a number that is not finite.")
        elif isinstance(each, int) and each not in _INTEGERS:
            raise _UnreadableError("has a whole number of more than 64 bits.")
        elif each is not None and not isinstance(each, (str, int, float, bool)):
            raise _UnreadableError(f"has a value of YAML type {type(each).__name__}.")
