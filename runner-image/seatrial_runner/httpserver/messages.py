"""What is asked and what is answered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request that has arrived as a whole."""

    method: str
    path: tuple[str, ...]  # its decoded parts
    query: dict[str, str]
    authorization: str
    body: bytes
    target: str = "/"  # as it came
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case; in order

    def json(self) -> dict[str, Any]:
        """
        Read the body.

        Raises:
            ProblemError: It is no JSON object.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise ProblemError(400, "the body is not JSON") from None
        if not isinstance(value, dict):
            raise ProblemError(400, "the body must be a JSON object")
        return value


class ProblemError(Exception):
    """What the client did wrong, as a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


@dataclass(frozen=True)
class Reply:
    """An answer other than 200 with JSON."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)  # without those of framing


Handler = Callable[[Request], Awaitable[dict[str, Any] | Reply]]
