"""What becomes of a packet by chance, and how packets are made. Pure: the chance has a seed."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from random import Random
from typing import Any

from seatrial.api.names import CHECK_PORTS

from seatrial_runner.agent.quantities import seconds, share

TCP, UDP = 6, 17


@dataclass(frozen=True)
class Fate:
    """What happens to one packet."""

    lost: bool = False
    twice: bool = False
    overtaken: bool = False
    corrupted: bool = False
    delay_s: float = 0.0

    @property
    def disturbed(self) -> bool:
        """Tell whether anything happens to it."""
        return self != Fate()


class Chance:
    """Draws the fate of packets: ``params`` is ``packets`` of the resource."""

    def __init__(self, params: dict[str, Any], seed: int) -> None:
        self._random = Random(seed)
        self._loss = share(params.get("loss"))
        self._duplicate = share(params.get("duplicate"))
        self._reorder = share(params.get("reorder"))
        self._corrupt = share(params.get("corrupt"))
        self._delay = seconds(params.get("delay"))
        self._jitter = seconds(params.get("jitter"))

    def fate(self) -> Fate:
        """Draw the fate of the next packet."""
        random = self._random
        # All are drawn for each packet, so that the same seed chooses alike whatever is asked for.
        loss, twice, late, change, spread = (random.random() for _ in range(5))
        if loss < self._loss:
            return Fate(lost=True)
        return Fate(
            twice=twice < self._duplicate,
            overtaken=late < self._reorder,
            corrupted=change < self._corrupt,
            delay_s=max(0.0, self._delay + self._jitter * (2 * spread - 1)),
        )

    def corrupted(self, packet: bytes) -> bytes:
        """Change one byte behind the IP header; checksums stay as they were."""
        start = header_length(packet)
        if len(packet) <= start:
            return packet
        at = self._random.randrange(start, len(packet))
        changed = packet[at] ^ self._random.randrange(1, 256)
        return packet[:at] + bytes([changed]) + packet[at + 1 :]


def header_length(packet: bytes) -> int:
    """Length of the IP header; of IPv6 without extensions."""
    if not packet:
        return 0
    return 40 if packet[0] >> 4 == 6 else (packet[0] & 0xF) * 4


def addresses(packet: bytes) -> tuple[bytes, bytes]:
    """Give the addresses that a packet comes from and goes to."""
    if packet[0] >> 4 == 6:
        return packet[8:24], packet[24:40]
    return packet[12:16], packet[16:20]


def is_of_a_check(packet: bytes, *, incoming: bool) -> bool:
    """Tell whether a packet is of a connection in which the conductor checks the pod."""
    start = header_length(packet)
    if start < 20 or len(packet) < start + 4:
        return False
    number = packet[6] if packet[0] >> 4 == 6 else packet[9]
    its_port = struct.unpack_from("!H", packet, start if incoming else start + 2)[0]
    return number == TCP and its_port in CHECK_PORTS


@dataclass(frozen=True)
class Datagram:
    """What UDP carries, with its ends."""

    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    content: bytes

    def answer(self, content: bytes) -> Datagram:
        """Make the datagram that goes back."""
        return Datagram(
            self.destination, self.destination_port, self.source, self.source_port, content
        )


def read_datagram(packet: bytes) -> Datagram | None:
    """Read a whole UDP packet; None if it is something else, or a fragment."""
    start = header_length(packet)
    if len(packet) < start + 8 or start < 20:
        return None
    if packet[0] >> 4 == 6:
        number = packet[6]
    else:
        number = packet[9]
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None
    if number != UDP:
        return None
    source_port, destination_port, length, _ = struct.unpack_from("!HHHH", packet, start)
    if not 8 <= length <= len(packet) - start:
        return None
    content = packet[start + 8 : start + length]
    return Datagram(*_swap(addresses(packet), source_port, destination_port), content)


def write_datagram(datagram: Datagram) -> bytes:
    """Write a UDP packet from the IP header on, with its checksums."""
    length = 8 + len(datagram.content)
    ends = datagram.source + datagram.destination
    pseudo = ends + struct.pack("!II", length, UDP)
    ports = struct.pack("!HHH", datagram.source_port, datagram.destination_port, length)
    # A sum of zero would say that there is none.
    total = checksum(pseudo + ports + b"\0\0" + datagram.content) or 0xFFFF
    body = ports + struct.pack("!H", total) + datagram.content
    if len(datagram.source) == 16:
        return struct.pack("!IHBB", 6 << 28, length, UDP, 64) + ends + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, UDP, 0)
    sum_of_head = struct.pack("!H", checksum(head + ends))
    return head[:10] + sum_of_head + ends + body


def checksum(data: bytes) -> int:
    """Give the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def readable(address: bytes) -> str:
    """Write an address of 4 or 16 bytes."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def _swap(ends: tuple[bytes, bytes], source: int, target: int) -> tuple[bytes, int, bytes, int]:
    return ends[0], source, ends[1], target
