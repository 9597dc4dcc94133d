"""Clients of MongoDB, and what goes wrong with them, in words."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from seatrial_runner.scenario.action import SeenError, StepFailure
from seatrial_runner.scenario.answered import answered_failure
from seatrial_runner.scenario.stores.mongo_values import HOPELESS, seen_error
from seatrial_runner.scenario.values import show_duration

if TYPE_CHECKING:
    from pymongo import MongoClient


_SETTINGS = re.compile(r" ?\(configured timeouts: [^)]*\)")
_UNANSWERED = "no answer in time"
# What the driver says of an answer whose header is none.
_OF_OTHERS = re.compile(r"Got response id|Message length|Unknown opcode")


def make_client(url: str) -> MongoClient[Any]:
    """Make a client; nothing is connected yet."""
    import pymongo

    return pymongo.MongoClient(
        url,
        appname="seatrial",
        connect=False,
        tz_aware=True,
        uuidRepresentation="standard",
        # What fails once, fails: a step says itself how often it is repeated.
        retryReads=False,
        retryWrites=False,
    )


def close(client: MongoClient[Any]) -> None:
    """Close its connections."""
    client.close()


def _unreached(text: str) -> str:
    """Say why no server was found, without what the driver says of its settings."""
    text = _SETTINGS.sub("", text)
    if text == "No servers found yet":
        return _UNANSWERED
    return f"no MongoDB answers there: {text}" if _OF_OTHERS.search(text) else text


def failure(
    error: Exception, where: str, address: str, shown: str, elapsed: timedelta
) -> Exception:
    """
    Say in words what went wrong.

    Args:
        error: What was raised; given back as it is where it is none of the driver's.
        where: The service, in messages.
        address: Its URL without password.
        shown: What was asked, at length.
        elapsed: Until it was known.
    """
    from pymongo import errors

    text = " ".join(str(error).split(", Timeout:")[0].split())
    match error:
        case errors.OperationFailure() if not error.timeout:
            seen = seen_error(error)
        case errors.ServerSelectionTimeoutError():
            name = "timeout" if (why := _unreached(text)) == _UNANSWERED else "unavailable"
            seen = SeenError(name, f"{address}: {why}")
        case errors.PyMongoError() if error.timeout:
            seen = SeenError("timeout", f"no answer within {show_duration(elapsed)}")
        case errors.ConnectionFailure():
            seen = SeenError("connectionLost", f"{address}: {text}")
        case errors.PyMongoError() | TypeError() | ValueError():
            return StepFailure(f"{where}: {text}", shown, permanent=True)
        case OSError():  # of the connection, it would be one of the driver's own
            text = f"a file that the URL names (tls...File) is of no use: {text}"
            return StepFailure(f"{where}: {text}", shown, permanent=True)
        case _:
            return error
    return answered_failure(seen, f"{where}: {seen.message}", shown, elapsed, HOPELESS)
