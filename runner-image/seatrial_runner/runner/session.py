"""What one pytest process knows of the run: services, conductor, traffic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest
from seatrial.api import names

from seatrial_runner.runner.conductor_api import ConductorApi
from seatrial_runner.runner.faults import ConductorFaults
from seatrial_runner.runner.services import read_services
from seatrial_runner.runner.settings import Settings
from seatrial_runner.runner.traffic import Traffic

if TYPE_CHECKING:
    from seatrial_runner.scenario import World


class Session:
    """
    Made once for each process, cheaply: most sessions of an installed plugin never use it.

    Args:
        service_options: ``NAME=URL``, from the command line and the ini file.
        conductor_url: From the command line; SEATRIAL_URL without it. Empty: no conductor.
        environ: The process's environment.

    Raises:
        ValueError: A service, or the conductor's URL, is said wrongly.
    """

    def __init__(
        self,
        service_options: list[str],
        conductor_url: str,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._environ = environ
        # What is said wrongly is said at once, not in the middle of a session.
        self.services, self.base_urls = read_services(
            environ.get(names.ENV_SERVICES, ""), service_options
        )
        self.settings = Settings(environ)
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

    def world(self) -> World:
        """Give the world of a scenario."""
        from seatrial_runner.scenario import World

        return World(
            faults=self.faults,
            services=self.services.to_json(),
            base_urls=self.base_urls,
            environ=visible(self._environ),
            on_request=self.traffic.add,
        )


def visible(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the variables a scenario may see as ``env``: SEATRIAL_*, without the token."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("SEATRIAL_") and name != names.ENV_TOKEN
    }


SESSION = pytest.StashKey[Session]()
