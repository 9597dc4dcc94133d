"""
Seatrial's pytest plugin: scenario files as tests, fixtures for the system under test, and in a run
every result sent to the conductor as it happens.

It is loaded by every pytest of an installation that has Seatrial, so it imports little itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial_runner.runner.cases import REQUESTS
from seatrial_runner.runner.session import SESSION, Session

if TYPE_CHECKING:
    import httpx

    from seatrial_runner.runner.connections import Connections
    from seatrial_runner.runner.faults import FaultFactory
    from seatrial_runner.runner.services import Services
    from seatrial_runner.runner.webhooks import Webhooks

pytest_plugins = ["seatrial_runner.runner.database_fixtures"]
MARKER = "seatrial_fault"
_YAML = (".yaml", ".yml")
_MARKED_FAULTS = pytest.StashKey[ExitStack]()
_CURRENT = pytest.StashKey[pytest.Item]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a laptop."""
    group = parser.getgroup("seatrial", "Seatrial")
    group.addoption(
        "--service",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="where a service of the system under test is; may be given several times",
    )
    group.addoption(
        "--connection",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="where a database or broker is, with credentials, as in"
        " db=postgresql://USER:PASSWORD@localhost:5432/NAME; may be given several times",
    )
    group.addoption(
        "--seatrial-namespace",
        default="",
        metavar="NAME",
        help="namespace of a run that was kept, by the kubeconfig in use: for steps of kind exec,"
        " kubernetes and logs; without it, scenarios that have one are skipped",
    )
    group.addoption(
        "--seatrial-update-snapshots",
        action="store_true",
        help="store what steps with snapshot see, in place of comparing it",
    )
    group.addoption(
        "--seatrial-seed",
        default="",
        metavar="TEXT",
        help="what run.id and run.uuid of scenarios are made of; default: another one each time",
    )
    group.addoption(
        "--webhooks",
        default="",
        metavar="HOST:PORT",
        help="address on which webhooks listen; default: 127.0.0.1 and any free port, in the pods"
        " of a run the pod's own",
    )
    group.addoption(
        "--conductor",
        default="",
        metavar="URL",
        help="conductor to ask for faults; default: SEATRIAL_URL. Its token is SEATRIAL_TOKEN",
    )
    parser.addini("seatrial_services", "NAME=URL, one a line, as --service", type="linelist")
    parser.addini("seatrial_connections", "NAME=URL, one a line, as --connection", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and in a test pod the reporter."""
    config.addinivalue_line(
        "markers", f"{MARKER}(name): start a manual fault of the run around the test"
    )
    services = [*config.getini("seatrial_services"), *config.getoption("--service")]
    connections = [*config.getini("seatrial_connections"), *config.getoption("--connection")]
    try:
        session = Session(
            services,
            connections,
            config.getoption("--conductor"),
            kept_namespace=config.getoption("--seatrial-namespace"),
            webhooks=config.getoption("--webhooks"),
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[SESSION] = session
    if session.reports and not _is_xdist_worker(config):
        from seatrial_runner.runner.reporting import Reporter

        assert session.api is not None
        config.pluginmanager.register(Reporter(session.settings, session.api), "seatrial-reporter")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Deliver the last evidence of traffic."""
    session = config.stash.get(SESSION, None)
    if session and (problem := session.traffic.close()):
        import sys

        sys.stderr.write(f"seatrial: {problem}\n")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect YAML files that are named, and in folders those whose names say so."""
    if file_path.suffix not in _YAML:
        return None
    from seatrial_runner.runner.scenario_files import is_scenario_name
    from seatrial_runner.runner.scenario_items import ScenarioFile

    if parent.session.isinitpath(file_path) or is_scenario_name(file_path):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """In a test pod keep this shard's tests, and in a further attempt those that failed."""
    from seatrial_runner.runner.item_lanes import number_items

    number_items(config, items)
    yield
    number_items(config, items)  # what other plugins have added
    _keep_ours(config, items)


def _keep_ours(config: pytest.Config, items: list[pytest.Item]) -> None:
    session = config.stash[SESSION]
    if not session.reports:
        return
    from seatrial_runner.runner.sharding import is_ours, is_wanted

    shard, shards, again = session.settings.shard, session.settings.shards, _to_run_again()
    kept = [item for item in items if is_ours(item.nodeid, shard, shards)]
    if again is not None:
        kept = [item for item in kept if is_wanted(item.nodeid, again)]
    ours = set(kept)
    if len(ours) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in ours])
        items[:] = kept


def _to_run_again() -> list[str] | None:
    import json
    import os

    from seatrial_runner.runner.settings import ENV_ONLY_FILE

    path = os.environ.get(ENV_ONLY_FILE)
    if not path:
        return None
    return [str(node_id) for node_id in json.loads(Path(path).read_text(encoding="utf-8"))]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    """Let a shard that has no test of a suite end well."""
    run = session.config.stash[SESSION]
    empty = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    if empty and run.reports and run.settings.shards > 1:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Know which test is running: a fixture of the whole session records something of it."""
    item.config.stash[_CURRENT] = item
    try:
        return (yield)
    finally:
        del item.config.stash[_CURRENT]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Start the faults a test is marked with, when its fixtures are there."""
    yield
    marks = list(item.iter_markers(MARKER))
    if not marks:
        return
    from seatrial_runner.runner.faults import Fault

    faults = item.config.stash[SESSION].faults
    if not faults.available:
        from seatrial_runner.scenario.cluster_needed import needs_faults

        pytest.skip(needs_faults([str(name) for mark in marks for name in mark.args]))
    started = item.stash.setdefault(_MARKED_FAULTS, ExitStack())
    for mark in reversed(marks):
        for name in mark.args:
            started.enter_context(Fault(str(name), faults))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Stop the faults a test is marked with, before its fixtures go."""
    started = item.stash.get(_MARKED_FAULTS, None)
    try:
        if started is not None:
            started.close()
    finally:
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a report say how many requests its phase sent, and what is to be known of a scenario."""
    report = yield
    setattr(report, REQUESTS, item.config.stash[SESSION].traffic.take())
    if item.path.suffix in _YAML:
        from seatrial_runner.runner.scenario_items import mark

        mark(item, report)
    return report


def _is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


class SeatrialRun:
    """The fixture ``seatrial``: what a test may know of its run."""

    def __init__(self, session: Session, faults: FaultFactory) -> None:
        self._session = session
        self.faults = faults

    @property
    def services(self) -> Services:
        """The services by name: ``seatrial.services["orders"].url``."""
        return self._session.services

    @property
    def namespace(self) -> str:
        """The run's own namespace; empty outside of a run."""
        return self._session.namespace

    @property
    def run(self) -> str:
        """The run's name; empty outside of a run."""
        return self._session.run

    def url(self, service: str, port: str | None = None) -> str:
        """Give the URL of a service, or of one of its ports by name."""
        return self._session.services.url(service, port)


@pytest.fixture(scope="session")
def seatrial(pytestconfig: pytest.Config, faults: FaultFactory) -> SeatrialRun:
    """The run: its services, namespace, name and faults."""
    return SeatrialRun(pytestconfig.stash[SESSION], faults)


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Services:
    """The services of the system under test, by name."""
    return pytestconfig.stash[SESSION].services


@pytest.fixture(scope="session")
def connections(pytestconfig: pytest.Config) -> Connections:
    """The URLs of databases and brokers, with credentials, by the name of their service."""
    from seatrial_runner.runner.connections import Connections

    session = pytestconfig.stash[SESSION]
    return Connections(session.connections, session.traffic.add)


@pytest.fixture
def http(pytestconfig: pytest.Config) -> Iterator[httpx.Client]:
    """An httpx client whose requests count as traffic for the run's faults."""
    from seatrial_runner.runner.http_client import make_client

    session = pytestconfig.stash[SESSION]
    with make_client(session.traffic, session.base_urls) as client:
        yield client


@pytest.fixture
def webhook(pytestconfig: pytest.Config) -> Iterator[Webhooks]:
    """Open an endpoint that services call back: ``webhook("paid").url``, ``.wait()``."""
    from seatrial_runner.runner.webhooks import Webhooks

    opened = Webhooks(pytestconfig.stash[SESSION].webhook_place)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def faults(pytestconfig: pytest.Config) -> FaultFactory:
    """Give a manual fault of the run by its name, as a context manager: in effect inside of it."""
    from seatrial_runner.runner.faults import FaultFactory

    return FaultFactory(pytestconfig.stash[SESSION].faults)


@pytest.fixture(scope="session")
def eventually(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """
    Repeat a check until it holds: ``eventually(lambda: ..., within=5, every=0.1)``.

    How long that took is a property of the test.
    """
    from functools import partial

    from seatrial_runner.runner.eventually import eventually
    from seatrial_runner.runner.settled import note_settled

    def record(name: str, seconds: float) -> None:
        if test := pytestconfig.stash.get(_CURRENT, None):
            note_settled(test.user_properties, name, seconds)

    return partial(eventually, record=record)
