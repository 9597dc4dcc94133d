"""What one pytest process knows of the run: services, conductor, traffic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import pytest
from seatrial.api import names

from seatrial_runner.runner.conductor_api import ConductorApi
from seatrial_runner.runner.faults import ConductorFaults
from seatrial_runner.runner.services import Services, read_services
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
    """

    def __init__(
        self,
        service_options: list[str],
        conductor_url: str,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._service_options = service_options
        self._environ = environ
        self.settings = Settings(environ)
        url = conductor_url or self.settings.url
        self.api = ConductorApi(url, self.settings.token) if url else None
        self.traffic = Traffic(self.api)
        self.faults = ConductorFaults(self.api, self.settings.test)

    @property
    def reports(self) -> bool:
        """Whether this is a test pod, whose results the conductor waits for."""
        return bool(self.api and self.settings.url and self.settings.test)

    @cached_property
    def _read(self) -> tuple[Services, dict[str, str]]:
        return read_services(self._environ.get(names.ENV_SERVICES, ""), self._service_options)

    @property
    def services(self) -> Services:
        """The services; raises ServiceError when they are said wrongly."""
        return self._read[0]

    @property
    def base_urls(self) -> dict[str, str]:
        """Where requests go instead, by host."""
        return self._read[1]

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
