"""Logs: one JSON object a line, or readable text."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """
    Writes a record as JSON: time, level, logger, message, and the fields given as ``extra``.

    Messages are constant, so that they can be searched for; what differs stands in the fields.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


class TextFormatter(logging.Formatter):
    """Writes a record for people: the message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line, and a traceback where there is one."""
        line = super().format(record)
        fields = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        return f"{line} {fields}".rstrip()


def set_up(level: str, style: str) -> None:
    """Send all logs to standard error; ``style`` is json or text."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf says what it does with every object; of these two, only what went wrong is of interest.
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {
        key: value
        for key, value in record.__dict__.items()
        if key not in _STANDARD and value is not None
    }
