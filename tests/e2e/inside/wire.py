"""The peer's protocol from a test's side (``peer.py``), over plain sockets."""

import socket
import time


class Wire:
    """One connection to a peer, after its first line has been sent."""

    def __init__(self, address, first, timeout=5.0):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.send(f"{first}\n".encode())
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def get(self, count, timeout=5.0):
        """Give so many bytes, or those that came before the end or the timeout."""
        self.socket.settimeout(timeout)
        end = time.monotonic() + timeout
        got = bytearray()
        while len(got) < count:
            try:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
                data = self.socket.recv(count - len(got))
            except TimeoutError:
                break
            if not data:
                break
            got += data
        return bytes(got)

    def line(self, timeout=5.0):
        got = bytearray()
        while not got.endswith(b"\n"):
            one = self.get(1, timeout)
            if not one:
                break
            got += one
        return got.decode().rstrip("\n")

    def ask(self, data, timeout=5.0):
        """Send, and give what comes back of the same length, or less if it does not come."""
        self.send(data)
        return self.get(len(data), timeout)

    def ended(self, timeout=5.0):
        """Tell whether the other side closes in time."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False


def echo(address, timeout=5.0, through=None):
    """
    Give a connection that echoes.

    Args:
        through: Address of another peer that dials it, so that the traffic is that service's.
    """
    if through is None:
        return Wire(address, "echo", timeout)
    wire = Wire(through, f"dial {address[0]} {address[1]}", timeout)
    wire.send(b"echo\n")
    return wire


def http_status(address, through=None):
    """
    Give the status of an answer of HTTP.

    Args:
        through: As for ``echo``.
    """
    host, port = address
    request = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r"
    first = request if through is None else f"dial {host} {port}"
    with Wire(through or address, first) as wire:
        if through is not None:
            wire.send(f"{request}\n".encode())
        return int(wire.line().split()[1])


class Datagrams:
    """Numbered datagrams to a peer that sends them back; all numbers that have come, in order."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.sent = 0
        self.came = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def exchange(self, count=20, timeout=0.5):
        """Send the next so many; wait for as many, and a moment longer for what is too many."""
        first, wanted = len(self.came), len(self.came) + count
        for number in range(self.sent, self.sent + count):
            self.socket.send(str(number).encode())
        self.sent += count
        while True:
            try:
                self.socket.settimeout(timeout if len(self.came) < wanted else 0.05)
                self.came.append(int(self.socket.recv(100)))
            except TimeoutError:
                return self.came[first:]

    def are_whole(self, times=10):
        """Tell whether 200 in a row come back once and in order, at one of several attempts."""

        def whole():
            first = self.sent
            return self.exchange(timeout=5) == list(range(first, self.sent))

        return any(all(whole() for _ in range(10)) for _ in range(times))

    def since(self, first):
        """Give the numbers from this one on that have come."""
        return [each for each in self.came if each >= first]


def command(address, text, timeout=5.0):
    """Give the answer to a command of one line."""
    with Wire(address, text, timeout) as wire:
        wire.socket.settimeout(timeout)
        got = bytearray()
        while data := wire.socket.recv(65536):
            got += data
        return got.decode().rstrip("\n")


def round_trip(address, through=None, times=3):
    """
    Give the seconds that an echo takes, on a new connection.

    The quickest of a few: a busy machine adds to each, and takes nothing away.
    """
    with echo(address, through=through) as wire:
        wire.ask(b"warm")  # the relay's connection, and the gateway's, are there now

        def took():
            began = time.monotonic()
            assert wire.ask(b"ping") == b"ping"
            return time.monotonic() - began

        return min(took() for _ in range(times))


def is_alive(wire, timeout=5.0):
    """Tell whether a connection still echoes."""
    try:
        return wire.ask(b"live?", timeout) == b"live?"
    except OSError:
        return False


def reaches(address, through=None, timeout=5.0):
    """Tell whether a new connection echoes."""
    try:
        with echo(address, timeout, through) as wire:
            return is_alive(wire, timeout)
    except OSError:
        return False
