"""Keeps secrets out of what a person will read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

MASK = "***"
MIN_SECRET = 4  # shorter texts would blank out half of a message
_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|credential|api[-_]?key|private[-_]?key|session[-_]?id|^auth$",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Tell whether a header, a field or a parameter of this name holds a secret."""
    return name.lower() in _HEADERS or bool(_SECRET_NAME.search(name))


class Redactor:
    """
    Learns the secrets of a scenario as they go by, and masks them wherever they turn up.

    NB: used by the threads of parallel branches; ``set.update`` and the copy in ``mask`` are each
    one step of the interpreter.
    """

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn(self, secret: str | None) -> None:
        """Remember a secret's text, if it is long enough to be told from other text."""
        if secret and len(secret) >= MIN_SECRET:
            # Texts are also shown as JSON, where quotes and backslashes look different.
            self._secrets.update({secret, json.dumps(secret)[1:-1]})

    def learn_headers(self, headers: Mapping[str, str]) -> None:
        """Remember the values of headers that hold secrets, and what follows ``Bearer``."""
        for name, value in headers.items():
            if is_secret_name(name):
                self.learn(value)
                self.learn(value.partition(" ")[2] if "cookie" not in name.lower() else None)
            if name.lower() in ("cookie", "set-cookie"):
                for pair in value.split(";")[: None if name.lower() == "cookie" else 1]:
                    self.learn(pair.partition("=")[2].strip())

    def learn_json(self, value: Any) -> None:
        """Remember the texts in fields whose names say that they hold secrets."""
        match value:
            case dict():
                for key, item in value.items():
                    if isinstance(item, str) and is_secret_name(str(key)):
                        self.learn(item)
                    else:
                        self.learn_json(item)
            case list():
                for item in value:
                    self.learn_json(item)
            case _:
                pass

    def learn_url(self, url: str) -> None:
        """Remember a password before the host, and secret query parameters."""
        try:
            parts = urlsplit(url)
            self.learn(parts.password)
        except ValueError:  # a URL that is refused later, with a message of its own
            return
        for pair in parts.query.split("&"):
            name, _, value = pair.partition("=")
            if is_secret_name(unquote(name)):
                self.learn(value)
                self.learn(unquote(value))

    def mask(self, text: str) -> str:
        """Replace every secret known so far."""
        # Longest first: one secret may be part of another.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text


def without_user(url: str) -> str:
    """Take user and password out of a URL."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
