"""Tables of a SQL database as a place for data; all of it within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seatrial_runner.scenario.databases import cleaning, loading
from seatrial_runner.scenario.databases.running import script_results


class SqlTables:
    """A ``Place``: what belongs to a connection of the driver."""

    def __init__(self, raw: Any, dialect: str) -> None:
        self._raw, self._dialect = raw, dialect

    def script(self, text: str) -> None:
        """Carry out statements."""
        cursor = self._raw.cursor()
        try:
            for _ in script_results(cursor, text, self._dialect):
                pass
        finally:
            cursor.close()

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Load rows."""
        return loading.load(self._raw, self._dialect, table, columns, rows)

    def truncate(self, tables: Sequence[str]) -> None:
        """Empty tables."""
        cleaning.truncate(self._raw, self._dialect, tables)

    def delete(self, tables: Sequence[str], tags: Mapping[str, Any]) -> None:
        """Delete rows."""
        cleaning.delete(self._raw, self._dialect, tables, tags)

    def left(self, tables: Sequence[str], tags: Mapping[str, Any]) -> dict[str, int]:
        """Count rows."""
        return cleaning.left(self._raw, self._dialect, tables, tags)
