"""Keeps passwords of the run's databases and brokers, and its Secrets, out of what people read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote

from seatrial.api import names

_MASK = "***"
_SHORTEST = 4  # a shorter one would blank out half of a text


def masked(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Replace the passwords in SEATRIAL_CONNECTIONS, and values of Secrets of ``spec.envFrom``."""
    secrets = tuple(v.strip() for k, v in environ.items() if k.startswith(names.ENV_SECRET_PREFIX))
    for secret in _known(environ.get(names.ENV_CONNECTIONS, ""), secrets):
        text = text.replace(secret, _MASK)
    return text


@lru_cache(maxsize=1)
def _known(document: str, secrets: tuple[str, ...]) -> tuple[str, ...]:
    texts = {*secrets, *(_passwords(document) if document else ())}
    # Longest first: one may be part of another.
    return tuple(sorted((each for each in texts if len(each) >= _SHORTEST), key=len, reverse=True))


def _passwords(document: str) -> set[str]:
    from seatrial_runner.scenario.connections import read_connections

    urls = read_connections(document).values()
    written = {url.partition("://")[2].rpartition("@")[0].partition(":")[2] for url in urls}
    return written | set(map(unquote, written))
