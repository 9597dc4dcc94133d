"""Encodes a body of fields and files as multipart/form-data (RFC 7578)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.request import RequestError, from_base64

_ESCAPES = {'"': "%22", "\r": "%0D", "\n": "%0A"}  # as browsers do


def encoded(
    parts: list[dict[str, Any]], fill: Callable[[str], str], redactor: Redactor
) -> tuple[bytes, str]:
    """
    Give body and media type.

    Raises:
        RequestError: A part cannot be sent as it is written.
    """
    made = []
    for index, part in enumerate(parts):
        field = f"multipart[{index}]"
        if "text" in part:
            text = fill(part["text"])
            redactor.learn_json({part["name"]: text})
            content = text.encode("utf-8", "surrogateescape")
        else:
            content = from_base64(fill(part["base64"]), f"{field}.base64")
        made.append(_head(part, fill, field) + content)
    # From what it must not occur in: the same request has the same bytes each time.
    boundary = b"seatrial-" + hashlib.sha256(b"".join(made)).hexdigest()[:32].encode()
    body = b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in made)
    return body + b"--" + boundary + b"--\r\n", f"multipart/form-data; boundary={boundary.decode()}"


def _head(part: dict[str, Any], fill: Callable[[str], str], field: str) -> bytes:
    lines = f'Content-Disposition: form-data; name="{_quoted(fill(part["name"]))}"'
    media_type = fill(part.get("contentType") or "")
    if part.get("filename"):
        lines += f'; filename="{_quoted(fill(part["filename"]))}"'
        media_type = media_type or "application/octet-stream"
    if media_type:
        if not media_type.isprintable():
            raise RequestError(f"{field}.contentType has a character that no header can have")
        lines += f"\r\nContent-Type: {media_type}"
    return f"{lines}\r\n\r\n".encode()


def _quoted(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)
