"""Real databases and brokers on loopback; each is started when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult

from tests.support import brokers
from tests.support.authority import AUTHORITY
from tests.support.broker_admin import prepare
from tests.support.ferretdb import PASSWORD as MONGO_PASSWORD
from tests.support.ferretdb import USER as MONGO_USER
from tests.support.ferretdb import ferretdb
from tests.support.mariadb import PASSWORD, USER, mariadb
from tests.support.message_cases import WITH_GROUPS, Way
from tests.support.postgres import client, postgres
from tests.support.redis_server import PASSWORD as REDIS_PASSWORD
from tests.support.redis_server import redis_server
from tests.support.scenarios import a_world, run_steps

_PASSWORD = "s3cret-of-postgres"


@pytest.fixture(scope="session")
def postgresql_port() -> Iterator[int]:
    with postgres(_PASSWORD) as port:
        client(port, "psql", "-c", "create database app", password=_PASSWORD)
        yield port


@pytest.fixture(scope="session")
def postgresql_url(postgresql_port: int) -> str:
    return f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{postgresql_port}/app"


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    with mariadb() as port:
        yield f"mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/app"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_server() as port:
        yield f"redis://:{REDIS_PASSWORD}@127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def mongo_url() -> Iterator[str]:
    with ferretdb() as port:
        yield f"mongodb://{MONGO_USER}:{MONGO_PASSWORD}@127.0.0.1:{port}/app"


@pytest.fixture(scope="session")
def kafka() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.Kafka(AUTHORITY.sign("127.0.0.1"))) as broker:
        yield broker


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.RabbitMQ(AUTHORITY.sign("127.0.0.1"))) as broker:
        yield broker


@pytest.fixture(scope="session")
def nats() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.Nats()) as broker:
        yield broker


@pytest.fixture(scope="session")
def redis() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.Redis()) as broker:
        yield broker


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.Mosquitto()) as broker:
        yield broker


@pytest.fixture
def url(product: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database of the test's ``product``: postgresql, mariadb or sqlite."""
    if product == "sqlite":
        return f"sqlite:///{tmp_path}/app.db"
    return str(request.getfixturevalue(f"{product}_url"))


@pytest.fixture
def run_there(url: str) -> Callable[..., InstanceResult]:
    """Run steps that know this database as service ``db``."""
    world = a_world(connections={"db": url})

    def steps(*steps: dict[str, Any], **test: Any) -> InstanceResult:
        return run_steps(list(steps), world, **test)

    return steps


@pytest.fixture(params=WITH_GROUPS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way by which a message comes from a broker, a group of Redis among them."""
    case = WITH_GROUPS[request.param]
    made = Way(case, request.getfixturevalue(case.fixture))
    prepare(made)
    return made
