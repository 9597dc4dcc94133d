"""How many examples property tests try: few and the same in CI, many and other ones on demand."""

from __future__ import annotations

import os

PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or "patient"
WIDE = PROFILE == "wide"
_WIDER = 20


def examples(count: int) -> int:
    """Give how many examples a test tries that says so itself: twenty times as many if wide."""
    return count * _WIDER if WIDE else count
