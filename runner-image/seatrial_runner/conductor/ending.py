"""What a test came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Come:
    """Outcome, message and whether results are missing, as a TestState has them."""

    outcome: str
    message: str
    lost: bool = False
