"""What a URL sets that its driver cannot use is told by its name, and is no defect of ours."""

from __future__ import annotations

import asyncio

import pytest
from seatrial_runner.scenario.brokers import adapter
from seatrial_runner.scenario.brokers.interface import BrokerError
from seatrial_runner.scenario.brokers.kafka import Kafka

from tests.support.scenarios import run_steps


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            {"redis": {"url": "redis://127.0.0.1:1?colour=red", "command": "PING"}},
            "the URL's parameter 'colour' is none of Redis: leave it out",
        ),
        (
            {"mongo": {"url": "mongodb://db/app?tlsCAFile=/etc/hosts", "command": {"ping": 1}}},
            "a file that the URL names (tls...File) is of no use: [X509",
        ),
        (
            {"mongo": {"url": "mongodb://db/app?tlsCRLFile=/none", "command": {"ping": 1}}},
            "a file that the URL names (tls...File) is of no use: [Errno 2] The tlscrlfile file",
        ),
    ],
)
def test_a_step_says_which_parameter_of_its_url_is_of_no_use(
    step: dict[str, object], told: str
) -> None:
    result = run_steps([{**step, "retries": 2}])
    assert (result.outcome, result.message.count("url: ")) == ("failed", 1)
    assert told in result.message
    assert [each.attempts for each in result.steps] == [1]


@pytest.mark.parametrize("mechanism", ["abc", "GSSAPI", "oauthbearer"])
def test_a_mechanism_of_kafka_that_cannot_be_used_is_told_for_good(mechanism: str) -> None:
    kafka = Kafka(f"kafka://app:s3cret@127.0.0.1:1?sasl={mechanism}")
    with pytest.raises(BrokerError) as told:
        asyncio.run(kafka.start())
    assert told.value.permanent
    assert str(told.value) == (
        "Kafka at 127.0.0.1:1: sasl in its URL is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512,"
        f" not '{mechanism.upper()}'"
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://:s3cret@db:6379?colour=red", "parameter 'colour' is none of Redis: leave it out"),
        ("redis://:s3cret@db:6379?db=first", "Invalid value for 'db' in connection URL."),
        ("kafka://app:s3cret@a:9092,b:first", "'b:first' is no HOST:PORT"),
        ("kafka://app:s3cret@b:99999", "'b:99999' is no HOST:PORT"),
        ("amqp://app:s3cret@b:99999", "'b:99999' is no HOST:PORT"),
        ("nats://app:s3cret@b:99999", "'b:99999' is no HOST:PORT"),
        ("nats://app:s3cret@[::1:4222", "the URL of the broker is none: Invalid IPv6 URL"),
        ("mqtt://app:s3cret@b:99999", "'b:99999' is no HOST:PORT"),
    ],
)
def test_a_url_of_a_broker_that_is_none_is_told_for_good(url: str, told: str) -> None:
    async def made() -> None:
        adapter(url)

    with pytest.raises(BrokerError) as error:
        asyncio.run(made())
    assert error.value.permanent
    assert str(error.value).endswith(told)
    assert "s3cret" not in str(error.value)
