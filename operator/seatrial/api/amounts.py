"""Amounts as a user writes them: ``64Ki``, ``1%``. Plain: the pods use it too."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_UNITS: dict[str | None, Decimal] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T"), 1)},
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)%")


def parse_quantity(text: str) -> Decimal:
    """
    Read a quantity of Kubernetes: ``64Ki`` is 65536.

    Raises:
        ValueError: The text is none.
    """
    found = _QUANTITY.fullmatch(text) if len(text) <= 32 else None
    if found is None:
        raise ValueError(f"{text[:40]!r} is not an amount: write it like 250m, 1.5 or 128Mi")
    return Decimal(found[1]) * _UNITS[found[2]]


def parse_share(text: str) -> float:
    """
    Read a share: ``50%`` is 0.5.

    Raises:
        ValueError: The text is none, or is more than 100%.
    """
    found = _SHARE.fullmatch(text)
    if found is None or float(found[1]) > 100:
        raise ValueError(f"{text[:40]!r} is not a share: write it like 50%, 0.1% or 100%")
    return float(found[1]) / 100
