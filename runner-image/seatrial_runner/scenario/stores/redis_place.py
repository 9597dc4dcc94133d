"""Keys of Redis as a place for data: a row is a hash under ``TABLE:ID``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from seatrial.api.data_specification import DataError

from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.databases.asking import Asked
from seatrial_runner.scenario.databases.urls import without_password
from seatrial_runner.scenario.stores.redis_client import Store, ask
from seatrial_runner.scenario.stores.redis_failures import failure
from seatrial_runner.scenario.stores.redis_values import encoded

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

    from seatrial_runner.scenario.tls import Tls

_BATCH = 1000
_IDS = ("id", "_id", "key")  # columns that name a row; else its first


@contextmanager
def hashes(url: str, tls: Tls | None, asked: Asked) -> Iterator[Hashes]:
    """
    Give the keys of a server.

    Raises:
        StepFailure: What the driver raises meanwhile, in words.
    """
    resources = asked.call.tools.resources
    try:
        store = resources.get(("redis", url, tls), lambda: Store(url, tls), Store.close)
        with store.connection(None, asked.seconds()) as connection:
            yield Hashes(connection, asked)
    except ImportError as error:
        text = f"data needs the extra: pip install 'seatrial[redis]' ({error})"
        raise StepFailure(text, outcome="error", permanent=True) from error
    except StepFailure:
        raise
    except Exception as error:
        address = without_password(url)
        raise failure(error, asked.where, address, asked.shown, asked.elapsed()) from error


class Hashes:
    """A ``Place``; there is no transaction: what was loaded before a failure stays."""

    def __init__(self, connection: AbstractConnection, asked: Asked) -> None:
        self._connection, self._asked = connection, asked

    def script(self, text: str) -> None:
        """Refuse."""
        raise DataError("file", "Redis has no SQL: load YAML, JSON or CSV")

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Set hashes; what is null is left out, what is no text is JSON."""
        named = next((name for name in _IDS if name in columns), columns[0] if columns else "")
        count, left = 0, iter(rows)
        while batch := list(islice(left, _BATCH)):
            commands: list[list[Any]] = []
            for row in batch:
                values = dict(zip(columns, row, strict=True))
                if values.get(named) is None:
                    problem = f"row {count + len(commands) + 1} has no {named or 'column'}"
                    raise DataError(table, f"{problem}, which would be its key")
                known = [(name, _text(each)) for name, each in values.items() if each is not None]
                fields = [part for pair in known for part in pair]
                commands.append(["HSET", f"{table}:{_text(values[named])}", *fields])
            self._ask(commands)
            count += len(batch)
        return count

    def truncate(self, tables: Sequence[str]) -> None:
        """Remove every key of the tables."""
        self.delete(tables, {})

    def delete(self, tables: Sequence[str], tags: Mapping[str, Any]) -> None:
        """Remove keys."""
        for table in tables:
            for keys in self._keys(table, tags):
                self._ask([["UNLINK", *keys]])

    def left(self, tables: Sequence[str], tags: Mapping[str, Any]) -> dict[str, int]:
        """Count keys."""
        # A scan may show a key twice.
        return {
            table: len({key for keys in self._keys(table, tags) for key in keys})
            for table in tables
        }

    def _keys(self, table: str, tags: Mapping[str, Any]) -> Iterator[list[Any]]:
        """Go through the keys of a table, of those that are hashes with these values."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", table) + ":*"
        wanted = [_text(value).encode() for value in tags.values()]
        cursor: Any = "0"
        while True:
            kind = ["TYPE", "hash"] if tags else []
            [(cursor, keys)] = self._ask(
                [["SCAN", cursor, "MATCH", pattern, "COUNT", str(_BATCH), *kind]]
            )
            if tags and keys:
                found = self._ask([["HMGET", key, *tags] for key in keys])
                keys = [key for key, values in zip(keys, found, strict=True) if values == wanted]
            if keys:
                yield keys
            if cursor in (b"0", "0"):
                return

    def _ask(self, commands: list[list[Any]]) -> list[Any]:
        sent = [
            [part.encode() if isinstance(part, str) else part for part in command]
            for command in commands
        ]
        answers = ask(self._connection, sent, max(0.001, self._asked.seconds()))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            [text] = encoded([value])
            return text.decode()
