"""
What differs between psycopg, PyMySQL and sqlite3: time limits, how to cut them off, TLS.

The drivers are imported here, when the first connection is made.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from seatrial_runner.scenario.databases.urls import (
    UnusableUrlError,
    check_url,
    without_password,
)

if TYPE_CHECKING:
    from sqlalchemy import URL

    from seatrial_runner.scenario.tls import Tls

SCHEMES = ("postgresql", "postgres", "mysql", "mariadb", "sqlite")
_CHUNK = 200  # rows fetched at a time
_READS = re.compile(r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*(select|values|table|with)\b", re.I | re.S)
_WRITES = re.compile(r"\b(insert|update|delete|merge|into)\b", re.I)
_CUT_OFF_S = 1.0  # what asking the server to end a statement may take


@dataclass(frozen=True)
class Answer:
    """What a statement gave: columns and rows, which are fetched as they are read, or a count."""

    columns: list[str] | None
    rows: Iterator[Sequence[Any]]
    count: int = 0


class Driver(Protocol):
    """One of the drivers."""

    dialect: str
    url_keys: tuple[str, ...]  # what a URL may set after its "?"

    def error_type(self) -> type[Exception]:
        """Give the base of what it raises."""

    def arguments(self) -> dict[str, Any]:
        """Give arguments of every connection."""

    def connect_timeout(self, seconds: float) -> dict[str, Any]:
        """Give the arguments that limit how long connecting takes."""

    def over_tls(self, tls: Tls, host: str, files: contextlib.ExitStack) -> dict[str, Any]:
        """
        Give the arguments of connections over TLS; never is anything sent without.

        Args:
            tls: What the step says.
            host: Of the URL.
            files: Holds what has to be there for as long as connections are made.

        Raises:
            TlsError: A text is no certificate or key.
            UnusableUrlError: There is no TLS to such a database.
        """

    def handshake_error(self, error: Exception, tls: Tls, parameters: dict[str, Any]) -> Exception:
        """Give an error of connecting over TLS again, one that says what was wrong."""

    def connected(self, connection: Any) -> None:
        """See to a connection that was just made."""

    def limits(self, seconds: float, server: str) -> list[str]:
        """Give statements that make the server end what takes longer."""

    def asked(
        self, connection: Any, sql: str, values: Any
    ) -> contextlib.AbstractContextManager[Answer]:
        """
        Carry out a statement.

        Rows are not held: whoever stops reading has read no more than it looked at, and a little.
        """

    def cut_off(self, connection: Any) -> None:
        """End a statement from another thread: ask the server, else break the connection."""

    def in_transaction(self, connection: Any) -> bool:
        """Tell whether a transaction is open."""

    def is_doomed(self, connection: Any) -> bool:
        """Tell whether a transaction is open that can only be rolled back."""

    def is_closed(self, connection: Any) -> bool:
        """Tell whether the driver knows that a connection is no longer of use."""

    def is_broken(self, connection: Any) -> bool:
        """Tell whether an idle connection was closed by the other side; costs no round trip."""


def sqlalchemy_url(url: str) -> tuple[URL, Driver]:
    """
    Give the URL as SQLAlchemy has it, and the driver for it.

    Raises:
        UnusableUrlError: It cannot be read, or asks for what is not allowed.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    scheme, _, rest = url.partition("://")
    driver = _DRIVERS[scheme.partition("+")[0]]
    try:
        made = make_url(f"{driver.name}://{rest}")
        for host in (made.host or "").split(","):
            host.encode("idna")  # or whoever connects has no words for it
    except (ArgumentError, ValueError) as error:
        raise UnusableUrlError(f"{without_password(url)} is no URL of a database") from error
    check_url(url, made, driver.dialect, driver.url_keys)
    return made, driver


def import_driver(url: str) -> None:
    """Import what a URL needs, without connecting; its absence is told by who connects."""
    found = _DRIVERS.get(url.partition("://")[0].partition("+")[0])
    if found is None:
        return
    with contextlib.suppress(ImportError):
        import sqlalchemy

        sqlalchemy.create_engine(f"{found.name}://").dispose()


def driver_of(dialect: str) -> Driver:
    """Give the driver of a dialect."""
    found: Driver = _DRIVERS[dialect]
    return found


def dialect_of(url: str) -> str:
    """Give ``postgresql``, ``mysql`` or ``sqlite``, of a URL with one of ``SCHEMES``."""
    return str(_DRIVERS[url.partition("://")[0].partition("+")[0]].dialect)


class _Postgresql:
    name = "postgresql+psycopg"
    dialect = "postgresql"
    url_keys = ("application_name", "connect_timeout", "sslmode", "target_session_attrs")

    def error_type(self) -> type[Exception]:
        import psycopg

        return psycopg.Error

    def arguments(self) -> dict[str, Any]:
        # Statements of a scenario are seldom sent five times, and a pool of connections between
        # (pgbouncer) takes no prepared ones.
        return {"application_name": "seatrial", "prepare_threshold": None}

    def connect_timeout(self, seconds: float) -> dict[str, Any]:
        return {"connect_timeout": max(2, math.ceil(seconds))}

    def over_tls(self, tls: Tls, host: str, files: contextlib.ExitStack) -> dict[str, Any]:
        from seatrial_runner.scenario.tls import as_file, context_of

        context_of(tls)  # says which text is no good; libpq says only that one is not
        arguments = {"sslmode": "verify-full" if tls.verify else "require"}
        if tls.verify and tls.ca:
            arguments["sslrootcert"] = files.enter_context(as_file(tls.ca))
        elif tls.verify:
            import certifi

            arguments["sslrootcert"] = certifi.where()
        if tls.cert:
            arguments["sslcert"] = files.enter_context(as_file(tls.cert))
            arguments["sslkey"] = files.enter_context(as_file(tls.key))
        if tls.serverName:
            arguments |= {"host": tls.serverName, "hostaddr": _address(host)}
        return arguments

    def handshake_error(self, error: Exception, tls: Tls, parameters: dict[str, Any]) -> Exception:
        if "certificate" not in str(error):
            return error
        from seatrial_runner.scenario.databases.handshake import handshake_problem

        host = parameters.get("hostaddr") or parameters.get("host") or "localhost"
        problem = handshake_problem(host, int(parameters.get("port") or 5432), tls)
        return type(error)(problem) if problem else error

    def connected(self, connection: Any) -> None:
        pass

    def limits(self, seconds: float, server: str) -> list[str]:
        return [f"set statement_timeout = {math.ceil(seconds * 1000)}"]

    @contextlib.contextmanager
    def asked(self, connection: Any, sql: str, values: Any) -> Iterator[Answer]:
        with connection.cursor() as cursor:
            if isinstance(values, list):
                cursor.executemany(sql, values)
            elif _only_reads(sql):
                # NB: an ordinary cursor holds the whole result, however large.
                rows = cursor.stream(sql, values, size=_CHUNK)
                with contextlib.closing(rows):
                    first = next(rows, None)
                    if first is None:
                        yield Answer(self._columns(connection), iter(()))
                    else:
                        columns = [each.name for each in cursor.description]
                        yield Answer(columns, chain([first], rows))
                return
            else:
                cursor.execute(sql, values)
            yield _answer(cursor)

    def _columns(self, connection: Any) -> list[str]:
        """Ask for the columns of the last statement, whose result had no rows to tell them."""
        described = connection.pgconn.describe_prepared(b"")
        encoding = connection.info.encoding
        return [described.fname(n).decode(encoding) for n in range(described.nfields)]

    def cut_off(self, connection: Any) -> None:
        # Whatever stands in the way of asking nicely: then the socket is shut.
        with contextlib.suppress(Exception):
            connection.cancel_safe(timeout=_CUT_OFF_S)
            return
        _shut(connection.fileno())

    def in_transaction(self, connection: Any) -> bool:
        from psycopg.pq import TransactionStatus

        status = connection.info.transaction_status
        return status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def is_doomed(self, connection: Any) -> bool:
        from psycopg.pq import TransactionStatus

        return bool(connection.info.transaction_status == TransactionStatus.INERROR)

    def is_closed(self, connection: Any) -> bool:
        return bool(connection.closed)

    def is_broken(self, connection: Any) -> bool:
        return bool(connection.closed) or _has_news(connection.fileno())


class _Mysql:
    name = "mysql+pymysql"
    dialect = "mysql"
    url_keys = ("charset", "connect_timeout")

    def error_type(self) -> type[Exception]:
        import pymysql

        return pymysql.MySQLError

    def arguments(self) -> dict[str, Any]:
        from pymysql.constants import CLIENT

        # NB: FOUND_ROWS is SQLAlchemy's, which what is given here replaces: rowCount of an update
        # is that of the rows it met, as in PostgreSQL.
        return {"local_infile": False, "client_flag": CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS}

    def connect_timeout(self, seconds: float) -> dict[str, Any]:
        # A server that takes the connection and says nothing is waited for as long.
        return {"connect_timeout": max(1, math.ceil(seconds)), "read_timeout": seconds}

    def over_tls(self, tls: Tls, host: str, files: contextlib.ExitStack) -> dict[str, Any]:
        from seatrial_runner.scenario.tls import context_of

        return {"ssl": context_of(tls)}

    def handshake_error(self, error: Exception, tls: Tls, parameters: dict[str, Any]) -> Exception:
        return error  # it holds what ssl says

    def connected(self, connection: Any) -> None:
        connection._read_timeout = None  # from now on, statements have limits of their own

    def limits(self, seconds: float, server: str) -> list[str]:
        waits = f"set session innodb_lock_wait_timeout = {max(1, math.ceil(seconds))}"
        if "MariaDB" in server:
            return [f"set session max_statement_time = {seconds:.3f}", waits]
        return [f"set session max_execution_time = {math.ceil(seconds * 1000)}", waits]

    @contextlib.contextmanager
    def asked(self, connection: Any, sql: str, values: Any) -> Iterator[Answer]:
        from pymysql.cursors import Cursor, SSCursor

        many = isinstance(values, list)
        cursor = connection.cursor(Cursor if many else SSCursor)
        try:
            (cursor.executemany if many else cursor.execute)(sql, values)
            yield _answer(cursor)
            left = cursor.description and cursor.fetchone() is not None
        except BaseException:
            left = bool(connection.open and connection._result and cursor.description)
            raise
        finally:
            if left:
                # To close the cursor, or to forget the result, is to read all that is left.
                connection._result.unbuffered_active = False
                connection._force_close()
                cursor.connection = None
            cursor.close()

    def cut_off(self, connection: Any) -> None:
        # As above.
        with contextlib.suppress(Exception):
            self._kill(connection)
            return
        # Whoever waited may have found it broken meanwhile, and closed it.
        if (left := connection._sock) is not None:
            _shut(left.fileno())

    def _kill(self, connection: Any) -> None:
        import pymysql

        second = pymysql.connect(
            host=connection.host,
            port=connection.port,
            user=connection.user,
            password=connection.password,
            connect_timeout=_CUT_OFF_S,
            read_timeout=_CUT_OFF_S,
            ssl=connection.ctx if connection._ssl_required else None,
        )
        try:
            second.cursor().execute(f"kill query {int(connection.thread_id())}")
        finally:
            second.close()

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection.server_status & 1)  # SERVER_STATUS_IN_TRANS

    def is_doomed(self, connection: Any) -> bool:
        return False  # it rolls the statement back, or the transaction at once

    def is_closed(self, connection: Any) -> bool:
        return not connection.open

    def is_broken(self, connection: Any) -> bool:
        held = connection._sock
        return held is None or _has_news(held.fileno())


class _Sqlite:
    name = "sqlite+pysqlite"
    dialect = "sqlite"
    url_keys = ("cache", "mode", "timeout", "uri")

    def error_type(self) -> type[Exception]:
        import sqlite3

        return sqlite3.Error

    def arguments(self) -> dict[str, Any]:
        return {"check_same_thread": False}

    def connect_timeout(self, seconds: float) -> dict[str, Any]:
        return {}

    def over_tls(self, tls: Tls, host: str, files: contextlib.ExitStack) -> dict[str, Any]:
        raise UnusableUrlError("tls: SQLite is a file, to which there is no connection")

    def handshake_error(self, error: Exception, tls: Tls, parameters: dict[str, Any]) -> Exception:
        return error

    def connected(self, connection: Any) -> None:
        # It would begin and end transactions by itself.
        connection.isolation_level = None
        connection.execute("pragma foreign_keys = on")

    def limits(self, seconds: float, server: str) -> list[str]:
        return [f"pragma busy_timeout = {math.ceil(seconds * 1000)}"]

    @contextlib.contextmanager
    def asked(self, connection: Any, sql: str, values: Any) -> Iterator[Answer]:
        cursor = connection.cursor()
        try:
            (cursor.executemany if isinstance(values, list) else cursor.execute)(sql, values or ())
            yield _answer(cursor)
        finally:
            cursor.close()

    def cut_off(self, connection: Any) -> None:
        connection.interrupt()

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection.in_transaction)

    def is_doomed(self, connection: Any) -> bool:
        return False

    def is_closed(self, connection: Any) -> bool:
        return False

    def is_broken(self, connection: Any) -> bool:
        return False


_DRIVERS: dict[str, Any] = {
    "postgresql": _Postgresql(),
    "postgres": _Postgresql(),
    "mysql": _Mysql(),
    "mariadb": _Mysql(),
    "sqlite": _Sqlite(),
}


def _answer(cursor: Any) -> Answer:
    if cursor.description is None:
        return Answer(None, iter(()), cursor.rowcount)
    return Answer([each[0] for each in cursor.description], iter(cursor.fetchone, None))


def _only_reads(sql: str) -> bool:
    """Tell whether a statement surely gives rows: what else it is, is carried out the usual way."""
    first = _READS.match(sql)
    return bool(first) and not _WRITES.search(sql)


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise UnusableUrlError(f"there is no host {host!r}") from error


def _has_news(descriptor: int) -> bool:
    """Tell whether something came that nobody asked for: a farewell, or the end."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def _shut(descriptor: int) -> None:
    """Break a connection, so that whoever waits for it hears of it."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as broken:
        broken.shutdown(socket.SHUT_RDWR)
