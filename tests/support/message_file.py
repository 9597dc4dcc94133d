"""The scenarios of ``tests/e2e/inside/messages.yaml``, and what becomes of them everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[1] / "e2e/inside/messages.yaml"
BROKERS = ("kafka", "rabbitmq", "nats", "redis", "mosquitto")
BROKEN = "broken"
TOLD = "of the one that came: expected message.json.order == 7, but message.json.order is 6"


def message_tests() -> list[dict[str, Any]]:
    """Load them."""
    loaded: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["tests"]
    return loaded
