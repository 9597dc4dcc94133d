"""Writes requests, responses and failures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping

from seatrial_runner.scenario.exchange import Response
from seatrial_runner.scenario.explain import Unmet
from seatrial_runner.scenario.redaction import (
    CUT,
    MASK,
    Redactor,
    beginning,
    cut,
    is_secret_name,
    masked_fields,
    without_user,
)
from seatrial_runner.scenario.request import Request
from seatrial_runner.scenario.results import MAX_DETAILS_BYTES
from seatrial_runner.scenario.values import show_duration

MAX_BODY = 3000  # characters shown of a body
MAX_LINE = 500  # characters of a one-line message


def request_text(request: Request) -> str:
    """Write a request: its line, headers and body."""
    lines = [f"{request.method} {without_user(request.url)}", *_headers(request.headers)]
    return _block("Request", [*lines, *_body(_text_of(request))])


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
    if unmet.differences:
        title = "Difference" if len(unmet.differences) == 1 else "Differences"
        text += "\n\n" + _block(title, unmet.differences)
    if unmet.diff:
        text += "\n\n" + _block("Difference (- expected, + actual)", unmet.diff.splitlines()[2:])
    return text


def one_line(text: str, redactor: Redactor) -> str:
    """Make a message: one line, without secrets, of bounded length."""
    line = " ".join(redactor.mask(text).split())
    return cut(line, MAX_LINE - 1) if len(line) > MAX_LINE else line


def bounded(text: str, limit: int = MAX_DETAILS_BYTES) -> str:
    """Cut the middle out of a text that is longer than ``limit`` bytes of UTF-8."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    half = (limit - 64) // 2
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}{CUT}\n({len(data) - 2 * half} bytes left out)\n{CUT}{tail}"


def _headers(headers: Mapping[str, str]) -> list[str]:
    return [f"{name}: {MASK if is_secret_name(name) else value}" for name, value in headers.items()]


def _text_of(request: Request) -> str:
    try:
        return request.body.decode("utf-8")
    except UnicodeDecodeError:
        # Bytes of a file, or a text that no UTF-8 can carry.
        return request.body.decode("utf-8", "replace")


def _body(text: str) -> list[str]:
    if not text:
        return []
    shown = text
    if text[:1] in "{[":
        try:
            shown = json.dumps(masked_fields(json.loads(text)), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            shown = text
    return ["", *beginning(shown, MAX_BODY).splitlines()]


def _block(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}".rstrip() for line in lines)])
