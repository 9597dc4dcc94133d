"""Where the services are: in a run as SEATRIAL_SERVICES says, on a laptop as ``--service`` says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class ServiceError(ValueError):
    """A service is not known, or what is said about it cannot be read."""


@dataclass(frozen=True)
class Service:
    """One service of the system under test."""

    name: str
    host: str
    port: int
    url: str  # of its first port, without a slash at the end
    ports: Mapping[str, int]

    def __str__(self) -> str:
        return self.url

    def to_json(self) -> dict[str, Any]:
        """Give the document that SEATRIAL_SERVICES holds for it."""
        ports = dict(self.ports)
        return {"host": self.host, "port": self.port, "url": self.url, "ports": ports}


class Services(Mapping[str, Service]):
    """All services, by name."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = dict(services)

    def __getitem__(self, name: str) -> Service:
        try:
            return self._services[name]
        except KeyError:
            known = ", ".join(sorted(self._services)) or "none"
            raise ServiceError(
                f"no service {name!r}; known are: {known}."
                f" Outside of a run, say where it is: --service {name}=http://localhost:PORT"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._services)

    def __len__(self) -> int:
        return len(self._services)

    def url(self, name: str, port: str | None = None) -> str:
        """Give the URL of a service, or of one of its ports by name."""
        service = self[name]
        if port is None:
            return service.url
        if port not in service.ports:
            known = ", ".join(service.ports) or "none"
            raise ServiceError(f"service {name!r} has no port {port!r}; its ports are: {known}")
        return f"http://{service.host}:{service.ports[port]}"

    def to_json(self) -> dict[str, Any]:
        """Give the document of all."""
        return {name: service.to_json() for name, service in self.items()}


def read_services(document: str, overrides: list[str]) -> tuple[Services, dict[str, str]]:
    """
    Give the services, and the base URLs that ``seatrial_runner.scenario.World`` needs.

    Args:
        document: SEATRIAL_SERVICES: JSON by name, each a URL or ``{"host", "port", "url",
            "ports"}``; may be empty.
        overrides: ``NAME=URL``; requests to the host NAME then go to URL.

    Raises:
        ServiceError: It says which entry cannot be read.
    """
    services = {name: _described(name, entry) for name, entry in _entries(document).items()}
    base_urls = {
        name: entry for name, entry in _entries(document).items() if isinstance(entry, str)
    }
    for override in overrides:
        name, equals, url = override.partition("=")
        if not equals or not name.strip():
            raise ServiceError(
                f"--service {override}: write NAME=URL, as in orders=http://localhost:8080"
            )
        services[name.strip()] = _at(name.strip(), url.strip())
        base_urls[name.strip()] = url.strip()
    return Services(services), base_urls


def _entries(document: str) -> dict[str, Any]:
    if not document.strip():
        return {}
    try:
        entries = json.loads(document)
    except ValueError as error:
        raise ServiceError(f"SEATRIAL_SERVICES is no JSON: {error}") from error
    if not isinstance(entries, dict):
        raise ServiceError('SEATRIAL_SERVICES: write {"orders": "http://localhost:8080"}')
    return entries


def _described(name: str, entry: Any) -> Service:
    if isinstance(entry, str):
        return _at(name, entry)
    try:
        host, port = str(entry.get("host", name)), int(entry.get("port") or 0)
        ports = {str(key): int(value) for key, value in (entry.get("ports") or {}).items()}
        url = str(entry.get("url") or f"http://{host}:{port}")
    except (AttributeError, TypeError, ValueError):
        raise ServiceError(
            f'SEATRIAL_SERVICES: {name}: write a URL or {{"host", "port", "url", "ports"}}'
        ) from None
    return Service(name, host, port, url.rstrip("/"), ports)


def _at(name: str, url: str) -> Service:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
    except (ValueError, KeyError):
        host, port = "", 0
    if not host:
        raise ServiceError(f"service {name}: {url!r} is no URL: write http://localhost:8080")
    return Service(name, host, port, url.rstrip("/"), {})
