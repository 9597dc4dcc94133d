"""Why a message ended in a dead-letter queue, as frameworks write it into its headers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By what we call it, the headers that frameworks use, in order of preference: Spring Kafka, Kafka
# Connect, Confluent's and SmallRye's, Spring Cloud Stream, MassTransit, Dapr, and what people
# write by hand.
_HEADERS = {
    "reason": (
        "kafka_dlt-exception-message", "__connect.errors.exception.message",
        "dead-letter-reason", "x-exception-message", "x-dead-letter-reason", "x-death-reason",
        "MT-Fault-Message", "dlq-reason", "error-reason", "error-message", "exception-message",
        "reason", "error",
    ),
    "error": (
        "kafka_dlt-exception-fqcn", "__connect.errors.exception.class.name",
        "dead-letter-exception-class-name", "x-exception-fqcn", "MT-Fault-ExceptionType",
        "exception-class", "error-class", "error-type",
    ),
    "from": (
        "kafka_dlt-original-topic", "__connect.errors.topic", "dead-letter-topic",
        "x-original-topic", "original-topic", "source-topic",
    ),
    "count": (
        "kafka_dlt-delivery-attempt", "x-retries", "retry-count", "attempts", "delivery-attempts",
    ),
}  # fmt: skip
_KNOWN = frozenset(header.lower() for headers in _HEADERS.values() for header in headers)
# Alone they say nothing of a dead letter.
_VAGUE = frozenset({"reason", "error", "attempts", "retry-count", "x-retries"})


def by_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give ``reason``, ``error``, ``from`` and ``count``, as far as headers say.

    Empty where no header says that the message is a dead letter.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if _KNOWN.isdisjoint(lower):  # asked of every message that comes
        return {}
    found: dict[str, Any] = {}
    certain = False
    for name, known in _HEADERS.items():
        for header in known:
            if header.lower() in lower:
                value = lower[header.lower()]
                found[name] = int(value) if name == "count" and str(value).isdigit() else value
                certain = certain or header not in _VAGUE
                break
    return found if certain else {}


def by_deaths(deaths: Any) -> dict[str, Any]:
    """
    Read RabbitMQ's ``x-death``: the newest death first.

    Returns:
        ``reason`` (rejected, expired, maxlen, delivery_limit), ``from`` (the queue),
        ``exchange``, ``count``, ``routingKeys``, and all deaths; empty if it has not died.
    """
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[0], dict):
        return {}
    newest = deaths[0]
    return {
        "reason": newest.get("reason"),
        "from": newest.get("queue"),
        "exchange": newest.get("exchange"),
        "count": newest.get("count"),
        "routingKeys": newest.get("routing-keys"),
        "deaths": deaths,
    }
