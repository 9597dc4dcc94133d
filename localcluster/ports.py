"""Free ports of this machine, for servers of tests."""

from __future__ import annotations

import random
import socket

from localcluster.layout import LocalClusterError

# Below the ports that the kernel gives to clients (from 32768) and a cluster to its nodes (from
# 30000): a port that the kernel chose is free only until the next connection of anyone.
_PORTS = range(12_000, 29_000)
_next = iter(random.SystemRandom().sample(_PORTS, len(_PORTS)))


def free_port() -> int:
    """Find a port that nobody listens on, on any address; never the same one twice."""
    for port in _next:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("", port))
            except OSError:
                continue
            return port
    raise LocalClusterError("no port is free between 12000 and 29000: end what listens there")


def free_ports(count: int) -> list[int]:
    """Find several of them."""
    return [free_port() for _ in range(count)]
