"""The fixture ``connections``: where the databases and brokers of the run are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from seatrial_runner import clock


class UnknownConnectionError(KeyError):
    """There is no such service; the message says which there are, and how to name another."""

    def __str__(self) -> str:
        return str(self.args[0])


class Connections(Mapping[str, str]):
    """
    URLs with credentials, by the name of their service.

    Each look-up counts as a request that the test sends there, which is what proves that a fault
    met some: nobody sees what a driver does. So look it up where you connect.
    """

    def __init__(
        self, urls: Mapping[str, str], on_request: Callable[[datetime, str], None]
    ) -> None:
        self._urls = urls
        self._on_request = on_request

    def __getitem__(self, name: str) -> str:
        if name not in self._urls:
            known = ", ".join(sorted(self._urls)) or "none"
            raise UnknownConnectionError(
                f"no connection to {name!r} is known; known are: {known}. Give the service a"
                f" preset; outside of a run: --connection {name}=SCHEME://USER:PASSWORD@HOST:PORT"
            )
        self._on_request(clock.now(), name)
        return self._urls[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._urls)

    def __len__(self) -> int:
        return len(self._urls)

    def __contains__(self, name: object) -> bool:
        return name in self._urls
