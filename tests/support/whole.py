"""The whole way: a client, the gateway's processes, the real Envoy beside it or not, a service."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.api.faults import Fault

from localcluster.ports import free_port
from tests.support.envoy_process import SERVICE, EnvoyProcess, a_listener
from tests.support.gateway_process import Gateway

Json = dict[str, Any]
# Another Service that the gateway carries; the same server is behind it.
OTHER = "other"


@dataclass
class Whole:
    """A gateway before a port of this machine."""

    upstream: int  # where the service listens
    gateway: Gateway
    beside: EnvoyProcess | None

    @property
    def envoy(self) -> EnvoyProcess:
        """The Envoy beside it, on a way that has one."""
        assert self.beside is not None
        return self.beside

    @property
    def port(self) -> int:
        """Where clients find the service."""
        return self.gateway.ports[SERVICE]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put_http(self, name: str, for_s: float = 120.0, **more: Any) -> Json:
        """Order a declared fault of HTTP."""
        fault = self.envoy.faults[name]
        assert fault.http is not None
        params = fault.http.model_dump(mode="json", by_alias=True, exclude_none=True)
        return self.gateway.put(name, "http", for_s, params=params, **more)


@contextlib.contextmanager
def whole(
    directory: Path,
    upstream: int,
    *faults: Fault,
    with_envoy: bool = True,
    sources: Sequence[str] = (),
    python_path: Path | None = None,
) -> Iterator[Whole]:
    """Carry orders, which listens on a port of this machine now or later."""
    # The lanes of delays are named after the port.
    listener = a_listener(upstream, listen=free_port(), sources=sources)
    assert listener["envoy"] is not None
    envoy = EnvoyProcess(directory, faults, [listener]) if with_envoy else None
    gateway = Gateway(
        {SERVICE: upstream, OTHER: upstream},
        ports={SERVICE: listener["listen"]},
        envoy={SERVICE: listener["envoy"]} if envoy else {},
        http_faults=list(envoy.faults) if envoy else (),
        envoy_directory=directory,
        envoy_admin_port=envoy.admin_port if envoy else 0,
        log=directory / "gateway.log",
        python_path=python_path,
    )
    try:
        if envoy:
            envoy.launch()
        with gateway:
            yield Whole(upstream, gateway, envoy)
    finally:
        if envoy:
            envoy.kill()
