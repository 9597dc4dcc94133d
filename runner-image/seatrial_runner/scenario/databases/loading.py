"""Loads many rows: COPY into PostgreSQL, statements of many rows into the others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import Any

BATCH = 1000  # rows of a statement
_JSON_TYPES = (114, 3802)  # json and jsonb, as PostgreSQL numbers them


def quoted(name: str, dialect: str) -> str:
    """Quote the name of a table or column; ``schema.table`` is two names."""
    mark = "`" if dialect == "mysql" else '"'
    return ".".join(f"{mark}{part.replace(mark, mark * 2)}{mark}" for part in name.split("."))


def load(
    raw: Any, dialect: str, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """
    Load rows within the transaction of a connection, as they come.

    Args:
        raw: Connection of the driver.
        dialect: ``postgresql``, ``mysql`` or ``sqlite``.
        table: Its name, as it is.
        columns: Their names, in the order of the values.
        rows: Read once.

    Returns:
        How many there were.
    """
    counted = _Counted(rows)
    names = ", ".join(quoted(each, dialect) for each in columns)
    into = f"{quoted(table, dialect)} ({names})"
    with_cursor = raw.cursor()
    try:
        if dialect == "postgresql":
            _copy(with_cursor, table, columns, into, counted)
        else:
            marks = ", ".join(["?" if dialect == "sqlite" else "%s"] * len(columns))
            statement = f"insert into {into} values ({marks})"
            plain = (tuple(map(_plain, row)) for row in counted)
            while batch := list(islice(plain, BATCH)):
                with_cursor.executemany(statement, batch)
    finally:
        with_cursor.close()
    return counted.count


def _copy(cursor: Any, table: str, columns: Sequence[str], into: str, rows: _Counted) -> None:
    names = ", ".join(quoted(each, "postgresql") for each in columns)
    cursor.execute(f"select {names} from {quoted(table, 'postgresql')} limit 0")
    json_columns = {
        index for index, each in enumerate(cursor.description) if each.type_code in _JSON_TYPES
    }
    with cursor.copy(f"copy {into} from stdin") as copy:
        for row in rows:
            if json_columns:
                row = [
                    json.dumps(value) if index in json_columns and value is not None else value
                    for index, value in enumerate(row)
                ]
            copy.write_row(row)
    _count_on(cursor, table, columns)


def _count_on(cursor: Any, table: str, columns: Sequence[str]) -> None:
    """Let the sequences of columns go on behind what was loaded."""
    name = quoted(table, "postgresql")
    for column in columns:
        cursor.execute("select pg_get_serial_sequence(%s, %s)", (name, column))
        [sequence] = cursor.fetchone()
        if sequence is not None:
            cursor.execute(
                f"select setval(%s, greatest(max({quoted(column, 'postgresql')}), 1)) from {name}",
                (sequence,),
            )


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return value


class _Counted:
    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Sequence[Any]]:
        for row in self._rows:
            self.count += 1
            yield row
