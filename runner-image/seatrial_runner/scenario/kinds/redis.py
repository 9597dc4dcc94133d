"""``redis``: sends commands, alone or together."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.answered import answered_failure
from seatrial_runner.scenario.connections import connection_tls, connection_url
from seatrial_runner.scenario.databases.urls import without_password
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.stores.redis_client import MAX_BYTES, Store, ask
from seatrial_runner.scenario.stores.redis_failures import failure
from seatrial_runner.scenario.stores.redis_values import (
    HOPELESS,
    CommandError,
    check,
    encoded,
    seen_error,
    split,
    to_json,
)
from seatrial_runner.scenario.values import show_duration

SCHEMES = ("redis", "rediss")
DEFAULT_TIMEOUT_S = 10.0
_MAX_SHOWN = 2000


def title(document: dict[str, Any]) -> str:
    """Give the command, shortened, or how many there are."""
    if commands := document.get("pipeline"):
        return f"redis: {len(commands)} commands"
    command = document.get("command") or ""
    text = command if isinstance(command, str) else " ".join(map(str, command))
    text = " ".join(text.split())
    return cut(text, 60)


def preload() -> None:
    """Import the driver once, before workers are forked; its absence is told by the step."""
    try:
        import redis  # noqa: F401
    except ImportError:
        return


def act(document: dict[str, Any], call: Call) -> Observation:
    """Send the commands, and read their answers."""
    world = call.tools.world
    began = world.monotonic()
    url = connection_url(document, call, SCHEMES)
    tls = connection_tls(document, call)
    where = document.get("service") or "url"
    commands = [_filled(each, document, call, where) for each in _commands(document)]
    shown = _shown(commands, where)
    given = document.get("timeout")
    wanted = parse_duration(given).total_seconds() if given else DEFAULT_TIMEOUT_S
    seconds = max(0.001, min(wanted, call.seconds()))
    sent = [encoded(each) for each in commands]
    if document.get("transaction"):
        sent = [[b"MULTI"], *sent, [b"EXEC"]]
    try:
        store = call.tools.resources.get(("redis", url, tls), lambda: Store(url, tls), Store.close)
        with store.connection(document.get("session"), seconds) as connection:
            answers = ask(connection, sent, seconds)
    except ImportError as error:
        text = f"redis needs the extra: pip install 'seatrial[redis]' ({error})"
        raise StepFailure(text, outcome="error", permanent=True) from error
    except Exception as error:
        elapsed = timedelta(seconds=world.monotonic() - began)
        raise failure(error, where, without_password(url), shown, elapsed) from error
    elapsed = timedelta(seconds=world.monotonic() - began)
    given_back = _answers(answers, document)
    for number, answer in enumerate(given_back or ()):
        if isinstance(answer, Exception):
            raise _refused(answer, where, shown, elapsed, commands, number)
    single = given_back is not None and not document.get("pipeline")
    result = to_json(given_back[0] if given_back and single else given_back)
    text = json.dumps(result, ensure_ascii=False)
    if len(text) > MAX_BYTES:
        raise StepFailure(
            f"{where}: the answer is more than {MAX_BYTES // 2**20} MiB: ask for less of it", shown
        )
    call.tools.redactor.learn_json(result)
    seen = f"Result, after {show_duration(elapsed)}:\n  {cut(text, _MAX_SHOWN)}"
    notes = {} if result is not None else {"result": "there is none"}
    return Observation({"result": result, "elapsed": elapsed}, f"{shown}\n\n{seen}", notes)


def _commands(document: dict[str, Any]) -> list[Any]:
    return list(document.get("pipeline") or [document["command"]])


def _filled(command: Any, document: dict[str, Any], call: Call, where: str) -> list[Any]:
    in_session = bool(document.get("session"))
    try:
        parts = call.json(split(command))
        if not parts:
            raise CommandError("the command is empty")
        check(str(parts[0]).upper(), in_session=in_session)
    except CommandError as error:
        raise StepFailure(f"{where}: {error}", permanent=True) from error
    return list(parts)


def _answers(answers: list[Any], document: dict[str, Any]) -> list[Any] | None:
    """Give an answer for each command; None, if what a transaction watched was changed."""
    if not document.get("transaction"):
        return answers
    queued, done = answers[1:-1], answers[-1]
    if isinstance(done, Exception):
        refused = [each if isinstance(each, Exception) else None for each in queued]
        return refused if any(refused) else [done]
    return None if done is None else list(done)


def _refused(
    error: Exception,
    where: str,
    shown: str,
    elapsed: timedelta,
    commands: list[list[Any]],
    number: int,
) -> StepFailure:
    name = str(commands[number][0]).upper()
    details: dict[str, Any] = {"command": name}
    if len(commands) > 1:
        details["index"] = number
    seen = seen_error(error, details)
    return answered_failure(seen, f"{where}: {name}: {seen.message}", shown, elapsed, HOPELESS)


def _shown(commands: list[list[Any]], where: str) -> str:
    lines = [
        " ".join(part if isinstance(part, str) else json.dumps(part) for part in command)
        for command in commands
    ]
    text = "\n".join(f"  {line}" for line in lines)
    return f"Sent ({where}):\n{cut(text, _MAX_SHOWN)}"
