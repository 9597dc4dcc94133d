"""Writes requests, responses and failures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seatrial_runner.scenario.exchange import Response
from seatrial_runner.scenario.explain import Unmet
from seatrial_runner.scenario.redaction import MASK, Redactor, is_secret_name, without_user
from seatrial_runner.scenario.request import Request
from seatrial_runner.scenario.results import MAX_DETAILS_BYTES
from seatrial_runner.scenario.values import show_duration

MAX_BODY = 3000  # characters shown of a body
MAX_LINE = 500  # characters of a one-line message


def request_text(request: Request) -> str:
    """Write a request: its line, headers and body."""
    lines = [f"{request.method} {without_user(request.url)}", *_headers(request.headers)]
    return _block("Request", [*lines, *_body(request.body)])


def response_text(response: Response) -> str:
    """Write a response: its status, how long it took, headers and body."""
    first = f"{response.status} {response.reason}".rstrip()
    lines = [
        f"{first}, after {show_duration(response.elapsed)}",
        *_headers(response.headers),
        *_body(response.text),
    ]
    return _block("Response", lines)


def unmet_text(unmet: Unmet) -> str:
    """Write an expectation that does not hold, with its values and the difference."""
    lines = [unmet.expression, *(f"  {part} = {value}" for part, value in unmet.values)]
    if not unmet.values:
        lines.append(f"  {unmet.summary}")
    text = _block("Expected", lines)
    if unmet.diff:
        text += "\n\n" + _block("Difference (- expected, + actual)", unmet.diff.splitlines()[2:])
    return text


def one_line(text: str, redactor: Redactor) -> str:
    """Make a message: one line, without secrets, of bounded length."""
    line = " ".join(redactor.mask(text).split())
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…"


def bounded(text: str, limit: int = MAX_DETAILS_BYTES) -> str:
    """Cut the middle out of a text that is longer than ``limit`` bytes of UTF-8."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    half = (limit - 64) // 2
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n… {len(data) - 2 * half} bytes left out …\n{tail}"


def _headers(headers: Mapping[str, str]) -> list[str]:
    return [f"{name}: {MASK if is_secret_name(name) else value}" for name, value in headers.items()]


def _body(text: str) -> list[str]:
    if not text:
        return []
    shown = text
    if text[:1] in "{[":
        try:
            shown = json.dumps(_masked(json.loads(text)), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            shown = text
    if len(shown) > MAX_BODY:
        shown = f"{shown[:MAX_BODY]}\n… {len(shown) - MAX_BODY} more characters"
    return ["", *shown.splitlines()]


def _masked(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: MASK if isinstance(item, str) and is_secret_name(key) else _masked(item)
                for key, item in value.items()
            }
        case list():
            return [_masked(item) for item in value]
        case _:
            return value


def _block(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}".rstrip() for line in lines)])
