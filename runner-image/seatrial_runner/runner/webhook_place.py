"""Where the webhooks of this process listen."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from seatrial_runner.scenario.world import WebhookPlace


def webhook_place(option: str, conductor_url: str) -> WebhookPlace:
    """
    Give where webhooks listen.

    Args:
        option: ``HOST:PORT`` from the command line; empty: as fits.
        conductor_url: In a test pod, where services reach us by the pod's own address; else empty.

    Raises:
        ValueError: The option is said wrongly.
    """
    if option:
        host, _, port = option.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"--webhooks {option}: write HOST:PORT, as in 127.0.0.1:9000")
        return WebhookPlace(host.strip("[]"), int(port))
    if conductor_url:
        return WebhookPlace(*_own_address(conductor_url))
    return WebhookPlace()


def _own_address(url: str) -> tuple[str, int, str]:
    """Give where to listen in a pod, and the pod's address as its conductor sees it."""
    parts = urlsplit(url)
    for family, kind, protocol, _, address in socket.getaddrinfo(
        parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # of a datagram: nothing is sent
            own: str = probe.getsockname()[0]
        return ("::" if family is socket.AF_INET6 else "0.0.0.0", 0, own)  # noqa: S104 - a pod's
    return ("0.0.0.0", 0, "")  # noqa: S104
