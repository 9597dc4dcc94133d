"""How messages name a place in a run: ``spec.tests[0].scenario[1].http["a b"]``. Plain."""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


def below(field: str, part: int | str) -> str:
    """Name a place one step further down; whatever a key is, the name stays on one line."""
    if isinstance(part, int):
        return f"{field}[{part}]"
    return f"{field}.{part}" if _PLAIN.fullmatch(part) else f"{field}[{json.dumps(part[:80])}]"
