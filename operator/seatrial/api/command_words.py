"""Splits a command as a shell would, and leaves ``{{ ... }}`` in one piece. Plain."""

from __future__ import annotations

import re
import shlex

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_MARK = "\ue000"  # for private use: it stands for no character


def words(text: str) -> list[str]:
    """
    Give the words of a command.

    Values are put into words after this, so that no value can become several of them.

    Raises:
        ValueError: A quote is not closed.
    """
    templates = _TEMPLATE.findall(text)
    found = shlex.split(_TEMPLATE.sub(_MARK, text.replace(_MARK, "")))
    rest = iter(templates)
    return [re.sub(_MARK, lambda _: next(rest), word) for word in found]
