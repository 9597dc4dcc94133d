"""Collections of MongoDB as a place for data: a row is a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from seatrial.api.data_specification import DataError

from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.databases.asking import Asked
from seatrial_runner.scenario.databases.urls import without_password
from seatrial_runner.scenario.stores.mongo_client import close, failure, make_client
from seatrial_runner.scenario.stores.mongo_values import DocumentError, to_bson

if TYPE_CHECKING:
    from pymongo.database import Database

    from seatrial_runner.scenario.tls import Tls

_BATCH = 1000


@contextmanager
def collections(url: str, tls: Tls | None, asked: Asked) -> Iterator[Collections]:
    """
    Give the collections of the database that a URL names.

    Raises:
        StepFailure: What the driver raises meanwhile, in words.
    """
    if tls is not None:
        text = f"{asked.where}: tls does not go with MongoDB: say it in the url (?tls=true)"
        raise StepFailure(text, permanent=True)
    try:
        import pymongo

        resources = asked.call.tools.resources
        client = resources.get(("mongo", url), lambda: make_client(url), close)
        if client.get_default_database(default="-").name == "-":
            raise StepFailure(f"{asked.where}: the URL names no database", permanent=True)
        with pymongo.timeout(max(0.001, asked.seconds())):
            yield Collections(client.get_default_database())
    except ImportError as error:
        text = f"data needs the extra: pip install 'seatrial[mongo]' ({error})"
        raise StepFailure(text, outcome="error", permanent=True) from error
    except StepFailure:
        raise
    except DocumentError as error:
        raise StepFailure(f"{asked.where}: {error}", permanent=True) from error
    except Exception as error:
        address = without_password(url)
        raise failure(error, asked.where, address, asked.shown, asked.elapsed()) from error


class Collections:
    """A ``Place``; there is no transaction: what was loaded before a failure stays."""

    def __init__(self, database: Database[Any]) -> None:
        self._database = database

    def script(self, text: str) -> None:
        """Refuse."""
        raise DataError("file", "MongoDB has no SQL: load YAML, JSON or CSV")

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Insert documents."""
        count, left = 0, iter(rows)
        while batch := list(islice(left, _BATCH)):
            documents = [
                {name: _value(value) for name, value in zip(columns, row, strict=True)}
                for row in batch
            ]
            self._database[table].insert_many(documents)
            count += len(batch)
        return count

    def truncate(self, tables: Sequence[str]) -> None:
        """Delete every document; indexes stay."""
        self.delete(tables, {})

    def delete(self, tables: Sequence[str], tags: Mapping[str, Any]) -> None:
        """Delete documents."""
        for table in tables:
            self._database[table].delete_many(to_bson(dict(tags)))

    def left(self, tables: Sequence[str], tags: Mapping[str, Any]) -> dict[str, int]:
        """Count documents."""
        wanted = to_bson(dict(tags))
        return {table: self._database[table].count_documents(wanted) for table in tables}


def _value(value: Any) -> Any:
    match value:
        case datetime():
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        case date():  # there are only moments
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        case Decimal():
            from bson import Decimal128

            return Decimal128(value)
        case dict() | list():
            return to_bson(value)
        case _:
            return value
