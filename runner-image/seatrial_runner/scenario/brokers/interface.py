"""What a broker's adapter gives and takes; one module per broker."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from seatrial_runner.scenario.redaction import cut

# How long an adapter tries to connect, and waits for what a service has yet to declare.
CONNECT_S = 10.0
# Pauses between tries to connect again.
_ERRNO = re.compile(r"\b(?:Errno|Error) (\d+)\b")
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0


@dataclass
class BrokerError(Exception):
    """
    What a broker refuses, or that it cannot be reached.

    Attributes:
        message: One line, with the broker's address and without a password.
        permanent: Trying again cannot help.
    """

    message: str
    permanent: bool = False

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Place:
    """Where messages are published, or read, and how: the fields of the step, filled in."""

    topic: str = ""
    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    subject: str = ""
    stream: str = ""
    group: str = ""
    field: str = "data"
    qos: int = 1
    earlier: bool = False
    consume: bool = False

    def __str__(self) -> str:
        names = ("topic", "queue", "exchange", "routing_key", "subject", "stream", "group")
        parts = [
            f"{name.replace('_', ' ')} {value}" for name in names if (value := getattr(self, name))
        ]
        return ", ".join(parts)


class Arrived(NamedTuple):
    """
    A message as it came; made of what ``marshal`` can write.

    Attributes:
        topic: Where it was published: topic, routing key, subject, stream.
        body: As it came.
        at: When, by the broker, in seconds since 1970; 0 if it does not say.
        key: None if there is none.
        headers: Texts, or JSON values where a broker has them.
        more: What only some brokers say, by the name in ``seatrial.api.observations``.
    """

    topic: str
    body: bytes | None
    at: float = 0.0
    key: bytes | None = None
    headers: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's; nobody writes to it
    more: dict[str, Any] = {}  # noqa: RUF012


@dataclass(frozen=True)
class Outgoing:
    """A message to publish."""

    body: bytes
    key: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    partition: int | None = None
    retain: bool = False


class Receiver(Protocol):
    """Takes what a subscription delivers; can be called from any thread."""

    def deliver(self, batch: Sequence[Arrived]) -> None:
        """Take messages, in the order in which the broker gave them."""

    def missed(self, note: str) -> None:
        """Be told that messages may have been missed, and why."""

    def waiting(self, why: str, *, away: bool = False) -> None:
        """
        Be told that nothing can come at the moment, and why; or, with no reason, that it can.

        ``away``: messages may be waiting where the subscription cannot see them.
        """

    def broken(self, message: str) -> None:
        """Be told that no more messages will come, and why."""


class Broker(Protocol):
    """An adapter, on the scenario's event loop. What it raises is a BrokerError."""

    async def start(self) -> None:
        """Connect, and see that the broker takes the credentials."""

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        """
        Open a subscription, which lasts until ``close``.

        When it returns, whatever is published from then on will be delivered; after the broker
        has been away as well, where it keeps messages, and else ``missed`` is called.
        """

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        """Publish messages in order; returns when the broker has taken all of them."""

    async def backlog(self, place: Place) -> int:
        """Count what waits in a queue, or for a group, and read nothing of it."""

    async def close(self) -> None:
        """End subscriptions and connections, and remove what was made for them."""


def address(url: str) -> str:
    """Give host and port of a URL, for messages."""
    return urlsplit(url).netloc.rpartition("@")[2]


def host_and_port(url: str, port: int) -> tuple[str, int]:
    """Give host and port of a URL, with the broker's own port if it has none."""
    parts = urlsplit(url)
    return parts.hostname or "localhost", parts.port or port


def credentials(url: str) -> tuple[str | None, str | None]:
    """Give user and password of a URL."""
    parts = urlsplit(url)
    user, password = parts.username, parts.password
    return (unquote(user) if user else None), (unquote(password) if password else None)


def because(error: BaseException) -> str:
    """Say why a connection failed, on a line: as the system says it, if that is behind it."""
    if refused := next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None):
        # Its number is one of TLS, not of the system.
        from seatrial_runner.scenario.tls import tls_problem

        return tls_problem(str(refused), "the server") or str(refused)
    text = cut(str(error).strip().partition("\n")[0], 300) or type(error).__name__
    for cause in _causes(error):
        number = getattr(cause, "errno", None)
        # Not of getaddrinfo, whose numbers mean something else.
        if isinstance(cause, OSError) and isinstance(number, int) and number > 0:
            return os.strerror(number).lower()
        if isinstance(cause, socket.gaierror):
            return "no such host"
        if found := _ERRNO.search(str(cause)):
            return os.strerror(int(found[1])).lower()
    return text


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error, and what is behind it; NB: that may be the error itself, as with aiormq."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(cause is each for each in seen):
        seen.append(cause)
        yield cause
        cause = cause.__cause__ or cause.__context__


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """
    Cancel tasks, and wait until they have ended.

    A cancellation that meets an answer at the same moment gets lost in some clients: so it is
    repeated.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=0.02)
        for task in ended:
            if not task.cancelled():
                task.exception()


def pauses() -> Iterator[float]:
    """Give the pauses between tries to connect again: they grow."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(pause * 2, LAST_PAUSE_S)
