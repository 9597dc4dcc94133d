"""
Tables of nf_tables that vanish with this process, with rules that expire by themselves.

A table with the flag ``owner`` belongs to a netlink socket: however the process ends, the kernel
takes the table away. Every rule asks a set whose elements have a timeout, so that it matches
nothing any more from its deadline on even if the process hangs.

Source: Linux, ``include/uapi/linux/netfilter/nf_tables.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from seatrial_runner.agent.netlink import (
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Netfilter,
    attribute,
    message,
    nested,
    text,
    u16,
    u32,
    u64,
)

_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_SET = (_SUBSYSTEM | n for n in (0, 3, 6, 9))
_NEW_ELEMENT, _DEL_ELEMENT = (_SUBSYSTEM | n for n in (12, 14))
_OWNER = 2
_SET_TIMEOUT = 0x10
_REGISTER = 1
_LIVE = "live"
_ELEMENT = 1  # NFTA_LIST_ELEM


class Family(IntEnum):
    """Of addresses; the value is netfilter's."""

    IPV4 = 2
    IPV6 = 10


class Hook(IntEnum):
    """Where in the stack; the value is netfilter's."""

    INPUT = 1
    OUTPUT = 3
    POSTROUTING = 4


class Verdict(IntEnum):
    """What becomes of a packet."""

    DROP = 0
    ACCEPT = 1


ACCEPT = Verdict.ACCEPT
DROP = Verdict.DROP

# Expressions: each returns what a rule is made of ------------------------------------------------


def _expression(name: str, *data: bytes) -> bytes:
    return nested(_ELEMENT, text(1, name), nested(2, *data))


def _compare(value: bytes, operation: int = 0) -> bytes:
    return _expression("cmp", u32(1, _REGISTER), u32(2, operation), nested(3, attribute(1, value)))


def _meta(key: int) -> bytes:
    return _expression("meta", u32(2, key), u32(1, _REGISTER))


def _payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", u32(1, _REGISTER), u32(2, base), u32(3, offset), u32(4, length))


def marked(mark: int) -> bytes:
    """Match packets with this mark."""
    return _meta(3) + _compare(struct.pack("=I", mark))


def through(hook: Hook, interface: str) -> bytes:
    """Match packets that come in, or go out, through an interface."""
    return _meta(6 if hook is Hook.INPUT else 7) + _compare(interface.encode().ljust(16, b"\0"))


def protocol(number: int) -> bytes:
    """Match packets of a transport protocol."""
    return _meta(16) + _compare(bytes([number]))


def source_port(port: int) -> bytes:
    """Match the port that a packet comes from; after ``protocol``."""
    return _payload(2, 0, 2) + _compare(struct.pack("!H", port))


def destination_port(port: int) -> bytes:
    """Match the port that a packet goes to; after ``protocol``."""
    return _payload(2, 2, 2) + _compare(struct.pack("!H", port))


def icmp_type(first: int, last: int) -> bytes:
    """Match a range of ICMP types; after ``protocol``."""
    return _payload(2, 0, 1) + _compare(bytes([first]), 5) + _compare(bytes([last]), 3)


def source(address: bytes) -> bytes:
    """Match the address that a packet comes from."""
    return _payload(1, 12 if len(address) == 4 else 8, len(address)) + _compare(address)


def destination(address: bytes) -> bytes:
    """Match the address that a packet goes to."""
    return _payload(1, 16 if len(address) == 4 else 24, len(address)) + _compare(address)


def live() -> bytes:
    """Match until the deadline."""
    return _meta(15) + _expression("lookup", text(1, _LIVE), u32(2, _REGISTER))


def verdict(code: Verdict) -> bytes:
    """Decide."""
    return _expression("immediate", u32(1, 0), nested(2, nested(2, u32(1, code))))


def redirect(port: int) -> bytes:
    """Lead a connection to a port of this pod; in a chain of type ``nat``."""
    load = _expression(
        "immediate", u32(1, _REGISTER), nested(2, attribute(1, struct.pack("!H", port)))
    )
    return load + _expression("redir", u32(1, _REGISTER))


def reset() -> bytes:
    """Answer with a TCP reset; after ``protocol``."""
    return _expression("reject", u32(1, 1), attribute(2, b"\0"))


def queue(number: int, *, native: bool) -> bytes:
    """
    Hand packets to the reader of a queue; they pass when nobody reads it.

    Args:
        number: Of the queue.
        native: By nf_tables' own expression; else by the NFQUEUE target of iptables, which kernels
            have that lack the other.
    """
    if native:
        return _expression("queue", u16(1, number), u16(2, 1), u16(3, 1))
    information = struct.pack("=HHH2x", number, 1, 1)
    return _expression("target", text(1, "NFQUEUE"), u32(2, 3), attribute(3, information))


# Tables ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """Rules at a hook, each the expressions it is made of."""

    name: str
    kind: str  # filter or nat
    hook: Hook
    priority: int
    rules: tuple[bytes, ...]


class OwnedTables:
    """Tables of one name for each family of addresses, while this object is open."""

    def __init__(self, name: str, chains: dict[Family, list[Chain]]) -> None:
        """
        Make the tables; no rule with ``live`` matches before ``renew``.

        Raises:
            OSError: The kernel has no nf_tables, or refuses something that the rules need.
        """
        self._name, self._families = name, tuple(chains)
        self._netfilter = Netfilter()
        try:
            self._commit(
                part for family, wanted in chains.items() for part in self._table(family, wanted)
            )
        except OSError:
            self._netfilter.close()
            raise

    def renew(self, seconds: float, *, first: bool = False) -> None:
        """Let rules with ``live`` match for so long from now."""
        try:
            self._commit(self._elements(seconds, replace=not first))
        except FileNotFoundError:  # the last time is just over
            self._commit(self._elements(seconds, replace=False))

    def _elements(self, seconds: float, *, replace: bool) -> list[tuple[int, int, bytes]]:
        parts: list[tuple[int, int, bytes]] = []
        for family in self._families:
            key = nested(1, attribute(1, bytes([family])))
            where = text(1, self._name) + text(2, _LIVE)
            if replace:
                gone = nested(3, nested(_ELEMENT, key))
                parts.append((_DEL_ELEMENT, family, where + gone))
            milliseconds = max(1, round(seconds * 1000))
            there = nested(3, nested(_ELEMENT, key, u64(4, milliseconds)))
            parts.append((_NEW_ELEMENT, family, where + there))
        return parts

    def close(self) -> None:
        """Take the tables away."""
        self._netfilter.close()

    def _table(self, family: Family, chains: list[Chain]) -> Iterable[tuple[int, int, bytes]]:
        table = text(1, self._name)
        yield _NEW_TABLE, family, table + u32(2, _OWNER)
        yield (
            _NEW_SET,
            family,
            table + text(2, _LIVE) + u32(3, _SET_TIMEOUT) + u32(4, 2) + u32(5, 1) + u32(10, 1),
        )
        for chain in chains:
            hook = nested(4, u32(1, chain.hook), u32(2, chain.priority))
            yield _NEW_CHAIN, family, table + text(3, chain.name) + hook + text(7, chain.kind)
            for rule in chain.rules:
                yield _NEW_RULE, family, table + text(2, chain.name) + nested(4, rule)

    def _commit(self, parts: Iterable[tuple[int, int, bytes]]) -> None:
        """Carry out all of them, or none."""
        netfilter = self._netfilter
        batch = [message(_BATCH_BEGIN, b"", resource=10, sequence=netfilter.next_sequence())]
        last = 0
        for kind, family, body in parts:
            last = netfilter.next_sequence()
            flags = NLM_F_ACK
            if kind != _DEL_ELEMENT:
                flags |= NLM_F_CREATE | NLM_F_APPEND
            batch.append(message(kind, body, family=family, flags=flags, sequence=last))
        batch.append(message(_BATCH_END, b"", resource=10, sequence=netfilter.next_sequence()))
        netfilter.ask(*batch, awaited=last)
