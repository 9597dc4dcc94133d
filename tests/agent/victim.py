"""
A container under test: answers what it is sent, names too, and has a child that does so as well.

Run as ``python victim.py VOLUME``: as the first process of its PID namespace.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading

_ANSWER_S = 2.0  # a busy machine may take as long for an answer that does come


def echo_udp(port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind(("", port))
        while True:
            data, sender = opened.recvfrom(65535)
            opened.sendto(data, sender)


def echo_tcp(port: int) -> None:
    with socket.create_server(("", port)) as listening:
        while True:
            client, _ = listening.accept()
            threading.Thread(target=echo_one, args=(client,), daemon=True).start()


def echo_one(client: socket.socket) -> None:
    with client:
        while data := client.recv(65536):
            client.sendall(data)


def write_on(volume: str) -> None:
    """Answer on UDP 9 whether 64 KiB can be written."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("", 9))
        while True:
            _, sender = opened.recvfrom(100)
            try:
                with open(f"{volume}/file", "wb") as file:
                    file.write(bytes(65536))
                answer = b"written"
            except OSError as error:
                answer = os.strerror(error.errno or 0).encode()
            os.unlink(f"{volume}/file")
            opened.sendto(answer, sender)


def look_up() -> None:
    """Answer on UDP 10 what a server says to a question; by UDP from one socket for ever."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver4,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as resolver6,
    ):
        opened.bind(("", 10))
        resolver4.settimeout(_ANSWER_S)
        resolver6.settimeout(_ANSWER_S)
        while True:
            data, sender = opened.recvfrom(2000)
            how, server, question = data.split(b" ", 2)
            try:
                if how == b"tcp":
                    with socket.create_connection((server.decode(), 53), _ANSWER_S) as stream:
                        stream.sendall(struct.pack("!H", len(question)) + question)
                        answer = stream.recv(2000)[2:]
                else:
                    resolver = resolver6 if b":" in server else resolver4
                    resolver.connect((server.decode(), 53))
                    resolver.send(question)
                    answer = resolver.recv(2000)
            except OSError as error:
                answer = type(error).__name__.encode()
            opened.sendto(answer, sender)


def serve(port: int, volume: str) -> None:
    threading.Thread(target=echo_udp, args=(port,), daemon=True).start()
    if port == 7:
        threading.Thread(target=write_on, args=(volume,), daemon=True).start()
        threading.Thread(target=look_up, daemon=True).start()
    echo_tcp(port)


if __name__ == "__main__":
    serve(7 if os.fork() else 8, sys.argv[1])
