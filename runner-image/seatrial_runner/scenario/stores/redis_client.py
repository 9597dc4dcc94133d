"""
Connections to Redis.

Its client's own commands give each answer a type of their own; here an answer is what the protocol
says (RESP3), as ``redis-cli`` shows it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

    from seatrial_runner.scenario.tls import Tls

MAX_BYTES = 4 * 1024 * 1024


class Store:
    """
    The connections of one scenario to one server. Thread-safe.

    Raises:
        TlsError: A text of ``tls`` is no certificate or key.
        ValueError: The URL sets what the client does not know, or a value that is none.
    """

    def __init__(self, url: str, tls: Tls | None = None) -> None:
        from redis import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.maint_notifications import MaintNotificationsConfig
        from redis.retry import Retry

        self._lock = threading.Lock()
        self._idle: list[AbstractConnection] = []
        self._sessions: dict[str, tuple[threading.Lock, AbstractConnection]] = {}
        pool: Any = ConnectionPool.from_url(
            url,
            protocol=3,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **_secure(url, tls),
        )
        self._make = lambda: pool.connection_class(**pool.connection_kwargs)
        check_parameters(pool)

    @contextmanager
    def connection(self, session: str | None, seconds: float) -> Iterator[AbstractConnection]:
        """
        Lend a connection: that of a session, or one that nobody uses.

        Raises:
            TimeoutError: Another branch uses the session.
        """
        if session is not None:
            with self._lock:
                lock, connection = self._sessions.setdefault(
                    session, (threading.Lock(), self._make())
                )
            if not lock.acquire(timeout=max(0.0, seconds)):
                raise TimeoutError(f"another branch is using session {session!r}")
            try:
                yield connection
            finally:
                lock.release()
            return
        with self._lock:
            connection = self._idle.pop() if self._idle else self._make()
        try:
            yield connection
        finally:
            with self._lock:
                self._idle.append(connection)

    def close(self) -> None:
        """Close every connection."""
        for connection in [*self._idle, *(each for _, each in self._sessions.values())]:
            # It may have died with its service in any way; the others must be closed too.
            with suppress(Exception):
                connection.disconnect()


def check_parameters(pool: Any) -> None:
    """Refuse what its URL sets and no connection has: raises ValueError."""
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        name = str(error).rpartition(" ")[2]
        raise ValueError(f"the URL's parameter {name} is none of Redis: leave it out") from error


def _secure(url: str, tls: Tls | None) -> dict[str, Any]:
    """Give what the pool has to know where TLS is spoken: authorities are texts, not files."""
    if tls is None and not url.startswith("rediss:"):
        return {}
    from redis.connection import SSLConnection
    from redis.exceptions import ConnectionError as RedisConnectionError

    from seatrial_runner.scenario.tls import context_of

    context = context_of(tls)

    class Secure(SSLConnection):
        def _wrap_socket_with_ssl(self, sock: Any) -> Any:
            try:
                return context.wrap_socket(sock, server_hostname=self.host)
            except TimeoutError as error:
                # Redis without TLS takes the handshake for a command that goes on.
                text = "no answer to the TLS handshake: does the server speak TLS?"
                raise RedisConnectionError(text) from error

    return {"connection_class": Secure}


def ask(connection: AbstractConnection, commands: list[list[bytes]], seconds: float) -> list[Any]:
    """
    Send commands in one message, and read an answer to each; errors are among them.

    Raises:
        redis.exceptions.RedisError: The server cannot be reached, let nobody in, or was too slow.
    """
    from redis.exceptions import ResponseError

    connection.socket_connect_timeout = seconds
    connection.socket_timeout = seconds
    if connection.is_connected and _has_news(connection):
        connection.disconnect()
    connection.connect()
    answers: list[Any] = []
    try:
        connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        for _ in commands:
            try:
                answers.append(connection.read_response(timeout=seconds))
            except ResponseError as error:
                answers.append(error)
    except BaseException:
        connection.disconnect()
        raise
    return answers


def _has_news(connection: AbstractConnection) -> bool:
    """Tell whether something came while nobody asked: a farewell, as of a restarted server."""
    from redis.exceptions import RedisError

    try:
        return bool(connection.can_read(timeout=0))
    except (RedisError, OSError):
        return True
