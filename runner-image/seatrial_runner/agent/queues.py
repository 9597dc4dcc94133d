"""
Packets that the kernel hands over for a verdict (NFQUEUE).

A queue that nobody reads lets packets pass (its rules have the flag ``bypass``), and so does one
that is full: whatever becomes of this process, the pod's traffic goes on.

Source: Linux, ``include/uapi/linux/netfilter/nfnetlink_queue.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from seatrial_runner.agent.netlink import (
    NLM_F_ACK,
    Netfilter,
    attribute,
    attributes,
    message,
    messages,
    u32,
)
from seatrial_runner.agent.tables import Verdict

_SUBSYSTEM = 3 << 8
_PACKET, _VERDICT, _CONFIG = (_SUBSYSTEM | n for n in (0, 1, 2))
_BIND = 1
_COPY_PACKET = 2
_FAIL_OPEN = 1
_MOST_HELD = 65536
_LARGEST = 1 << 17


@dataclass(frozen=True)
class Packet:
    """A packet that waits for its verdict."""

    id: int
    incoming: bool
    data: bytes  # from the IP header on


class Queue:
    """A queue of packets."""

    def __init__(self, number: int) -> None:
        """
        Begin to read it.

        Raises:
            OSError: Someone else reads it, or the kernel has no such queues.
        """
        self.number = number
        self._netfilter = Netfilter()
        try:
            self._configure(attribute(1, struct.pack("!BxH", _BIND, 0)))
            self._configure(
                attribute(2, struct.pack("!IB", 0xFFFF, _COPY_PACKET))
                + u32(3, _MOST_HELD)
                + u32(4, _FAIL_OPEN)
                + u32(5, _FAIL_OPEN)
            )
        except OSError:
            self._netfilter.close()
            raise
        self._netfilter.socket.setblocking(False)

    def fileno(self) -> int:
        """Give what to wait for with ``select``."""
        return self._netfilter.socket.fileno()

    def packets(self) -> Iterator[Packet]:
        """Give the packets that have come."""
        try:
            received = self._netfilter.socket.recv(_LARGEST)
        except BlockingIOError:
            return
        for kind, _, content in messages(received):
            if kind != _PACKET:
                continue
            found = attributes(content)
            number, hook = struct.unpack_from("!IxxB", found[1])
            # A queue of ours sees packets at INPUT on their way in, and elsewhere on their way out.
            yield Packet(number, hook == 1, found.get(10, b""))

    def decide(self, packet: Packet, verdict: Verdict, data: bytes | None = None) -> None:
        """Let a packet go, with other content if it is given, or drop it."""
        body = attribute(2, struct.pack("!II", verdict, packet.id))
        if data is not None:
            body += attribute(10, data)
        self._netfilter.socket.send(message(_VERDICT, body, resource=self.number))

    def close(self) -> None:
        """Stop reading; packets without a verdict are dropped by the kernel."""
        self._netfilter.close()

    def _configure(self, body: bytes) -> None:
        sequence = self._netfilter.next_sequence()
        request = message(_CONFIG, body, resource=self.number, flags=NLM_F_ACK, sequence=sequence)
        self._netfilter.ask(request, awaited=sequence)
