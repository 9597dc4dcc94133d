"""Without a fault the gateway is not there: bytes, ends, errors and pressure are passed on."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import random
import resource
import socket
import threading
import time

import pytest

from tests.support.gateway_process import (
    Gateway,
    Server,
    carried,
    echo,
    eventually,
    receive,
)


def test_a_large_stream_arrives_whole_both_ways(gateway: Gateway) -> None:
    data = random.Random(1).randbytes(20_000_000)
    with gateway.connect() as sock:
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        received = receive(sock, len(data))
        sender.join()

    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


def test_pieces_of_all_sizes_keep_their_order(gateway: Gateway) -> None:
    chance = random.Random(2)
    with gateway.connect() as sock:
        for _ in range(300):
            data = chance.randbytes(chance.choice([1, 2, 100, 1460, 4096, 70_000]))
            sender = threading.Thread(target=sock.sendall, args=(data,))
            sender.start()
            assert receive(sock, len(data)) == data
            sender.join()


def test_who_does_not_read_stops_who_writes() -> None:
    written = []

    def flood(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        while True:
            written.append(sock.send(b"x" * 65536))

    with carried(flood, workers=1) as gateway, gateway.connect() as sock:
        eventually(lambda: bool(written))

        def has_stopped() -> bool:
            before = len(written)
            time.sleep(0.2)
            return len(written) == before

        eventually(has_stopped)
        held = sum(written)
        # What the kernel's buffers take, at most; nothing in the gateway but one read.
        assert held < 16_000_000
        assert receive(sock, 1_000_000) == b"x" * 1_000_000


def test_each_way_ends_by_itself() -> None:
    def answer_after_the_end(sock: socket.socket) -> None:
        got = b""
        while data := sock.recv(4096):
            got += data
        sock.sendall(b"got " + got)

    with carried(answer_after_the_end) as gateway, gateway.connect() as sock:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock, 12) == b"got question"
        assert sock.recv(1) == b""


def test_the_service_may_end_first() -> None:
    heard = []

    def greet_and_listen(sock: socket.socket) -> None:
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(4096):
            heard.append(data)
        heard.append(b"END")

    with carried(greet_and_listen) as gateway, gateway.connect() as sock:
        assert receive(sock, 3) == b"bye"
        assert sock.recv(1) == b""
        sock.sendall(b"still here")
        eventually(lambda: b"".join(heard) == b"still here")
        sock.close()
        eventually(lambda: heard[-1] == b"END")


def test_a_reset_of_the_service_is_a_reset_for_the_client() -> None:
    def reset(sock: socket.socket) -> None:
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with carried(reset) as gateway, gateway.connect() as sock:
        sock.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_reset_of_the_client_is_a_reset_for_the_service() -> None:
    seen = []

    def watch(sock: socket.socket) -> None:
        try:
            while data := sock.recv(10):
                seen.append(data.decode())
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    with carried(watch) as gateway:
        sock = gateway.connect()
        sock.sendall(b"x")
        eventually(lambda: seen == ["x"])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        eventually(lambda: seen == ["x", "reset"])


def test_an_answer_that_comes_before_the_question_is_complete_arrives() -> None:
    def refuse_upload(sock: socket.socket) -> None:
        sock.recv(10)
        sock.sendall(b"413 too large")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    with carried(refuse_upload) as gateway, gateway.connect() as sock:
        sock.sendall(b"x" * 200_000)
        assert receive(sock, 13) == b"413 too large"


def test_nobody_behind_is_a_reset_at_once() -> None:
    server = Server(echo)
    with Gateway({"shop": server.port}) as gateway:
        server.close()
        with pytest.raises(ConnectionResetError), gateway.connect() as sock:
            sock.recv(1)


def test_a_thousand_connections_at_once_are_shared_by_the_workers(gateway: Gateway) -> None:
    shares = [0.0]
    for _ in range(10):  # a busy machine may stop one of the workers while the others accept
        if max(shares) > 0.2:
            break
        sockets = [gateway.connect() for _ in range(1000)]
        for number, sock in enumerate(sockets):
            sock.sendall(b"%04d" % number)
        for number, sock in enumerate(sockets):
            assert receive(sock, 4) == b"%04d" % number
        open_files = [
            len(list_fds(pid)) for name, pid in gateway.children.items() if name[:6] == "worker"
        ]
        assert len(open_files) == 2
        shares.append(min(open_files) / sum(open_files))
        for sock in sockets:
            sock.close()
        eventually(lambda: all(len(list_fds(pid)) < 100 for pid in gateway.children.values()))

    assert max(shares) > 0.2


def list_fds(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/fd")


def test_who_finds_no_descriptor_left_is_reset_and_leaves_nothing() -> None:
    def files() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in workers]

    def leave_three(pid: int) -> None:
        """An odd number: who is accepted with the last one cannot be carried on."""
        there = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
        free = (number for number in itertools.count() if number not in there)
        fourth = next(itertools.islice(free, 3, None))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (fourth, fourth))

    with carried() as gateway, contextlib.ExitStack() as opened:
        workers = [gateway.children[f"worker-{number}"] for number in range(2)]
        before = files()
        for pid in workers:
            leave_three(pid)
        clients = [opened.enter_context(socket.socket()) for _ in range(8)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", gateway.ports["shop"]))
        eventually(lambda: any(is_reset(client) for client in clients))
        opened.close()
        eventually(lambda: files() == before)


def is_reset(sock: socket.socket) -> bool:
    try:
        sock.recv(1)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return False


def test_an_idle_gateway_sleeps(gateway: Gateway) -> None:
    """Neither held connections nor ones whose peer has gone keep a worker busy."""
    gateway.put("apart", "partition")
    held = [gateway.connect() for _ in range(3)]
    held[0].sendall(b"x")
    held[1].shutdown(socket.SHUT_WR)
    held[2].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    held[2].close()

    def sleeps() -> bool:
        before, began = cpu_ticks(gateway), time.monotonic()
        time.sleep(1.0)
        return cpu_ticks(gateway) - before <= 5 * (time.monotonic() - began)

    eventually(sleeps)  # once it has seen to what came before
    for sock in held[:2]:
        sock.close()


def cpu_ticks(gateway: Gateway) -> int:
    total = 0
    for pid in gateway.children.values():
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total
