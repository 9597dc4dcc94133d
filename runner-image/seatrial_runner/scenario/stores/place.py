"""Where a step of kind data puts rows, and removes them: the same for every product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class Place(Protocol):
    """Tables, collections or keys of one server; every method raises what its driver raises."""

    def script(self, text: str) -> None:
        """Carry out the statements of a file; raises DataError where there are none."""

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Load rows as they come, read once; gives how many there were."""

    def truncate(self, tables: Sequence[str]) -> None:
        """Remove every row."""

    def delete(self, tables: Sequence[str], tags: Mapping[str, Any]) -> None:
        """Remove rows with these values; all, without any."""

    def left(self, tables: Sequence[str], tags: Mapping[str, Any]) -> dict[str, int]:
        """Count the rows with these values, by table."""
