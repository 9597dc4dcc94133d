"""What a URL of a database may say; whatever the drivers would choke on is refused by its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sqlalchemy import URL

# Those of MySQL that Python has too: without, PyMySQL cannot even greet the server.
CHARSETS = (
    *("ascii", "big5", "euckr", "gb18030", "gb2312", "gbk", "greek", "hebrew", "koi8r", "koi8u"),
    *("latin1", "latin2", "latin5", "latin7", "macroman", "sjis", "tis620", "ujis"),
    *("cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932"),
    *("utf8", "utf8mb3", "utf8mb4"),
)


def _one_of(*values: str) -> tuple[str, str]:
    return "|".join(values), f"one of {', '.join(values)}"


# What the drivers themselves make of another value of these is an error of their code, or names
# neither the parameter nor what may be there.
_VALUES = {
    "cache": _one_of("shared", "private"),
    "charset": (f"(?i:{'|'.join(CHARSETS)})", "a character set of MySQL, such as utf8mb4"),
    "connect_timeout": (r"\d{1,6}", "a number"),
    "mode": _one_of("ro", "rw", "rwc", "memory"),
    "sslmode": _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": _one_of(
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
    ),
    "timeout": (r"\d{1,6}(\.\d+)?", "a number"),
    "uri": ("true|false|1|0", "true or false"),
}
_LAST_PORT = 65535


class UnusableUrlError(ValueError):
    """No database can be reached by this URL; the message says why, without the password."""


def check_url(url: str, made: URL, dialect: str, keys: tuple[str, ...]) -> None:
    """
    Look at what a URL asks for.

    Args:
        url: As it was given, for the message.
        made: The same, as SQLAlchemy has it.
        dialect: Of its database.
        keys: What it may set after its "?".

    Raises:
        UnusableUrlError: It asks for what is not allowed, or cannot be.
    """
    if (made.port or 0) > _LAST_PORT:
        raise UnusableUrlError(f"{without_password(url)} is no URL of a database: its port")
    # NB: SQLAlchemy hands every other key to the driver, and some have it read files of the pod.
    for key, value in made.query.items():
        if problem := _problem(key, value, keys):
            raise UnusableUrlError(f"{without_password(url)}: {problem}")
    of_files = (made.database or "").startswith("file:") and made.query.get("uri") in ("true", "1")
    if made.query.keys() & {"cache", "mode"} and not of_files:
        raise UnusableUrlError(
            "SQLite heeds cache and mode of a URI alone: write sqlite:///file:/path/to/file?uri=true"
        )
    if dialect == "sqlite" and _is_one_for_each_connection(made):
        raise UnusableUrlError(
            "a SQLite database in memory is another one for each connection: write"
            " sqlite:////path/to/file, or sqlite:///file:NAME?mode=memory&cache=shared&uri=true"
        )


def _problem(key: str, value: str | tuple[str, ...], keys: tuple[str, ...]) -> str:
    """Say what is wrong with a parameter; empty if nothing is."""
    if key not in keys:
        return f"{key[:40]!r} is not allowed; allowed are {', '.join(keys)}"
    if not isinstance(value, str):
        return f"{key!r} is given twice: give it once"
    pattern, words = _VALUES.get(key, (".*", ""))
    return "" if re.fullmatch(pattern, value) else f"{key!r} is {words}, not {value[:40]!r}"


def _is_one_for_each_connection(url: URL) -> bool:
    if url.database in (None, "", ":memory:"):
        return True
    in_memory = url.query.get("mode") == "memory" or url.database == "file::memory:"
    return in_memory and url.query.get("cache") != "shared"


def without_password(url: str) -> str:
    """Give scheme, host, port and name of a database."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the url"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
