"""``data``: makes rows, loads them, and removes what tests have left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seatrial.api.data_specification import DataError, require_tags
from seatrial.api.duration import parse_duration

from seatrial_runner.data.files import Contents, generated, read_text, written
from seatrial_runner.scenario.action import Call, Observation, SeenError, StepFailure
from seatrial_runner.scenario.connections import connection_tls, connection_url
from seatrial_runner.scenario.databases.asking import Asked, explained
from seatrial_runner.scenario.databases.drivers import SCHEMES, dialect_of
from seatrial_runner.scenario.databases.rows import to_json
from seatrial_runner.scenario.databases.running import limit_on_server
from seatrial_runner.scenario.databases.sessions import Databases, in_time
from seatrial_runner.scenario.databases.tables import SqlTables
from seatrial_runner.scenario.databases.urls import without_password
from seatrial_runner.scenario.files import FileProblemError
from seatrial_runner.scenario.stores.place import Place
from seatrial_runner.scenario.values import show_duration

if TYPE_CHECKING:
    from seatrial_runner.scenario.tls import Tls

    # Gives a place for data behind a URL, and says in words what its driver raises.
    Opened = Callable[[str, Tls | None, Asked], AbstractContextManager[Place]]

DEFAULT_TIMEOUT_S = 300.0
MAX_SHOWN_ROWS = 100  # of each table that is loaded
MAX_ROWS = 10_000  # that are not loaded, and so only here
_LOOK_EVERY = 2000  # rows


def _mongo() -> Opened:
    from seatrial_runner.scenario.stores.mongo_place import collections

    return collections


def _redis() -> Opened:
    from seatrial_runner.scenario.stores.redis_place import hashes

    return hashes


# By the scheme of a URL; imported when they are asked for.
_STORES: dict[str, Callable[[], Opened]] = {"mongodb": _mongo, "redis": _redis, "rediss": _redis}


def title(document: dict[str, Any]) -> str:
    """Say what is made, loaded or removed."""
    if clean := document.get("clean"):
        return f"clean {', '.join(clean['tables'])}"
    entities = document.get("generate") or document.get("rows") or {}
    return f"data of {document.get('file') or ', '.join(entities)}"


def act(document: dict[str, Any], call: Call) -> Observation:
    """Make, load or remove rows."""
    given = document.get("timeout")
    timeout = parse_duration(given).total_seconds() if given else DEFAULT_TIMEOUT_S
    if not (document.get("service") or document.get("url")):
        work = _Work(document, call, Asked(call, "sqlite", "data", timeout))
        return work.told(lambda: work.gathered())
    url = connection_url(document, call, (*SCHEMES, *_STORES))
    where = document.get("service") or "url"
    opened = _STORES.get(url.partition("://")[0].partition("+")[0])
    asked = Asked(call, "" if opened else dialect_of(url), where, timeout)
    work = _Work(document, call, asked)
    tls = connection_tls(document, call)
    if opened is None:
        return _in_tables(work, url, tls)
    with opened()(url, tls, asked) as place:
        return work.told(lambda: work.done(place))
    raise AssertionError("opened() raises, or lets the body return")


def _in_tables(work: _Work, url: str, tls: Tls | None) -> Observation:
    databases = work.call.tools.resources.get(("sql",), Databases, Databases.close)
    with explained(work.asked, without_password(url)):
        engine, driver = databases.engine(url, tls, autocommit=False)
        with engine.connect() as connection:
            connection.begin()
            seconds = work.asked.seconds()
            with in_time(connection, driver, databases.watchdog, seconds) as work.asked.is_over:
                limit_on_server(connection, driver, work.asked.timeout_s)
                raw = connection.connection.driver_connection
                place = SqlTables(raw, work.asked.dialect)
                observation = work.told(lambda: work.done(place))
                connection.commit()
            return observation
    raise AssertionError("explained() raises, or lets the body return")


@dataclass
class _Work:
    """One try of one step."""

    document: dict[str, Any]
    call: Call
    asked: Asked
    seed: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def told(self, work: Any) -> Observation:
        """Do it, and say what came of it; a specification that cannot be followed is a failure."""
        try:
            work()
        except (DataError, FileProblemError) as error:
            raise StepFailure(f"{self.asked.where}: {error}", permanent=True) from error
        except ImportError as error:  # of what makes realistic values: the database has answered
            text = f"data needs the extra: pip install 'seatrial[data]' ({error})"
            raise StepFailure(text, outcome="error", permanent=True) from error
        elapsed = self.asked.elapsed()
        values = {
            "data.seed": self.seed,
            "data.counts": self.counts,
            "data.rows": self.rows,
            "data.elapsed": elapsed,
        }
        self.call.tools.redactor.learn_json(self.rows)
        counts = ", ".join(f"{name}: {count}" for name, count in self.counts.items())
        seed = f", of seed {self.seed}" if self.seed else ""
        return Observation(values, f"Rows{seed}, after {show_duration(elapsed)}\n  {counts}")

    def done(self, place: Place) -> None:
        """Work with a database."""
        if clean := self.document.get("clean"):
            self._clean(place, clean)
            return
        contents = self._contents()
        if contents.script:
            place.script(contents.script)
        for table, columns, rows in contents.tables:
            watched = self._watched(table, columns, rows, MAX_SHOWN_ROWS)
            self.counts[table] = place.load(table, columns, watched)

    def gathered(self) -> None:
        """Make the rows, and keep them."""
        for table, columns, rows in self._contents().tables:
            self.counts[table] = sum(1 for _ in self._watched(table, columns, rows, MAX_ROWS))
            if self.counts[table] > MAX_ROWS:
                text = f"more than {MAX_ROWS} rows are only made to be loaded: give service"
                raise DataError(table, text)

    def _contents(self) -> Contents:
        """Give what is to be loaded."""
        if file := self.document.get("file"):
            name = self.call.text(file)
            text = self.call.tools.world.files.read(name)
            return read_text(name, text, self._drawn_from(), self.call.scope.lane)
        if rows := self.document.get("rows"):
            return Contents(written(self.call.json(rows)))
        specification = self.call.json(self.document["generate"])
        return Contents(generated(specification, self._drawn_from(), lane=self.call.scope.lane))

    def _drawn_from(self) -> str:
        """Give the seed: the step's own, or that of the run."""
        given = self.document.get("seed")
        run = self.call.scope.template_variables()["run"]
        self.seed = self.call.text(given) if given else str(run["id"])
        return self.seed

    def _watched(
        self, table: str, columns: list[str], rows: Iterable[Any], most: int
    ) -> Iterator[Any]:
        """Pass rows on; keep the first of them, and end when the time is over."""
        kept = self.rows.setdefault(table, [])
        for number, row in enumerate(rows):
            if number < most:
                kept.append(
                    {name: to_json(value) for name, value in zip(columns, row, strict=True)}
                )
            if number % _LOOK_EVERY == 0 and self.asked.seconds() <= 0:
                text = f"{table}: {number} rows were made, and the time is over"
                raise self.asked.failure(SeenError("timeout", text))
            yield row

    def _clean(self, place: Place, clean: dict[str, Any]) -> None:
        tables, tags = clean["tables"], self.call.json(clean.get("where") or {})
        if tags:
            require_tags(tags, "clean.where")
        by = clean.get("by", "delete")
        if by == "truncate" and tags:
            raise DataError("clean", "truncate removes every row: leave out where, or by: delete")
        if by == "truncate":
            place.truncate(tables)
        elif by == "delete":
            place.delete(tables, tags)
        self.counts = place.left(tables, tags)
        if found := {table: count for table, count in self.counts.items() if count}:
            shown = ", ".join(f"{table} has {count} rows" for table, count in found.items())
            of = f" with {json.dumps(tags, ensure_ascii=False)}" if tags else ""
            raise StepFailure(f"{self.asked.where}: something is left: {shown}{of}")
