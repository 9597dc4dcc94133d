"""What the controller and the workers say to each other: JSON in packets of a Unix socket."""

from __future__ import annotations

import json
import os
import socket
from typing import Any, Literal, NotRequired, TypedDict

from seatrial.api.control import FaultOrder

# Longer ones go in a file in memory, of which the packet carries the descriptor.
_PACKET = 32 * 1024


class FaultWord(TypedDict):
    """A fault, as a worker hears of it."""

    name: str
    order: FaultOrder
    slot: int
    deadline: float  # of time.monotonic, which all processes of a machine share


class Word(TypedDict):
    """
    From the controller.

    ``state`` is all a worker must know: what it has beyond that ends. The others add to it.
    """

    number: int  # the answer has it
    do: Literal["state", "put", "remove"]
    faults: list[FaultWord]
    sources: NotRequired[dict[str, list[str]]]
    upstreams: NotRequired[dict[str, str]]  # address by host


class Reply(TypedDict):
    """From a worker; number HELLO: it is new, and knows nothing."""

    number: int
    error: NotRequired[str]


HELLO = 0


def pair() -> tuple[socket.socket, socket.socket]:
    """
    Make a channel: the controller's end, and the worker's.

    NB: packets, so that a process that is killed while it writes leaves no half of a message to
    its successor.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send(sock: socket.socket, message: Word | Reply) -> None:
    """
    Send a message, whole or not at all.

    Raises:
        OSError: The other one does not read, or is gone.
    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) <= _PACKET:
        sock.send(data)
        return
    fd = os.memfd_create("seatrial-message")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        socket.send_fds(sock, [b"file"], [fd])
    finally:
        os.close(fd)


def receive(sock: socket.socket) -> Any:
    """
    Give the next message; None if the other one is gone for good.

    Raises:
        BlockingIOError: There is none yet.
    """
    packet, fds, _, _ = socket.recv_fds(sock, _PACKET, 1)
    if fds:
        with open(fds[0], "rb") as file:
            file.seek(0)
            packet = file.read()
    return json.loads(packet) if packet else None
