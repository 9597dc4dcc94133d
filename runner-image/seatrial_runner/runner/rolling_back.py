"""Connections whose changes are undone, and the check that they were."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# The tables that a statement changes, or locks so that nobody else could count them.
_WRITES = re.compile(
    r"\b(?:insert(?:\s+ignore)?\s+into|replace\s+into|merge\s+into|update(?:\s+only)?"
    r"|delete\s+from|truncate(?:\s+table)?|lock(?:\s+tables?)?|copy"
    r"|(?:create|alter|drop)\s+table(?:\s+if(?:\s+not)?\s+exists)?)\s+"
    r"((?:[\w$]+|\"[^\"]+\"|`[^`]+`)(?:\.(?:[\w$]+|\"[^\"]+\"|`[^`]+`))*)",
    re.IGNORECASE,
)
_START = "seatrial_start"  # a savepoint: it is gone when the transaction has ended


@contextmanager
def rolled_back(engine: Engine) -> Iterator[tuple[Connection, list[str]]]:
    """
    Give a connection whose changes are undone at the end.

    Beside it a list, which afterwards has what is left all the same: a sentence by table, where
    the transaction was ended before by a commit or by a statement that commits (DDL in MySQL).
    """
    from sqlalchemy import event

    left: list[str] = []
    before: dict[str, int | None] = {}
    commits: list[Any] = []
    with engine.connect() as connection:
        outer = connection.begin()
        connection.exec_driver_sql(f"SAVEPOINT {_START}")

        @event.listens_for(connection, "before_cursor_execute")
        def note(_: Any, __: Any, statement: str, *___: Any) -> None:
            for table in _WRITES.findall(statement):
                if table not in before:
                    before[table] = _committed(engine, table)

        event.listen(connection, "commit", commits.append)
        try:
            yield connection, left
        finally:
            ended = not outer.is_active or not _rolled_back_to_start(connection)
            if not connection.closed:
                connection.rollback()
    if ended:
        for table, count in before.items():
            if sentence := _left(table, count, _committed(engine, table), committed=bool(commits)):
                left.append(sentence)


def _rolled_back_to_start(connection: Connection) -> bool:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {_START}")
    except SQLAlchemyError:
        return False
    return True


def _committed(engine: Engine, table: str) -> int | None:
    """Count the rows that everybody sees; None: there is no such table."""
    from sqlalchemy.exc import SQLAlchemyError

    with engine.connect() as other:
        try:
            # It is written as in the test's own statement.
            return int(other.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608
        except SQLAlchemyError:
            return None


def _left(table: str, before: int | None, after: int | None, *, committed: bool) -> str:
    if before == after:
        same = committed and after is not None
        return f"{table} has {after} rows as before, changed by what was committed" if same else ""
    if after is None:
        return f"{table} is gone, with {before} rows"
    return f"{table} has {after} rows ({'no table' if before is None else before} before)"
