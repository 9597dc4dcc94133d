"""Carries out a statement or a script on a connection, and reads what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seatrial_runner.scenario.databases.rows import read_rows
from seatrial_runner.scenario.databases.statements import Prepared

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from seatrial_runner.scenario.databases.drivers import Driver

_LIMIT = "seatrial_limit"


@dataclass(frozen=True)
class Result:
    """What a statement gave; of a script, its last statement that gave rows."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    count: int = 0


def limit_on_server(connection: Connection, driver: Driver, seconds: float) -> None:
    """Make the server end what takes longer, unless it knows."""
    record = connection.connection
    if record.info.get(_LIMIT) == seconds:
        return
    server = str(getattr(record.driver_connection, "server_version", ""))
    cursor = record.cursor()
    try:
        for statement in driver.limits(seconds, server):
            cursor.execute(statement)
    finally:
        cursor.close()
    record.info[_LIMIT] = seconds


def run_query(connection: Connection, prepared: Prepared, driver: Driver, most: int) -> Result:
    """
    Carry out one statement.

    Raises:
        RowsError: More rows than ``most``, or rows that are no map.
        Exception: Of the driver.
    """
    raw = connection.connection.driver_connection
    with driver.asked(raw, prepared.sql, prepared.values) as answer:
        if answer.columns is None:
            return Result(count=max(0, answer.count))
        rows = read_rows(answer.columns, answer.rows, most)
        return Result(rows, answer.columns, len(rows))


def run_script(connection: Connection, script: str, driver: Driver, most: int) -> Result:
    """
    Carry out several statements.

    PostgreSQL and MySQL take them in one message; PostgreSQL makes a transaction of them.

    Raises:
        RowsError: As ``run_query``.
        Exception: Of the driver.
    """
    cursor = connection.connection.cursor()
    found = Result()
    try:
        for _ in script_results(cursor, script, driver.dialect):
            if cursor.description:
                columns = [each[0] for each in cursor.description]
                rows = read_rows(columns, iter(cursor.fetchone, None), most)
                found = Result(rows, columns, len(rows))
            elif not found.columns:
                found = Result(count=found.count + max(0, cursor.rowcount))
    finally:
        cursor.close()
    return found


def script_results(cursor: Any, script: str, dialect: str) -> Iterator[None]:
    """Carry out a script; the cursor has the result of each statement in turn."""
    if dialect == "sqlite":
        for statement in _statements(script):
            cursor.execute(statement)
            yield
        return
    cursor.execute(script)
    yield
    more: Callable[[], Any] = cursor.nextset
    while more():
        yield


def _statements(script: str) -> Iterator[str]:
    """Split by SQLite's own rules, which know the body of a trigger."""
    import sqlite3

    pending = ""
    for part in script.split(";"):
        pending += f"{part};"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip(" \t\n;"):
        yield pending
