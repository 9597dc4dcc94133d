"""Removes what tests left in tables, and looks whether anything is there still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seatrial_runner.scenario.databases.drivers import driver_of
from seatrial_runner.scenario.databases.errors import seen_error
from seatrial_runner.scenario.databases.loading import quoted

Tags = Mapping[str, Any]


def truncate(raw: Any, dialect: str, tables: Sequence[str]) -> None:
    """
    Empty tables, and let their numbers begin anew.

    Tables that refer to these, and are not among them, are left alone: the database refuses it.
    """
    cursor = raw.cursor()
    try:
        if dialect == "postgresql":
            names = ", ".join(quoted(each, dialect) for each in tables)
            cursor.execute(f"truncate {names} restart identity")
            return
        delete(raw, dialect, tables, {})
        for table in tables:
            if dialect == "mysql":
                cursor.execute(f"alter table {quoted(table, dialect)} auto_increment = 1")
            else:
                cursor.execute("select 1 from sqlite_master where name = 'sqlite_sequence'")
                if cursor.fetchone():
                    cursor.execute("delete from sqlite_sequence where name = ?", (table,))
    finally:
        cursor.close()


def empty(raw: Any, dialect: str, tables: Sequence[str]) -> None:
    """Empty tables; one that others may refer to, which cannot be truncated, row by row."""
    if dialect != "postgresql":
        truncate(raw, dialect, tables)
        return
    from psycopg.errors import FeatureNotSupported

    cursor = raw.cursor()
    try:
        cursor.execute("savepoint seatrial_truncate")
        try:
            truncate(raw, dialect, tables)
        except FeatureNotSupported:
            cursor.execute("rollback to savepoint seatrial_truncate")
            delete(raw, dialect, tables, {})
    finally:
        cursor.close()


def delete(raw: Any, dialect: str, tables: Sequence[str], tags: Tags) -> None:
    """
    Delete rows with these values in their columns; all, without any.

    Tables may stand in any order: one that others still refer to waits until those are done.
    """
    waiting = list(tables)
    while waiting:
        held: list[str] = []
        reason: BaseException | None = None
        for table in waiting:
            error = _deleted(raw, dialect, table, tags)
            if error is not None:
                held.append(table)
                reason = error
        if reason is not None and len(held) == len(waiting):
            raise reason
        waiting = held


def _deleted(raw: Any, dialect: str, table: str, tags: Tags) -> BaseException | None:
    """Try one table; gives the error if it is referred to."""
    statement = f"delete from {quoted(table, dialect)}{_where(tags, dialect)}"
    cursor = raw.cursor()
    try:
        # In PostgreSQL a failed statement would take the whole transaction with it.
        cursor.execute("savepoint seatrial_delete")
        try:
            cursor.execute(statement, _values(tags, dialect))
        except driver_of(dialect).error_type() as error:
            if seen_error(error, dialect).name != "foreignKeyViolation":
                raise
            cursor.execute("rollback to savepoint seatrial_delete")
            return error
        cursor.execute("release savepoint seatrial_delete")
        return None
    finally:
        cursor.close()


def left(raw: Any, dialect: str, tables: Sequence[str], tags: Tags) -> dict[str, int]:
    """Count the rows with these values in their columns, by table."""
    cursor = raw.cursor()
    try:
        found = {}
        for table in tables:
            statement = f"select count(*) from {quoted(table, dialect)}{_where(tags, dialect)}"
            cursor.execute(statement, _values(tags, dialect))
            found[table] = int(cursor.fetchone()[0])
        return found
    finally:
        cursor.close()


def _where(tags: Tags, dialect: str) -> str:
    mark = "?" if dialect == "sqlite" else "%s"
    conditions = [f"{quoted(column, dialect)} = {mark}" for column in tags]
    return f" where {' and '.join(conditions)}" if conditions else ""


def _values(tags: Tags, dialect: str) -> Any:
    return tuple(tags.values()) or (() if dialect == "sqlite" else None)
