"""The databases of one scenario: an engine for each URL, and transactions by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seatrial_runner.scenario.databases.drivers import Driver
from seatrial_runner.scenario.databases.engines import make_engine
from seatrial_runner.scenario.databases.watchdog import Watchdog

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from seatrial_runner.scenario.tls import Tls

# By the word of a scenario: SQLAlchemy's.
ISOLATION = {
    "readUncommitted": "READ UNCOMMITTED",
    "readCommitted": "READ COMMITTED",
    "repeatableRead": "REPEATABLE READ",
    "serializable": "SERIALIZABLE",
}


class TransactionError(Exception):
    """A transaction that is not as a step says; the message says how it is."""


@dataclass
class Transaction:
    """
    A transaction that several steps are part of, on a connection of its own.

    Attributes:
        lock: Held by the step that uses it: branches may share a transaction, one at a time.
    """

    name: str
    url: str
    isolation: str | None
    connection: Connection | None = None
    driver: Driver | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, engine: Engine, driver: Driver) -> Connection:
        """Give its connection; the first time it is made, and the transaction begun."""
        if self.connection is None:
            connection = engine.connect()
            try:
                # Of SQLite's transactions, each is serializable.
                if self.isolation and driver.dialect != "sqlite":
                    connection.execution_options(isolation_level=ISOLATION[self.isolation])
                connection.begin()
            except BaseException:
                connection.close()
                raise
            self.connection, self.driver = connection, driver
        return self.connection


class Databases:
    """Opened by the first step that needs it, closed with the scenario. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engines: dict[tuple[str, Tls | None, bool], tuple[Engine, Driver]] = {}
        self._transactions: dict[str, Transaction] = {}
        self.watchdog = Watchdog()

    def engine(
        self, url: str, tls: Tls | None = None, *, autocommit: bool
    ) -> tuple[Engine, Driver]:
        """Give the engine of a URL; raises what ``make_engine`` raises."""
        with self._lock:
            key = (url, tls, autocommit)
            if key not in self._engines:
                self._engines[key] = make_engine(url, autocommit=autocommit, tls=tls)
            return self._engines[key]

    def join(self, name: str, url: str, isolation: str | None) -> Transaction:
        """
        Give the transaction of a name; there is one from now on.

        Raises:
            TransactionError: It is one of another database, or of another isolation.
        """
        with self._lock:
            found = self._transactions.setdefault(name, Transaction(name, url, isolation))
        if found.url != url:
            raise TransactionError(f"transaction {name!r} is one of another database")
        if isolation not in (None, found.isolation):
            begun = f"with isolation {found.isolation}" if found.isolation else "without isolation"
            raise TransactionError(
                f"transaction {name!r} was begun {begun}: say isolation where it begins"
            )
        return found

    def leave(self, name: str) -> Transaction:
        """
        Give a transaction up, to be ended by the caller.

        Raises:
            TransactionError: There is none of this name.
        """
        with self._lock:
            found = self._transactions.pop(name, None)
            if found is None:
                known = ", ".join(sorted(self._transactions)) or "none"
                raise TransactionError(f"no transaction {name!r} is open; open are: {known}")
        return found

    def close(self) -> None:
        """Roll back what is open, and close every connection."""
        with ExitStack() as stack:
            stack.callback(self.watchdog.close)
            for engine, _ in self._engines.values():
                stack.callback(engine.dispose)
            for transaction in self._transactions.values():
                if transaction.connection is not None and transaction.driver is not None:
                    stack.callback(_abandon, transaction, self.watchdog)


def _abandon(transaction: Transaction, watchdog: Watchdog) -> None:
    assert transaction.connection is not None
    assert transaction.driver is not None
    with in_time(transaction.connection, transaction.driver, watchdog, 2.0):
        transaction.connection.close()  # rolls back


@contextmanager
def in_time(
    connection: Connection, driver: Driver, watchdog: Watchdog, seconds: float
) -> Iterator[Callable[[], bool]]:
    """Let the body use a connection for so long; gives a function that says whether it is over."""
    raw: Any = connection.connection.driver_connection
    with watchdog.limit(seconds, lambda: driver.cut_off(raw)) as limited:
        yield lambda: limited.over
