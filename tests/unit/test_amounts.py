"""Amounts as Kubernetes writes them, and shares."""

from __future__ import annotations

import pytest
from seatrial.api.amounts import parse_quantity, parse_share


@pytest.mark.parametrize(
    ("text", "value"),
    [("64Ki", 65536), ("1.5k", 1500), ("250m", 0.25), ("2", 2), ("1Gi", 2**30), ("3M", 3_000_000)],
)
def test_a_quantity_is_read_as_kubernetes_does(text: str, value: float) -> None:
    assert float(parse_quantity(text)) == value


@pytest.mark.parametrize("text", ["", "Ki", "1KB", "-1", "1 Mi", "1e3", "1" * 40])
def test_what_is_no_quantity_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_quantity(text)


@pytest.mark.parametrize(("text", "value"), [("50%", 0.5), ("0.1%", 0.001), ("100%", 1.0)])
def test_a_share_is_read(text: str, value: float) -> None:
    assert parse_share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["50", "101%", "-1%", "", "5 %"])
def test_what_is_no_share_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        parse_share(text)
