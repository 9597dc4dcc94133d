"""Engines of SQLAlchemy as scenarios and pytest fixtures use them."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from seatrial_runner.scenario.databases.drivers import Driver, sqlalchemy_url

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from seatrial_runner.scenario.tls import Tls

CONNECT_S = 10.0
_MOST_AT_ONCE = 64

# How long connecting may take in this thread: the pool has no way to hand it over.
_connecting = threading.local()


def connect_within(seconds: float) -> None:
    """Say how long the next connections of this thread may take to be made."""
    _connecting.seconds = seconds


def make_engine(url: str, *, autocommit: bool, tls: Tls | None = None) -> tuple[Engine, Driver]:
    """
    Make an engine.

    Args:
        url: As in SEATRIAL_CONNECTIONS: ``postgresql://``, ``mysql://`` or ``sqlite:///``.
        autocommit: Every statement by itself, on connections that are kept; otherwise a
            transaction for each connection, which is closed after it.
        tls: Speak TLS, with these authorities and certificates; None: the URL decides.

    Raises:
        UnusableUrlError: No database can be reached by this URL.
        TlsError: A text of ``tls`` is no certificate or key.
        ImportError: SQLAlchemy or the driver is not installed.
    """
    import sqlalchemy
    from sqlalchemy import event
    from sqlalchemy.exc import DisconnectionError
    from sqlalchemy.pool import NullPool, QueuePool

    made, driver = sqlalchemy_url(url)
    files = ExitStack()
    arguments = driver.arguments() | (driver.over_tls(tls, made.host or "", files) if tls else {})
    options: dict[str, Any] = {"connect_args": arguments}
    if autocommit:
        options |= {"poolclass": QueuePool, "pool_use_lifo": True}
        options |= {"pool_size": 8, "max_overflow": _MOST_AT_ONCE - 8, "pool_timeout": CONNECT_S}
        options["pool_reset_on_return"] = None
    else:
        options["poolclass"] = NullPool
    if autocommit and driver.dialect != "sqlite":
        options["isolation_level"] = "AUTOCOMMIT"
    engine = sqlalchemy.create_engine(made, **options)

    @event.listens_for(engine, "do_connect")
    def _in_time(dialect: Any, _r: Any, args: Any, parameters: dict[str, Any]) -> Any:
        seconds = getattr(_connecting, "seconds", CONNECT_S)
        parameters.update(driver.connect_timeout(seconds))
        if tls is None:
            return None  # SQLAlchemy connects
        try:
            return dialect.connect(*args, **parameters)
        except driver.error_type() as error:
            raise driver.handshake_error(error, tls, parameters) from error

    @event.listens_for(engine, "checkout")
    def _alive(connection: Any, record: Any, _proxy: Any) -> None:
        # NB: a database that was restarted between two steps is no failure of the second.
        if driver.is_broken(connection):
            raise DisconnectionError

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        driver.connected(connection)

    @event.listens_for(engine, "engine_disposed")
    def _disposed(_engine: Any) -> None:
        files.close()

    if driver.dialect == "sqlite" and not autocommit:

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("begin")

    return engine, driver
