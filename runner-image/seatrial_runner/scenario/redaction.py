"""Keeps secrets out of what a person will read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit, urlunsplit

MASK = "***"
CUT = "…"  # stands right where something was left out
MIN_SECRET = 4  # shorter texts would blank out half of a message
_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_LEAST_PART = 2  # one character of a secret tells nothing, and may be one of any other text
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|credential|api[-_]?key|private[-_]?key|session[-_]?id|^auth$",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Tell whether a header, a field or a parameter of this name holds a secret."""
    return name.lower() in _HEADERS or bool(_SECRET_NAME.search(name))


def masked_fields(value: Any) -> Any:
    """Give a JSON value with the texts masked that stand in fields whose names say secrets."""
    match value:
        case dict():
            return {
                key: MASK if isinstance(item, str) and is_secret_name(key) else masked_fields(item)
                for key, item in value.items()
            }
        case list():
            return [masked_fields(item) for item in value]
        case _:
            return value


def cut(text: str, limit: int) -> str:
    """Keep the beginning of a text that a Redactor will mask: it finds what the cut has split."""
    return text if len(text) <= limit else text[:limit] + CUT


def beginning(text: str, limit: int) -> str:
    """Keep the beginning of a text of many lines, and say how much was left out."""
    more = f"\n({len(text) - limit} more characters)" if len(text) > limit else ""
    return cut(text, limit) + more


def cut_front(text: str, limit: int) -> str:
    """Keep the end of a text: where it says why."""
    return text if len(text) <= limit else CUT + text[-limit:]


class Redactor:
    """
    Learns the secrets of a scenario as they go by, and masks them wherever they turn up.

    NB: used by the threads of parallel branches; ``set.update`` and the copy in ``mask`` are each
    one step of the interpreter.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        for secret in known:
            self.learn(secret)

    def learn(self, secret: str | None) -> None:
        """Remember a secret's text, if it is long enough to be told from other text."""
        if secret and len(secret) >= MIN_SECRET:
            # Texts are also shown as JSON, where quotes and backslashes look different, and in
            # forms and URLs. NB: half of a surrogate pair cannot be sent there, nor be quoted.
            quoted = {json.dumps(secret, ensure_ascii=each)[1:-1] for each in (True, False)}
            sent = {quote_plus(secret, errors="replace"), quote(secret, "", errors="replace")}
            self._secrets.update({secret, *quoted, *sent})

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
            self.learn(unquote(parts.password or ""))
        except ValueError:  # a URL that is refused later, with a message of its own
            return
        for pair in parts.query.split("&"):
            name, _, value = pair.partition("=")
            if is_secret_name(unquote(name)):
                self.learn(value)
                self.learn(unquote(value))

    def mask_json(self, value: Any) -> Any:
        """Replace every secret known so far in every text of a JSON value."""
        match value:
            case str():
                return self.mask(value)
            case dict():
                return {key: self.mask_json(item) for key, item in value.items()}
            case list():
                return [self.mask_json(item) for item in value]
            case _:
                return value

    def mask(self, text: str) -> str:
        """Replace every secret known so far; of one that a cut has split, what is left of it."""
        # Longest first: one secret may be part of another.
        secrets = sorted(self._secrets, key=len, reverse=True)
        for secret in secrets:
            text = text.replace(secret, MASK)
        if CUT not in text:
            return text
        first, *pieces = text.split(CUT)
        whole = first
        for piece in pieces:
            whole = _without_beginning(whole, secrets) + CUT + _without_end(piece, secrets)
        return whole


def _without_beginning(text: str, secrets: list[str]) -> str:
    """Take off the beginning of a secret that a text ends with."""
    keep = len(text)
    for secret in secrets:
        at = text.find(secret[:_LEAST_PART], max(0, len(text) - len(secret)))
        while 0 <= at < keep and not secret.startswith(text[at:]):
            at = text.find(secret[:_LEAST_PART], at + 1)
        keep = min(keep, at) if at >= 0 else keep
    return text[:keep]


def _without_end(text: str, secrets: list[str]) -> str:
    """Take off the end of a secret that a text begins with."""
    return _without_beginning(text[::-1], [each[::-1] for each in secrets])[::-1]


def without_user(url: str) -> str:
    """Take user and password out of a URL."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
