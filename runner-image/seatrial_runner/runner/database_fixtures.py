"""Fixtures for databases and data. Loaded by every pytest, so it imports little itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from seatrial_runner.runner.item_lanes import lane_of_item, shared_lane
from seatrial_runner.runner.session import SESSION

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from seatrial_runner.runner.connections import Connections
    from seatrial_runner.runner.databases import Data, Factory, Sql


@pytest.fixture(scope="session")
def sql(connections: Connections) -> Iterator[Sql]:
    """SQLAlchemy engines of the databases of the run, by service."""
    from seatrial_runner.runner.databases import Sql

    found = Sql(connections)
    yield found
    found.close()


@pytest.fixture
def sql_rolled_back(sql: Sql) -> Iterator[Callable[[str], Connection]]:
    """Connections whose changes are undone after the test: ``sql_rolled_back("db")``."""
    with ExitStack() as stack:
        yield lambda service: stack.enter_context(sql.rolled_back(service))


@pytest.fixture
def data(request: pytest.FixtureRequest, sql: Sql) -> Iterator[Data]:
    """Load data that is removed after the test: ``data.generate("db", {...})``."""
    from seatrial_runner.runner.databases import Data

    folders = [request.path.parent, request.config.rootpath]
    found = Data(sql, _seed(request), folders, lane_of_item(request.node))
    yield found
    found.close()


@pytest.fixture(scope="session")
def shared_data(
    request: pytest.FixtureRequest, sql: Sql, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Data]:
    """Load data that all tests see, in all workers; it is removed after the last of them."""
    from seatrial_runner.runner.databases import Data, DatabaseError, drawn_seed

    # Pods have no file in common by which they could agree who loads, and who removes.
    if (shards := request.config.stash[SESSION].settings.shards) > 1:
        raise DatabaseError(
            f"shared_data is not shared between the {shards} pods of this test: leave out its"
            " parallelism (the workers of pytest -n share it, in one pod), or use data, which"
            " each test has for itself"
        )
    worker = getattr(request.config, "workerinput", None)  # of pytest-xdist
    given = request.config.getoption("--seatrial-seed") or (worker["testrunuid"] if worker else "")
    lane = shared_lane(request.config)
    found = Data(sql, drawn_seed(given, "shared"), [request.config.rootpath], lane)
    if worker:
        from seatrial_runner.runner.shared_data import SharedData

        found = SharedData(found, tmp_path_factory.getbasetemp().parent)
    yield found
    found.close()


@pytest.fixture
def factory(request: pytest.FixtureRequest) -> Factory:
    """Make maps of realistic values: ``factory({"name": "fullName"})`` gives the function."""
    from seatrial_runner.runner.databases import Factory

    return Factory(_seed(request), lane_of_item(request.node))


def _seed(request: pytest.FixtureRequest) -> str:
    """Give the seed of a test, and let its result say it: with --seatrial-seed it is the same."""
    from seatrial_runner.runner.databases import drawn_seed

    node = request.node
    known = dict(node.user_properties).get("seed")
    if known:
        return f"{known}/{node.name}"
    seed = drawn_seed(request.config.getoption("--seatrial-seed"), node.name)
    given = seed.removesuffix(f"/{node.name}")
    node.user_properties.append(("seed", given))
    node.add_report_section("setup", "data", f"made of --seatrial-seed={given}")
    return seed
