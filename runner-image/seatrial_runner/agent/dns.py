"""Names that don't resolve, or to a wrong address."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import struct
import threading
from contextlib import suppress
from typing import Any

from seatrial_runner.agent.dns_messages import (
    Question,
    at_address,
    expanded,
    is_meant,
    no_such_name,
    read_question,
    write_question,
)
from seatrial_runner.agent.kernel import open_in_root
from seatrial_runner.agent.mangling import Datagram, read_datagram, write_datagram
from seatrial_runner.agent.network import MARK, families, mark
from seatrial_runner.agent.processes import Container
from seatrial_runner.agent.queued import Queued
from seatrial_runner.agent.queues import Packet
from seatrial_runner.agent.tables import (
    ACCEPT,
    DROP,
    Chain,
    Family,
    Hook,
    destination_port,
    live,
    marked,
    protocol,
    redirect,
    reset,
    verdict,
)

_PORT = 53
_UDP, _TCP = 17, 6
_SO_ORIGINAL_DST = 80
_BEFORE_NAT, _NAT, _AFTER_NAT = -150, -100, 10
_MOST_CONNECTIONS = 64
_UPSTREAM_S = 10.0
_PROBED = "seatrial-probe.invalid"
_RESOLVER = "/etc/resolv.conf"
_LONGEST = 64 * 1024


class Dns(Queued):
    """
    Answers the pod's questions wrongly, or lets them vanish.

    Questions by UDP are met in a queue of the kernel, on their way out: those that are not meant go
    on unchanged, and a client that asks from one socket for ever meets the fault and its end alike.
    Connections by TCP are led to a responder here; those open before are reset once.
    """

    def __init__(self, params: dict[str, Any], container: Container) -> None:
        """
        Make the fault.

        Args:
            params: ``dns`` of the resource.
            container: The target.

        Raises:
            ValueError: ``address`` is no IP address.
            NotInjectedError: The container has no process.
            PermissionError: Its ``resolv.conf`` may not be read.
        """
        super().__init__()
        self._address = params.get("address")
        if self._address is not None:
            try:
                ipaddress.ip_address(self._address)
            except ValueError:
                raise ValueError(f"dns.address: {self._address} is no IP address") from None
        self._silent = params.get("timeout") is not None
        root = os.open(f"/proc/{container.main()}/root", os.O_PATH | os.O_DIRECTORY)
        try:
            servers, search = read_resolver(root)
        finally:
            os.close(root)
        self._servers = servers
        given = params.get("names") or []
        self._names = expanded(given, search)
        self._probed = given[0] if given else _PROBED
        self._lock = threading.Lock()
        self._room = threading.Semaphore(_MOST_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._probe: socket.socket | None = None

    def prepare(self) -> None:
        """
        Make what it needs, without effect.

        Raises:
            OSError: This kernel or this container cannot.
        """
        self._listening = _listen()
        self._port = self._listening[0].getsockname()[1]
        for each in self._listening:
            threading.Thread(target=self._accept, args=(each,), daemon=True).start()
        super().prepare()

    def end(self) -> None:
        """Take it away, with the connections that it has led here."""
        super().end()
        for each in self._listening:
            each.close()
        with self._lock:
            still = list(self._open)
        for each in still:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        if self._probe is not None:
            self._probe.close()

    def _chains(self, _: Family, to: bytes) -> list[Chain]:
        ours = marked(MARK) + verdict(ACCEPT)
        by_udp = protocol(_UDP) + destination_port(_PORT) + live() + to
        by_tcp = protocol(_TCP) + destination_port(_PORT) + live()
        return [
            Chain("questions", "filter", Hook.OUTPUT, _BEFORE_NAT, (ours, by_udp)),
            Chain("connections", "nat", Hook.OUTPUT, _NAT, (ours, by_tcp + redirect(self._port))),
            # What still goes to port 53 has been open before.
            Chain("before", "filter", Hook.OUTPUT, _AFTER_NAT, (ours, by_tcp + reset())),
        ]

    def _meet(self, packet: Packet) -> None:
        datagram = read_datagram(packet.data)
        question = read_question(datagram.content) if datagram else None
        if datagram is None or question is None or not is_meant(question.name, self._names):
            self._queue.decide(packet, ACCEPT)
            return
        answer = None if self._silent else self._answer(question)
        if answer is None and not self._silent:
            self._queue.decide(packet, ACCEPT)
            return
        if self._is_probe(datagram):
            self.tally.seen()
        else:
            self._count(question)
        self._queue.decide(packet, DROP)
        if answer is not None:
            self._sender.send(write_datagram(datagram.answer(answer)))

    def _answer(self, question: Question) -> bytes | None:
        if self._address is not None:
            return at_address(question, self._address)
        return no_such_name(question)

    def _count(self, question: Question) -> None:
        with self._lock:
            self.tally.hit("unanswered" if self._silent else "answered")

    def _send_probe(self) -> None:
        """Ask as the target would; that the question is met shows the fault's effect."""
        for server in self._servers:
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            try:
                self._probe = socket.socket(family, socket.SOCK_DGRAM)
                self._probe.connect((server, _PORT))
                self._probe_port = self._probe.getsockname()[1]
                number = int.from_bytes(os.urandom(2), "big")
                self._probe.send(write_question(number, self._probed))
                return
            except OSError:
                continue

    def _is_probe(self, datagram: Datagram) -> bool:
        return self._probe is not None and datagram.source_port == self._probe_port

    # Connections, a thread each

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:  # closed: the fault is over
                return
            if not self._room.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            with client:
                while message := _receive(client):
                    self._reply(client, message)
        except OSError:  # gone, or the fault is over
            return
        finally:
            with self._lock:
                self._open.discard(client)
            self._room.release()

    def _reply(self, client: socket.socket, message: bytes) -> None:
        question = read_question(message)
        if question is not None and is_meant(question.name, self._names):
            if self._silent:
                self._count(question)
                return
            if (answer := self._answer(question)) is not None:
                self._count(question)
                _send(client, answer)
                return
        with socket.socket(client.family, socket.SOCK_STREAM) as upstream:
            mark(upstream)
            upstream.settimeout(_UPSTREAM_S)
            upstream.connect(_original_target(client))
            _send(upstream, message)
            if reply := _receive(upstream):
                _send(client, reply)


def read_resolver(root: int) -> tuple[list[str], list[str]]:
    """
    Give the servers and the search domains of a ``resolv.conf``; none if there is no such file.

    NB: the image decides what is there. A link leads to where it leads for the container's own
    processes; a pipe or a device, which might never end, is not read.

    Args:
        root: The container's root directory, open.

    Raises:
        PermissionError: It may not be read.
    """
    servers: list[str] = []
    search: list[str] = []
    for line in _text(root, _RESOLVER).splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search" | "domain", *domains]:
                search = domains
    return servers, search


def _text(root: int, path: str) -> str:
    try:
        handle = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    try:
        is_file = stat.S_ISREG(os.fstat(handle).st_mode)
        return os.read(handle, _LONGEST).decode(errors="replace") if is_file else ""
    finally:
        os.close(handle)


def _listen() -> list[socket.socket]:
    """Listen on loopback, on the same port for both families."""
    listening = [socket.create_server(("127.0.0.1", 0))]
    if Family.IPV6 in families():
        port = listening[0].getsockname()[1]
        with suppress(OSError):  # the kernel has it, but the pod has no such address
            listening.append(socket.create_server(("::1", port), family=socket.AF_INET6))
    return listening


def _original_target(client: socket.socket) -> tuple[str, int]:
    if client.family == socket.AF_INET6:
        raw = client.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from("!H", raw, 2)[0]
    raw = client.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack_from("!H", raw, 2)[0]


def _receive(opened: socket.socket) -> bytes:
    """Receive a message; empty at the end of the connection."""
    length = _exactly(opened, 2)
    return _exactly(opened, int.from_bytes(length, "big")) if length else b""


def _exactly(opened: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = opened.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


def _send(opened: socket.socket, message: bytes) -> None:
    opened.sendall(len(message).to_bytes(2, "big") + message)
