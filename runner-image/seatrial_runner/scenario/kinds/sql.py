"""``sql``: asks or changes a SQL database, in transactions that may span steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, SeenError, StepFailure
from seatrial_runner.scenario.connections import connection_tls, connection_url
from seatrial_runner.scenario.databases.asking import Asked, explained
from seatrial_runner.scenario.databases.drivers import SCHEMES, dialect_of
from seatrial_runner.scenario.databases.running import (
    Result,
    limit_on_server,
    run_query,
    run_script,
)
from seatrial_runner.scenario.databases.sessions import (
    Databases,
    Transaction,
    TransactionError,
    in_time,
)
from seatrial_runner.scenario.databases.statements import (
    StatementError,
    control_word,
    has_several,
    prepare,
)
from seatrial_runner.scenario.databases.urls import without_password
from seatrial_runner.scenario.interpolation import is_template
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.values import show_duration

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from seatrial_runner.scenario.databases.drivers import Driver

DEFAULT_TIMEOUT_S = 10.0
_MAX_SHOWN = 2000


def title(document: dict[str, Any]) -> str:
    """Give the statement, shortened, or which transaction is ended."""
    for verb in ("commit", "rollback"):
        if document.get(verb):
            return f"{verb} {document[verb]}"
    text = " ".join(str(document.get("query") or document.get("script") or "").split())
    return cut(text, 60)


def preload() -> None:
    """Import SQLAlchemy once, before workers are forked; its absence is told by the step."""
    try:
        import sqlalchemy  # noqa: F401
    except ImportError:
        return


def act(document: dict[str, Any], call: Call) -> Observation:
    """Carry out a statement, a script, or the end of a transaction."""
    databases = call.tools.resources.get(("sql",), Databases, Databases.close)
    for verb in ("commit", "rollback"):
        if document.get(verb):
            return _end(document, verb, databases, call)
    url, tls = connection_url(document, call, SCHEMES), connection_tls(document, call)
    asked = _Statement.of(document, call, url, document.get("service") or "url")
    with explained(asked, without_password(url)):
        if name := document.get("transaction"):
            transaction = databases.join(name, url, document.get("isolation"))
            with _held(transaction, call):
                engine, driver = databases.engine(url, tls, autocommit=False)
                connection = transaction.open(engine, driver)
                return asked.carry_out(connection, driver, databases)
        engine, driver = databases.engine(url, tls, autocommit=True)
        with engine.connect() as connection:
            return asked.carry_out(connection, driver, databases)


@dataclass
class _Statement(Asked):
    """One try of one step."""

    document: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    params: Any = None

    @classmethod
    def of(cls, document: dict[str, Any], call: Call, url: str, where: str) -> _Statement:
        """Fill in the params of a step."""
        given = document.get("timeout")
        params = call.json(document.get("params"))
        call.tools.redactor.learn_json(params)
        text = document.get("query") or document.get("script") or ""
        return cls(
            call,
            dialect_of(url),
            where,
            parse_duration(given).total_seconds() if given else DEFAULT_TIMEOUT_S,
            _shown(text, params, where),
            document=document,
            text=text,
            params=params,
        )

    def carry_out(
        self, connection: Connection, driver: Driver, databases: Databases
    ) -> Observation:
        """Do it, within its time, and say what it gave."""
        document = self.document
        self.check()
        try:
            with in_time(connection, driver, databases.watchdog, self.seconds()) as self.is_over:
                limit_on_server(connection, driver, self.timeout_s)
                result = self.run(connection, driver)
        finally:
            # NB: SQLAlchemy does not see what the driver is asked directly.
            closed = driver.is_closed(connection.connection.driver_connection)
            # A request to end it that comes late would end the next statement.
            if closed or (self.was_cut_off() and not document.get("transaction")):
                connection.invalidate()
        raw = connection.connection.driver_connection
        if not document.get("transaction") and driver.in_transaction(raw):
            connection.invalidate()
            raise StepFailure(
                "the script leaves a transaction open, which was rolled back: end it with commit",
                self.shown,
                permanent=True,
            )
        return self.observation(result)

    def run(self, connection: Connection, driver: Driver) -> Result:
        """Carry out the statement or script."""
        most = int(self.document.get("maxRows", 1000))
        if self.document.get("script"):
            return run_script(connection, self.text, driver, most)
        prepared = prepare(self.text, self.params, self.dialect)
        return run_query(connection, prepared, driver, most)

    def check(self) -> None:
        """
        Refuse what would not do what it says.

        Raises:
            StatementError: It says what to write instead.
        """
        if is_template(self.text):
            raise StatementError(
                "it is not filled in, because a value would become part of the statement: write"
                " :name in query, and give the value in params"
            )
        if self.document.get("script"):
            return
        if word := control_word(self.text):
            raise StatementError(
                f"{word}: say transaction: NAME in the steps that belong together, and end it"
                " with a step commit: NAME or rollback: NAME"
            )
        if has_several(self.text, self.dialect):
            raise StatementError("query takes one statement: use script for several")

    def observation(self, result: Result) -> Observation:
        """Say what was seen."""
        self.call.tools.redactor.learn_json(result.rows)
        elapsed = self.elapsed()
        values = {
            "rows": result.rows,
            "row": result.rows[0] if result.rows else None,
            "rowCount": result.count,
            "columns": result.columns,
            "elapsed": elapsed,
        }
        notes = {} if result.rows else {"row": "there are no rows"}
        if result.columns:
            lines = [json.dumps(row, ensure_ascii=False) for row in result.rows]
            shown = cut("\n".join(f"  {line}" for line in lines), _MAX_SHOWN)
            gave = f"Rows: {len(lines)}, after {show_duration(elapsed)}\n{shown}"
        else:
            gave = f"Rows changed: {result.count}, after {show_duration(elapsed)}"
        return Observation(values, f"{self.shown}\n\n{gave}", notes)


@contextmanager
def _held(transaction: Transaction, call: Call) -> Iterator[None]:
    if not transaction.lock.acquire(timeout=max(0.0, call.seconds())):
        raise TransactionError(f"another branch is using transaction {transaction.name!r}")
    try:
        if transaction.connection is not None and transaction.connection.invalidated:
            raise TransactionError(
                f"transaction {transaction.name!r} was lost with its connection: roll it back"
            )
        yield
    finally:
        transaction.lock.release()


def _end(document: dict[str, Any], verb: str, databases: Databases, call: Call) -> Observation:
    try:
        transaction = databases.leave(document[verb])
    except TransactionError as error:
        raise StepFailure(str(error), permanent=True) from error
    asked = _Statement.of(document, call, transaction.url, transaction.name)
    with explained(asked, without_password(transaction.url)), transaction.lock:
        connection, driver = transaction.connection, transaction.driver
        if connection is None or driver is None or connection.invalidated:
            if connection is not None:
                connection.close()
            if verb == "commit":
                text = "its connection was lost before, and with it what was done"
                raise asked.failure(SeenError("connectionLost", text))
            return asked.observation(Result())
        try:
            raw = connection.connection.driver_connection
            doomed = verb == "commit" and driver.is_doomed(raw)
            with in_time(connection, driver, databases.watchdog, asked.seconds()) as asked.is_over:
                connection.commit() if verb == "commit" and not doomed else connection.rollback()
        finally:
            connection.close()
        if doomed:
            text = "nothing is committed: a statement of this transaction failed"
            raise asked.failure(SeenError("transactionAborted", text, "25P02"))
    return asked.observation(Result())


def _shown(text: str, params: Any, where: str) -> str:
    """Write for people what is asked."""
    lines = [f"Statement ({where}):"] if text else []
    lines += [f"  {line}" for line in cut(text, _MAX_SHOWN).splitlines()]
    if params:
        lines += ["Params:", f"  {cut(json.dumps(params, ensure_ascii=False), _MAX_SHOWN)}"]
    return "\n".join(lines)
