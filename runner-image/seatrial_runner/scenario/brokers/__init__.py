"""Brokers, a module each: imported, with its driver, when a step first speaks to one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from seatrial_runner.scenario.brokers.interface import Broker, BrokerError, address

if TYPE_CHECKING:
    from seatrial_runner.scenario.tls import Tls

# By scheme of the URL: the module, its class, and the extra with its driver.
_ADAPTERS = {
    "kafka": ("kafka", "Kafka", "kafka"),
    "amqp": ("rabbitmq", "RabbitMQ", "rabbitmq"),
    "amqps": ("rabbitmq", "RabbitMQ", "rabbitmq"),
    "nats": ("nats", "Nats", "nats"),
    "tls": ("nats", "Nats", "nats"),
    "redis": ("redis_streams", "RedisStreams", "redis"),
    "rediss": ("redis_streams", "RedisStreams", "redis"),
    "mqtt": ("mqtt", "Mqtt", "mqtt"),
    "mqtts": ("mqtt", "Mqtt", "mqtt"),
}
SCHEMES = tuple(_ADAPTERS)
_OVER_TLS = ("kafka+ssl", "kafka+tls", "amqps", "tls", "rediss", "mqtts")


def adapter(url: str, tls: Tls | None = None) -> Broker:
    """
    Make the adapter for a URL; nothing is connected yet.

    Args:
        url: Of the broker.
        tls: Speak TLS, with these authorities and certificates; None: the URL decides.

    Raises:
        BrokerError: Its driver is not installed, it cannot use the URL, or a text of ``tls`` is no
            certificate or key.
    """
    module, name, extra = _ADAPTERS[url.partition("://")[0].partition("+")[0]]
    try:
        found = import_module(f"seatrial_runner.scenario.brokers.{module}")
    except ImportError as error:
        raise BrokerError(
            f"message needs the extra: pip install 'seatrial[{extra}]' ({error})", permanent=True
        ) from error
    scheme = url.partition("://")[0]
    context = None
    if tls is not None or scheme in _OVER_TLS:
        from seatrial_runner.scenario.tls import TlsError, context_of

        try:
            context = context_of(tls)
        except TlsError as error:
            raise BrokerError(str(error), permanent=True) from error
    try:
        _check_ports(url)
        made: Broker = getattr(found, name)(url, context)
    except ValueError as error:
        raise BrokerError(f"the URL of the broker is none: {error}", permanent=True) from error
    return made


def _check_ports(url: str) -> None:
    for each in address(url).split(","):
        try:
            _ = urlsplit(f"//{each}").port
        except ValueError as error:
            raise ValueError(f"{each!r} is no HOST:PORT") from error
