"""The fixtures ``sql`` and ``data``: engines by service, and data that goes when its test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seatrial.api.data_specification import DataError, read_specification, require_tags
from seatrial.api.lanes import Lane

from seatrial_runner.data import Generator
from seatrial_runner.data.files import Contents, generated, read_text, written
from seatrial_runner.runner import rolling_back
from seatrial_runner.runner.fixture_files import found_file
from seatrial_runner.scenario.databases import cleaning
from seatrial_runner.scenario.databases.drivers import SCHEMES
from seatrial_runner.scenario.databases.engines import make_engine
from seatrial_runner.scenario.databases.loading import load
from seatrial_runner.scenario.databases.rows import to_json
from seatrial_runner.scenario.files import FileProblemError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from seatrial_runner.scenario.databases.drivers import Driver

KEPT_ROWS = 1000  # of each table, that a test gets back
Clean = Literal["empty"] | Mapping[str, Any] | None


class DatabaseError(Exception):
    """A database that a suite cannot work with as it asks; the message says what to do."""


class LeftoverError(AssertionError):
    """Something is left in a table that was to be empty."""


class Sql:
    """
    The fixture ``sql``: SQLAlchemy engines of the run's databases, by service.

    ``sql("db")`` gives the engine; each call counts as a request to that service.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._engines: dict[str, tuple[Engine, Driver]] = {}

    def __call__(self, service: str) -> Engine:
        """Give the engine of a service."""
        return self.engine(service)[0]

    def engine(self, service: str) -> tuple[Engine, Driver]:
        """Give the engine of a service, and what is peculiar to its driver."""
        url = self._urls[service]
        if service not in self._engines:
            scheme = url.partition("://")[0].partition("+")[0]
            if scheme not in SCHEMES:
                raise DatabaseError(f"{service} is no SQL database: its URL begins with {scheme}")
            try:
                self._engines[service] = make_engine(url, autocommit=False)
            except ImportError as error:
                raise DatabaseError(
                    f"the fixture sql needs the extra: pip install 'seatrial[sql]' ({error})"
                ) from error
        return self._engines[service]

    @contextmanager
    def rolled_back(self, service: str) -> Iterator[Connection]:
        """
        Give a connection whose changes are undone at the end, and see that nothing is left.

        Raises:
            LeftoverError: The transaction was committed: it says which table has how many rows.
        """
        __tracebackhide__ = True
        with rolling_back.rolled_back(self(service)) as (connection, left):
            yield connection
        if left:
            raise LeftoverError(
                f"{service}: something is left: {', '.join(left)}: the transaction that was to be"
                " rolled back has been committed; leave out the commit (and statements that"
                " commit), or use sql and data, which clean up by themselves"
            )

    def close(self) -> None:
        """Close every connection."""
        for engine, _ in self._engines.values():
            engine.dispose()


@dataclass
class _Loaded:
    service: str
    tables: list[str]
    clean: Clean


@dataclass
class Data:
    """
    The fixtures ``data`` and ``shared_data``: data that goes when its test, or all have ended.

    Attributes:
        seed: What is generated, is made from this; the same test of the same seed gets the same.
        lane: Of what is unique.
    """

    sql: Sql
    seed: str
    folders: list[Path]
    lane: Lane = field(default_factory=Lane)
    _loaded: list[_Loaded] = field(default_factory=list)

    def generate(
        self, service: str, specification: Mapping[str, Any], *, clean: Clean = "empty"
    ) -> dict[str, list[dict[str, Any]]]:
        """
        Make data from a specification, and load it.

        Args:
            service: The database.
            specification: Entities by table, each with count, and fields or schema.
            clean: How it is removed afterwards. ``"empty"``: the tables are emptied, and so have
                to be empty before. Values by column, such as ``{"tag": "t1"}``: rows with
                these are deleted. None: it is kept.

        Returns:
            Rows by table, of each the first 1000.
        """
        contents = Contents(generated(specification, self.seed, lane=self.lane))
        return self._load(service, contents, clean)

    def rows(
        self, service: str, *, clean: Clean = "empty", **tables: list[dict[str, Any]]
    ) -> dict[str, list[dict[str, Any]]]:
        """Load rows as they are written: ``data.rows("db", customers=[{"id": 1}])``."""
        return self._load(service, Contents(written(tables)), clean)

    def file(
        self, service: str, path: str | Path, *, clean: Clean = "empty"
    ) -> dict[str, list[dict[str, Any]]]:
        """
        Load a file of the suite: YAML, JSON, CSV (named after its table) or SQL.

        Raises:
            DataError: It cannot be read; or it is SQL, and ``clean`` is not None.
        """
        found, text = self._read(Path(path))
        contents = read_text(str(found), text, self.seed, self.lane)
        if contents.script and clean is not None:
            raise DataError(
                str(path),
                "names no tables that its rows could be removed from: give clean=None, and remove"
                " them with data.clean(SERVICE, TABLE)",
            )
        return self._load(service, contents, clean)

    def clean(
        self,
        service: str,
        *tables: str,
        where: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Remove rows now, and see that none is left: all, or those with these values by column.

        Raises:
            DataError: ``where`` names no column, or one with null.
            LeftoverError: It says how many are left where.
        """
        if where is not None:
            require_tags(where, "where")
        with self._begun(service) as (raw, dialect):
            if where is None:
                cleaning.empty(raw, dialect, tables)
            else:
                cleaning.delete(raw, dialect, tables, where)
        self.assert_none_left(service, *tables, where=where)

    def assert_none_left(
        self, service: str, *tables: str, where: Mapping[str, Any] | None = None
    ) -> None:
        """See that tables have no rows, or none with these values; raises LeftoverError."""
        __tracebackhide__ = True
        if where is not None:
            require_tags(where, "where")
        with self._begun(service) as (raw, dialect):
            counts = cleaning.left(raw, dialect, tables, where or {})
        if found := {table: count for table, count in counts.items() if count}:
            shown = ", ".join(f"{table} has {count} rows" for table, count in found.items())
            raise LeftoverError(
                f"{service}: something is left: {shown}" + (f" with {dict(where)}" if where else "")
            )

    def close(self) -> None:
        """Remove what was loaded, the last first, and see that nothing is left."""
        with ExitStack() as stack:
            for each in self._loaded:
                stack.callback(self._remove, each)
            self._loaded = []

    def _remove(self, loaded: _Loaded) -> None:
        if loaded.clean is not None and loaded.tables:
            where = None if loaded.clean == "empty" else dict(loaded.clean)
            self.clean(loaded.service, *loaded.tables, where=where)

    def _load(
        self, service: str, contents: Contents, clean: Clean
    ) -> dict[str, list[dict[str, Any]]]:
        if isinstance(clean, Mapping):
            require_tags(clean, "clean")
        kept: dict[str, list[dict[str, Any]]] = {}
        loaded = _Loaded(service, [], clean)
        with self._begun(service) as (raw, dialect):
            if contents.script:
                cursor = raw.cursor()
                _script(cursor, contents.script, dialect)
                cursor.close()
            for table, columns, rows in contents.tables:
                if clean == "empty":
                    _require_empty(raw, dialect, service, table)
                loaded.tables.append(table)
                rows = _keeping(rows, columns, kept.setdefault(table, []))
                load(raw, dialect, table, columns, rows)
        self._loaded.append(loaded)
        return kept

    @contextmanager
    def _begun(self, service: str) -> Iterator[tuple[Any, str]]:
        engine, driver = self.sql.engine(service)
        with engine.begin() as connection:
            yield connection.connection.driver_connection, driver.dialect

    def _read(self, path: Path) -> tuple[Path, str]:
        try:
            return found_file(path, self.folders)
        except FileProblemError as error:
            raise DatabaseError(str(error)) from error


class Factory:
    """The fixture ``factory``: gives functions that make maps of realistic values."""

    def __init__(self, seed: str, lane: Lane | None = None) -> None:
        self._seed = seed
        self._lane = lane or Lane()
        self._made = 0

    def __call__(self, fields: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
        """
        Give a function that makes one map, with the values that it is given in place of its own.

        Args:
            fields: As in a specification, by name: ``{"id": "uuid", "status": {"oneOf": [...]}}``.
        """
        self._made += 1
        name = f"factory{self._made}"
        # As many as can be asked for: rows are made as they are.
        plans = read_specification({name: {"count": 1_000_000, "fields": dict(fields)}})
        [(_, columns, rows)] = Generator(plans, self._seed, self._lane, "factory").entities()

        def make(**given: Any) -> dict[str, Any]:
            for each in given:
                if each not in columns:
                    raise DataError(each, f"is no field; fields are: {', '.join(columns)}")
            made = dict(zip(columns, next(iter(rows)), strict=True))
            return {**{key: to_json(value) for key, value in made.items()}, **given}

        return make


def drawn_seed(given: str, name: str) -> str:
    """Give the seed of a test: of what is given and its name, or drawn."""
    import secrets

    return f"{given or secrets.token_hex(6)}/{name}"


def _require_empty(raw: Any, dialect: str, service: str, table: str) -> None:
    [(_, count)] = cleaning.left(raw, dialect, [table], {}).items()
    if count:
        raise DatabaseError(
            f"{service}: {table} has {count} rows already, which would go with what is loaded:"
            " give clean={'COLUMN': VALUE} to delete by a tag, or clean=None to keep it"
        )


def _keeping(rows: Any, columns: list[str], kept: list[dict[str, Any]]) -> Iterator[Any]:
    for row in rows:
        if len(kept) < KEPT_ROWS:
            values = zip(columns, row, strict=True)
            kept.append({name: to_json(value) for name, value in values})
        yield row


def _script(cursor: Any, script: str, dialect: str) -> None:
    from seatrial_runner.scenario.databases.running import script_results

    for _ in script_results(cursor, script, dialect):
        pass


__all__ = ["Data", "DatabaseError", "Factory", "LeftoverError", "Sql", "drawn_seed"]
