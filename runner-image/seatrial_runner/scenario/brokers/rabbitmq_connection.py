"""Connections to RabbitMQ, and its errors in words."""

from __future__ import annotations

import asyncio
import logging
import ssl
from urllib.parse import unquote, urlsplit

import aiormq
import aiormq.exceptions as aerr

from seatrial_runner.scenario.brokers.interface import (
    CONNECT_S,
    BrokerError,
    because,
    credentials,
)

ERRORS = (aerr.AMQPError, aerr.ChannelInvalidStateError, OSError)
# By the name in a step, those that AMQP has.
PROPERTIES = {
    "contentType": "content_type",
    "correlationId": "correlation_id",
    "replyTo": "reply_to",
    "messageId": "message_id",
    "type": "message_type",
    "expiration": "expiration",
}


# Without a handler of the user's its warnings would go to stderr: what matters is in the results.
logging.getLogger("aiormq").addHandler(logging.NullHandler())


async def connect(
    url: str, shown: str, secure: ssl.SSLContext | None = None
) -> aiormq.abc.AbstractConnection:
    """
    Connect; over TLS if a context is given.

    Raises:
        BrokerError: It says whether it was not reached, or did not like the user.
    """
    try:
        async with asyncio.timeout(CONNECT_S):
            return await aiormq.connect(url, context=secure)
    except (aerr.ProbableAuthenticationError, aerr.AuthenticationError) as error:
        user = credentials(url)[0] or "guest"
        text = f"{shown} refuses user {user!r}: wrong user name or password"
        raise BrokerError(text, permanent=True) from error
    except (*ERRORS, TimeoutError) as error:
        if "Connection.OpenOk" in str(error):  # aiormq's way to say that it was closed instead
            host = unquote(urlsplit(url).path[1:]) or "/"
            text = f"{shown} has no such virtual host, or not for this user: {host!r}"
            raise BrokerError(text, permanent=True) from error
        raise reason(error, shown) from error


def reason(error: BaseException, shown: str) -> BrokerError:
    """Put an error into words."""
    match error:
        case aerr.ChannelAccessRefused():
            return BrokerError(f"{shown} does not let the user do that: {error}", permanent=True)
        case TimeoutError():
            return BrokerError(f"{shown} did not answer in time")
        case aerr.AMQPConnectionError() if "bytes expected" in str(error):
            # The frame of something else has no length that makes sense.
            return BrokerError(f"{shown}: no RabbitMQ answers there: {because(error)}")
        case aerr.AMQPConnectionError() | OSError() | aerr.ChannelInvalidStateError():
            return BrokerError(f"{shown} cannot be reached: {because(error)}")
        case _:
            return BrokerError(f"{shown}: {error}")
