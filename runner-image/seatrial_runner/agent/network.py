"""What faults of the network have in common: whom they spare, and sending as nobody's packets."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from seatrial.api.names import AGENT_PORT

from seatrial_runner.agent.mangling import addresses, readable
from seatrial_runner.agent.queues import Queue
from seatrial_runner.agent.tables import (
    ACCEPT,
    Family,
    Hook,
    destination,
    destination_port,
    icmp_type,
    marked,
    protocol,
    queue,
    source,
    source_port,
    through,
    verdict,
)

# On packets of our own, which no fault of ours may meet.
MARK = 0x5EA7121A
_SO_MARK = 36
_IPV6_HDRINCL = 36
_FIRST_QUEUE = 17700
_QUEUES = 200
_TCP, _ICMPV6 = 6, 58


def families() -> tuple[Family, ...]:
    """Families of addresses that the kernel has."""
    has_ipv6 = Path("/proc/sys/net/ipv6").exists() or Path("/proc/net/if_inet6").exists()
    return (Family.IPV4, Family.IPV6) if has_ipv6 else (Family.IPV4,)


def node_addresses(given: str) -> list[bytes]:
    """
    Addresses of the node: those given (``status.hostIPs``), and the pod's gateways.

    Where pods are behind a bridge, the kubelet's probes come from the gateway's address.
    """
    found = {packed for text in given.replace(",", " ").split() if (packed := _packed(text))}
    return sorted(found | _gateways())


def spared(family: Family, hook: Hook, nodes: list[bytes]) -> list[bytes]:
    """
    Rules for packets that a fault of the network never meets.

    Loopback is no network. The order to end the fault must come through. What the node itself says
    to the pod does not travel: a kubelet's probe tells of the process, and would end it for what
    happens on the wire.
    """
    incoming = hook is Hook.INPUT
    port = destination_port if incoming else source_port
    address = source if incoming else destination
    accept = verdict(ACCEPT)
    rules = [
        marked(MARK) + accept,
        through(hook, "lo") + accept,
        protocol(_TCP) + port(AGENT_PORT) + accept,
    ]
    length = 4 if family is Family.IPV4 else 16
    rules += [address(node) + accept for node in nodes if len(node) == length]
    if family is Family.IPV6:  # without neighbour discovery the pod would be gone, not disturbed
        rules.append(protocol(_ICMPV6) + icmp_type(133, 137) + accept)
    return rules


def free_queue() -> Queue:
    """
    Begin to read a queue that nobody reads.

    Raises:
        OSError: The kernel has no queues.
    """
    refused: OSError | None = None
    for number in range(_FIRST_QUEUE, _FIRST_QUEUE + _QUEUES):
        try:
            return Queue(number)
        except OSError as error:
            if error.errno not in (1, 16):  # EPERM, EBUSY: another's
                raise
            refused = error
    assert refused is not None
    raise refused


def to_queue(number: int) -> tuple[bytes, bytes]:
    """Expressions that hand packets to a queue: the native one, and what older kernels have."""
    return queue(number, native=True), queue(number, native=False)


class RawSender:
    """Sends whole packets, with whatever address in them, past our own rules."""

    def __init__(self) -> None:
        """
        Open its sockets.

        Raises:
            PermissionError: CAP_NET_RAW or CAP_NET_ADMIN is missing.
        """
        self._sockets: dict[int, socket.socket] = {4: self._socket(socket.AF_INET)}
        if Family.IPV6 in families():
            ipv6 = self._sockets[16] = self._socket(socket.AF_INET6)
            ipv6.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)

    def send(self, packet: bytes) -> None:
        """Send a packet to where its header says; one that cannot be sent is lost."""
        target = addresses(packet)[1]
        try:
            self._sockets[len(target)].sendto(packet, (readable(target), 0))
        except (OSError, KeyError):
            return

    def close(self) -> None:
        """Close its sockets."""
        for each in self._sockets.values():
            each.close()

    @staticmethod
    def _socket(family: socket.AddressFamily) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
        opened.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
        return opened


def mark(opened: socket.socket) -> None:
    """Let a socket's packets pass our own rules."""
    opened.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)


def send_probe(nonce: bytes) -> None:
    """
    Send a packet that only the fault's own queue will see: it dies at the first router.

    The addresses are for documentation (RFC 5737, RFC 3849), so nobody has them.
    """
    for family, host in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as opened:
                if family == socket.AF_INET:
                    opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
                else:
                    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
                opened.sendto(nonce, (host, 9))
                return
        except OSError:
            continue


def new_nonce() -> bytes:
    """Draw what our probe is known by."""
    return b"seatrial" + os.urandom(8)


def _packed(text: str) -> bytes | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, text)
        except OSError:
            continue
    return None


def _gateways() -> set[bytes]:
    found = set()
    for line in _lines("/proc/net/route")[1:]:
        columns = line.split()
        if columns[1] == columns[7] == "00000000" and columns[2] != "00000000":
            found.add(struct.pack("<I", int(columns[2], 16)))
    for line in _lines("/proc/net/ipv6_route"):
        columns = line.split()
        if columns[1] == "00" and columns[9] != "lo" and columns[4].strip("0"):
            found.add(bytes.fromhex(columns[4]))
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
