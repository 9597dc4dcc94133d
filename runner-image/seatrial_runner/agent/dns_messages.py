"""DNS messages as far as a wrong answer needs them (RFC 1035). Pure."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass

A, AAAA, IN = 1, 28, 1
# Whose answers have addresses in them, too: hints, or all there is.
_WITH_ADDRESSES = (A, AAAA, 64, 65, 255)  # SVCB, HTTPS, ANY
_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _RECURSION_AVAILABLE, _KEPT = 0x8000, 0x0080, 0x7900  # kept: opcode and RD
_NXDOMAIN = 3
# A wrong answer should not be remembered for longer than it is given.
_TTL_S = 1


@dataclass(frozen=True)
class Question:
    """What is asked for."""

    id: int
    flags: int
    name: str  # in lower case, without the dot at its end
    kind: int  # A, AAAA, ...
    section: bytes  # the question as it was written


def read_question(message: bytes) -> Question | None:
    """Read a query with one question; None if it is anything else."""
    if len(message) < _HEADER.size:
        return None
    number, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & _RESPONSE or questions != 1:
        return None
    labels, at = [], _HEADER.size
    while True:
        if at >= len(message):
            return None
        length = message[at]
        if length > 63 or at + 1 + length > len(message):
            return None
        at += 1 + length
        if not length:
            break
        labels.append(message[at - length : at].decode("ascii", "replace").lower())
    if at + 4 > len(message):
        return None
    kind, _ = struct.unpack_from("!HH", message, at)
    return Question(number, flags, ".".join(labels), kind, message[_HEADER.size : at + 4])


def write_question(number: int, name: str, kind: int = A) -> bytes:
    """Write a query."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    head = _HEADER.pack(number, 0x0100, 1, 0, 0, 0)
    return head + labels + b"\0" + struct.pack("!HH", kind, IN)


def no_such_name(question: Question) -> bytes:
    """Answer that the name does not exist."""
    return _answer(question, code=_NXDOMAIN)


def at_address(question: Question, address: str) -> bytes | None:
    """
    Answer with an address, or with nothing if the question is for another way to learn one.

    Returns:
        None if its answer would have no address in it.
    """
    if question.kind not in _WITH_ADDRESSES:
        return None
    packed = ipaddress.ip_address(address).packed
    if question.kind != (A if len(packed) == 4 else AAAA):
        return _answer(question)
    # 0xC00C: the name of the question, which begins behind the header.
    record = struct.pack("!HHHIH", 0xC00C, question.kind, IN, _TTL_S, len(packed)) + packed
    return _answer(question, record)


def code_of(message: bytes) -> int:
    """Give the response code of an answer."""
    return message[3] & 0xF


def expanded(names: Iterable[str], search: Iterable[str]) -> frozenset[str]:
    """Give names in all the ways a resolver asks for them: with each search domain as well."""
    plain = {name.rstrip(".").lower() for name in names}
    return frozenset(
        plain | {f"{name}.{domain.strip('.').lower()}" for name in plain for domain in search}
    )


def is_meant(name: str, names: frozenset[str]) -> bool:
    """Tell whether a name is one of these or below one; without names all are meant."""
    if not names:
        return True
    labels = name.split(".")
    return any(".".join(labels[start:]) in names for start in range(len(labels)))


def _answer(question: Question, *records: bytes, code: int = 0) -> bytes:
    flags = _RESPONSE | (question.flags & _KEPT) | _RECURSION_AVAILABLE | code
    head = _HEADER.pack(question.id, flags, 1, len(records), 0, 0)
    return head + question.section + b"".join(records)
