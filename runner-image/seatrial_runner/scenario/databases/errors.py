"""What drivers raise, in words: one name for the same error of every database. Pure."""

from __future__ import annotations

import re
from typing import Any

from seatrial_runner.scenario.action import SeenError
from seatrial_runner.scenario.answered import OTHER

# By SQLSTATE; of two characters: the class.
_POSTGRESQL = {
    "23505": "uniqueViolation",
    "23503": "foreignKeyViolation",
    "23001": "foreignKeyViolation",
    "23502": "notNullViolation",
    "23514": "checkViolation",
    "23P01": "exclusionViolation",
    "40001": "serializationFailure",
    "40P01": "deadlock",
    "55P03": "lockTimeout",
    "57014": "timeout",
    "42601": "syntaxError",
    "42P01": "undefinedTable",
    "42703": "undefinedColumn",
    "42883": "undefinedFunction",
    "42P07": "duplicateTable",
    "42501": "permissionDenied",
    "28P01": "accessDenied",
    "28000": "accessDenied",
    "3D000": "undefinedDatabase",
    "53300": "tooManyConnections",
    "25P02": "transactionAborted",
    "25006": "readOnly",
    "22001": "valueTooLong",
    "22003": "outOfRange",
    "57P01": "connectionLost",
    "57P02": "connectionLost",
    "57P03": "unavailable",
    "08": "connectionLost",
    "22": "invalidValue",
}
# By number of MySQL and MariaDB: SQLSTATE and name.
_MYSQL = {
    1062: ("23000", "uniqueViolation"),
    1586: ("23000", "uniqueViolation"),
    1216: ("23000", "foreignKeyViolation"),
    1217: ("23000", "foreignKeyViolation"),
    1451: ("23000", "foreignKeyViolation"),
    1452: ("23000", "foreignKeyViolation"),
    1048: ("23000", "notNullViolation"),
    1364: ("HY000", "notNullViolation"),
    3819: ("HY000", "checkViolation"),
    4025: ("23000", "checkViolation"),
    1020: ("HY000", "serializationFailure"),
    1213: ("40001", "deadlock"),
    1205: ("HY000", "lockTimeout"),
    1317: ("70100", "timeout"),
    1969: ("70100", "timeout"),
    3024: ("HY000", "timeout"),
    1064: ("42000", "syntaxError"),
    1146: ("42S02", "undefinedTable"),
    1054: ("42S22", "undefinedColumn"),
    1305: ("42000", "undefinedFunction"),
    1050: ("42S01", "duplicateTable"),
    1044: ("42000", "permissionDenied"),
    1142: ("42000", "permissionDenied"),
    1143: ("42000", "permissionDenied"),
    1227: ("42000", "permissionDenied"),
    1045: ("28000", "accessDenied"),
    1698: ("28000", "accessDenied"),
    1049: ("42000", "undefinedDatabase"),
    1040: ("08004", "tooManyConnections"),
    1203: ("42000", "tooManyConnections"),
    1226: ("42000", "tooManyConnections"),
    1290: ("HY000", "readOnly"),
    1792: ("25006", "readOnly"),
    1406: ("22001", "valueTooLong"),
    1264: ("22003", "outOfRange"),
    1292: ("22007", "invalidValue"),
    1366: ("22007", "invalidValue"),
    2002: ("", "unavailable"),
    2003: ("", "unavailable"),
    2006: ("", "connectionLost"),
    2013: ("", "connectionLost"),
}
# By SQLite's own name, the longest that fits.
_SQLITE = {
    "SQLITE_CONSTRAINT_UNIQUE": "uniqueViolation",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "uniqueViolation",
    "SQLITE_CONSTRAINT_ROWID": "uniqueViolation",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreignKeyViolation",
    "SQLITE_CONSTRAINT_NOTNULL": "notNullViolation",
    "SQLITE_CONSTRAINT_CHECK": "checkViolation",
    "SQLITE_CONSTRAINT_DATATYPE": "invalidValue",
    "SQLITE_BUSY_SNAPSHOT": "serializationFailure",
    "SQLITE_BUSY": "lockTimeout",
    "SQLITE_LOCKED": "lockTimeout",
    "SQLITE_INTERRUPT": "timeout",
    "SQLITE_READONLY": "readOnly",
    "SQLITE_CANTOPEN": "unavailable",
    "SQLITE_NOTADB": "invalidData",
    "SQLITE_CORRUPT": "invalidData",
}
# What a server says before it has let anyone in has no SQLSTATE in PostgreSQL's client library.
_REFUSALS = (
    (r"password authentication failed|no password supplied", "28P01"),
    (r"no pg_hba\.conf entry|authentication failed|role \".*\" does not exist", "28000"),
    (r"database \".*\" does not exist", "3D000"),
    (r"too many clients|remaining connection slots|too many connections", "53300"),
    (r"the database system is (starting up|shutting down|in recovery mode)", "57P03"),
)
# What libpq says before every reason; the address is said by us.
_CONNECTING = re.compile(
    r'(connection failed: )?connection to server at "[^"]*"( \([^)]*\))?, port \d+ failed: '
)
_NO_POSTGRESQL = r"invalid response to SSL negotiation|expected authentication request from server"
_LOST = 2013  # of MySQL's client: the connection, while it waited for an answer
_UNANSWERED = "no answer in time"
_SQLITE_TEXTS = (
    ("syntax error", "syntaxError"),
    ("incomplete input", "syntaxError"),
    ("no such table", "undefinedTable"),
    ("no such column", "undefinedColumn"),
    ("no such function", "undefinedFunction"),
    ("already exists", "duplicateTable"),
)
_DETAILS = {
    "constraint": "constraint_name",
    "schema": "schema_name",
    "table": "table_name",
    "column": "column_name",
    "detail": "message_detail",
    "hint": "message_hint",
}
# A name for what cannot be undone by trying again.
HOPELESS = frozenset({"syntaxError", "transactionAborted", "invalidData"})


def seen_error(error: BaseException, dialect: str) -> SeenError:
    """
    Say what a database answered.

    Args:
        error: Of the driver: psycopg, PyMySQL or sqlite3.
        dialect: ``postgresql``, ``mysql`` or ``sqlite``.
    """
    match dialect:
        case "postgresql":
            return _of_postgresql(error)
        case "mysql":
            return _of_mysql(error)
        case _:
            return _of_sqlite(error)


def is_of_connecting(error: BaseException) -> bool:
    """Tell whether a connection was not answered in time; statements have a clock of their own."""
    return type(error).__name__ == "ConnectionTimeout" or "(timed out)" in str(error)


def _of_postgresql(error: Any) -> SeenError:
    text = _CONNECTING.sub("", _line(error))
    if re.search(_NO_POSTGRESQL, text):
        text = f"no PostgreSQL answers there: {text}"
    state = getattr(error, "sqlstate", None) or ""
    if not state:
        state = next((code for pattern, code in _REFUSALS if re.search(pattern, text)), "")
    name = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2]) or OTHER
    if not state and is_of_connecting(error):
        return SeenError("timeout", _UNANSWERED)
    elif not state and type(error).__name__ in ("OperationalError", "InterfaceError"):
        name = "unavailable"
    diagnosis = getattr(error, "diag", None)
    details: dict[str, Any] = {
        key: value
        for key, attribute in _DETAILS.items()
        if (value := getattr(diagnosis, attribute, None))
    }
    if position := getattr(diagnosis, "statement_position", None):
        details["position"] = int(position)
    message = getattr(diagnosis, "message_primary", None) or text
    return SeenError(name, " ".join(message.split()), state, details)


def _of_mysql(error: Any) -> SeenError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if number == _LOST and is_of_connecting(error):
        return SeenError("timeout", _UNANSWERED)
    state, name = _MYSQL.get(number, ("", OTHER))
    if number == 0 and type(error).__name__ in ("OperationalError", "InterfaceError"):
        name = "connectionLost"
    if "Packet sequence number wrong" in text:
        name, text = "invalidData", f"no MySQL answers there: {text}"
    details: dict[str, Any] = {"number": number} if number else {}
    for key, pattern in (
        ("constraint", r"CONSTRAINT `([^`]+)`"),
        ("constraint", r"for key '([^']+)'"),
        ("column", r"[Cc]olumn '([^']+)'|Field '([^']+)'"),
    ):
        if (found := re.search(pattern, text)) and key not in details:
            details[key] = next(each for each in found.groups() if each)
    return SeenError(name, " ".join(text.split()), state, details)


def _of_sqlite(error: Any) -> SeenError:
    text = _line(error)
    code = str(getattr(error, "sqlite_errorname", "") or "")
    names = [prefix for prefix in _SQLITE if code.startswith(prefix)]
    name = _SQLITE[max(names, key=len)] if names else OTHER
    if code == "SQLITE_ERROR":
        name = next((found for part, found in _SQLITE_TEXTS if part in text), OTHER)
    details: dict[str, Any] = {}
    if found := re.search(r"constraint failed: ([\w.]+)\.(\w+)", text):
        details = {"table": found[1], "column": found[2]}
    elif found := re.search(r"constraint failed: (\w+)", text):
        details = {"constraint": found[1]}
    return SeenError(name, text, code, details)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
