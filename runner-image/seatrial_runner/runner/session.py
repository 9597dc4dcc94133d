"""What one pytest process knows of the run: services, conductor, traffic."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import pytest
from seatrial.api import names

from seatrial_runner.runner.conductor_api import ConductorApi
from seatrial_runner.runner.faults import ConductorFaults
from seatrial_runner.runner.services import read_services
from seatrial_runner.runner.settings import Settings
from seatrial_runner.runner.traffic import Traffic
from seatrial_runner.runner.webhook_place import webhook_place
from seatrial_runner.scenario.connections import read_connections

if TYPE_CHECKING:
    from seatrial_runner.scenario import World
    from seatrial_runner.scenario.world import Cluster, WebhookPlace


class Session:
    """
    Made once for each process, cheaply: most sessions of an installed plugin never use it.

    Args:
        service_options: ``NAME=URL``, from the command line and the ini file.
        connection_options: The same, of databases and brokers, with credentials.
        conductor_url: From the command line; SEATRIAL_URL without it. Empty: no conductor.
        kept_namespace: Of a run, for steps that look at the cluster; empty: they are skipped.
        webhooks: HOST:PORT to listen on for calls; empty: as fits.
        environ: The process's environment.

    Raises:
        ValueError: A service, a connection, the conductor's URL or webhooks are said wrongly.
    """

    def __init__(
        self,
        service_options: list[str],
        connection_options: list[str],
        conductor_url: str,
        environ: Mapping[str, str] = os.environ,
        *,
        kept_namespace: str = "",
        webhooks: str = "",
    ) -> None:
        self._environ = environ
        self._cluster = _cluster(kept_namespace)
        # What is said wrongly is said at once, not in the middle of a session.
        self.services, self.base_urls = read_services(
            environ.get(names.ENV_SERVICES, ""), service_options
        )
        self.connections = read_connections(
            environ.get(names.ENV_CONNECTIONS, ""), connection_options
        )
        self.settings = Settings(environ)
        self._webhooks = webhooks
        if webhooks:
            webhook_place(webhooks, "")
        url = conductor_url or self.settings.url
        self.api = ConductorApi(url, self.settings.token) if url else None
        self.traffic = Traffic(self.api)
        self.faults = ConductorFaults(self.api, self.settings.test)

    @property
    def reports(self) -> bool:
        """Whether this is a test pod, whose results the conductor waits for."""
        return bool(self.api and self.settings.url and self.settings.test)

    @property
    def namespace(self) -> str:
        """The run's own namespace; empty outside of a run."""
        return self._environ.get(names.ENV_NAMESPACE, "")

    @property
    def run(self) -> str:
        """The run's name; empty outside of a run."""
        return self._environ.get(names.ENV_RUN, "")

    @cached_property
    def webhook_place(self) -> WebhookPlace:
        """Where webhooks listen: on a laptop for this machine, in a test pod for all services."""
        return webhook_place(self._webhooks, self.settings.url if self.reports else "")

    def world(self) -> World:
        """Give the world of a scenario."""
        from seatrial_runner.scenario import World
        from seatrial_runner.scenario.given import given_variables

        given = given_variables(self._environ)
        return World(
            faults=self.faults if self.faults.available else None,
            services=self.services.to_json(),
            base_urls=self.base_urls,
            cluster=self._cluster,
            connections=self.connections,
            environ={**visible(self._environ), **given["environ"]},
            secrets=given["secrets"],
            webhooks=self.webhook_place,
            on_request=self.traffic.add,
        )


def _cluster(kept_namespace: str) -> Callable[[], Cluster] | None:
    if not kept_namespace:
        return None
    from seatrial_runner.runner.kept_namespace import kept_cluster

    return kept_cluster(kept_namespace)


def visible(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the variables a scenario may see as ``env``: SEATRIAL_*, without what is secret."""
    secret = (names.ENV_TOKEN, names.ENV_CONNECTIONS)
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("SEATRIAL_")
        and name not in secret
        and not name.startswith(names.ENV_SECRET_PREFIX)
    }


SESSION = pytest.StashKey[Session]()
