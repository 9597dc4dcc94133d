"""Netlink as nf_tables and NFQUEUE speak it: messages, attributes, and a socket."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

NETLINK_NETFILTER = 12
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLMSG_ERROR = 2
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE = 1 << 20

# A socket option of netlink: no ENOBUFS when it is full; the queue's own bounds decide.
_SOL_NETLINK = 270
_NETLINK_NO_ENOBUFS = 5
_SO_RCVBUFFORCE = 33


def attribute(kind: int, value: bytes) -> bytes:
    """Write an attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Write an attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """Write a text with the zero at its end."""
    return attribute(kind, value.encode() + b"\0")


def u16(kind: int, value: int) -> bytes:
    """Write 16 bits in network order."""
    return attribute(kind, struct.pack("!H", value))


def u32(kind: int, value: int) -> bytes:
    """Write 32 bits in network order."""
    return attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


def u64(kind: int, value: int) -> bytes:
    """Write 64 bits in network order."""
    return attribute(kind, struct.pack("!Q", value))


def message(
    kind: int, body: bytes, *, family: int = 0, resource: int = 0, flags: int = 0, sequence: int = 0
) -> bytes:
    """Write a message of netfilter: netlink's header, then family and resource, then attributes."""
    content = struct.pack("!BBH", family, 0, resource) + body
    length = _HEADER.size + len(content)
    header = _HEADER.pack(length, kind, NLM_F_REQUEST | flags, sequence, 0)
    return header + content + b"\0" * (-length % 4)


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split what was received: kind, sequence number and content of each message."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, sequence, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes, start: int = 4) -> dict[int, bytes]:
    """Read attributes by kind, by default those behind a netfilter header."""
    found: dict[int, bytes] = {}
    at = start
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


class Netfilter:
    """
    A socket to the kernel's netfilter.

    What is bound to it (tables with an owner, queues) goes when it is closed, which the kernel does
    whatever way the process ends.
    """

    def __init__(self) -> None:
        """
        Open it.

        Raises:
            OSError: The kernel has no netfilter netlink.
        """
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        self.socket.bind((0, 0))
        self.socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        except OSError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._sequence = 0

    def close(self) -> None:
        """Let go of everything that is bound to it."""
        self.socket.close()

    def next_sequence(self) -> int:
        """Number a message."""
        self._sequence += 1
        return self._sequence

    def ask(self, *requests: bytes, awaited: int) -> None:
        """
        Send messages in one piece, and wait for the acknowledgement of the one numbered so.

        Raises:
            OSError: The kernel refused one of them.
        """
        self.socket.send(b"".join(requests))
        self.socket.settimeout(5)
        try:
            while True:
                for kind, sequence, content in messages(self.socket.recv(_RECEIVE)):
                    if kind != NLMSG_ERROR:
                        continue
                    code = -struct.unpack_from("=i", content)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    if sequence == awaited:
                        return
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "the kernel did not answer") from None
        finally:
            self.socket.settimeout(None)
