"""Reads a FaultOrder from what came in; nothing in it is believed."""

from __future__ import annotations

import math
from typing import Any

from seatrial.api.control import FaultOrder, PathDoc
from seatrial.api.families import GATEWAY, POD

MAX_FOR_S = 3600.0
MAX_PATHS = 256
MAX_SOURCES = 256
MAX_NAME = 253

_FIELDS = {"kind", "params", "forS", "seed", "paths", "connections", "containerId"}


def read_order(body: dict[str, Any]) -> FaultOrder:
    """
    Check the common fields of an order; ``params`` is the carrier's to read.

    Raises:
        ValueError: The message names the field, and what it must be.
    """
    if unknown := sorted(set(body) - _FIELDS):
        raise ValueError(f"{unknown[0][:40]}: there is no such field in an order")
    order = FaultOrder(
        kind=_kind(body.get("kind")),
        params=_params(body.get("params")),
        forS=_number("forS", body.get("forS"), most=MAX_FOR_S),
        seed=_seed(body.get("seed", 0)),
    )
    if order["forS"] <= 0:
        raise ValueError("forS: must be more than 0")
    if body.get("paths") is not None:
        order["paths"] = _paths(body["paths"])
    if body.get("connections") is not None:
        order["connections"] = _number("connections", body["connections"], most=1.0)
    if body.get("containerId") is not None:
        order["containerId"] = _text("containerId", body["containerId"])
    return order


def read_sources(body: dict[str, Any]) -> dict[str, list[str]]:
    """
    Check who is behind which address.

    Raises:
        ValueError: The message names the field, and what it must be.
    """
    sources = body.get("sources")
    if not isinstance(sources, dict):
        raise ValueError("sources: must be an object of lists of addresses")
    return {
        name: _texts(f"sources.{name[:60]}", addresses, most=10_000)
        for name, addresses in sources.items()
    }


def _kind(value: object) -> str:
    kinds = (*GATEWAY, *POD)
    if not isinstance(value, str) or value not in kinds:
        raise ValueError(f"kind: must be one of {', '.join(kinds)}")
    return value


def _params(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("params: must be an object")
    return value


def _number(field: str, value: object, *, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{field}: must be a number")
    if math.isnan(value) or not 0 <= value <= most:
        raise ValueError(f"{field}: must be from 0 to {most:g}")
    return float(value)


def _seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("seed: must be a whole number from 0 to 2^63 - 1")
    return value


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        raise ValueError(f"{field}: must be a text of 1 to {MAX_NAME} characters")
    return value


def _texts(field: str, value: object, *, most: int) -> list[str]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{field}: must be a list of at most {most}")
    return [_text(f"{field}[{number}]", each) for number, each in enumerate(value)]


def _paths(value: object) -> list[PathDoc]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_PATHS:
        raise ValueError(f"paths: must be a list of 1 to {MAX_PATHS}")
    return [_path(f"paths[{number}]", each) for number, each in enumerate(value)]


def _path(field: str, value: object) -> PathDoc:
    if not isinstance(value, dict):
        raise ValueError(f"{field}: must be an object")
    port, sources = value.get("port"), value.get("sources")
    return PathDoc(
        service=_text(f"{field}.service", value.get("service")),
        port=None if port is None else _text(f"{field}.port", port),
        sources=None if sources is None else _texts(f"{field}.sources", sources, most=MAX_SOURCES),
    )
