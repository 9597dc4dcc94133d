"""The gateway's configuration, from the environment."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.api.control import GatewayDoc
from seatrial.api.errors import SpecError
from seatrial.api.names import (
    ENV_CONTROL_TOKEN,
    ENV_GATEWAY,
    ENVOY_ADMIN_PORT,
    ENVOY_DIRECTORY,
    GATEWAY_PORT,
)

_LISTENER = {"service": str, "portName": str, "port": int, "listen": int, "upstreamHost": str}
# One more than needed goes on when another is killed; more than a few only cost memory.
_FEWEST, _MOST = 2, 4
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Settings:
    """What the gateway must know."""

    doc: GatewayDoc
    token: str
    control_port: int
    workers: int
    envoy_directory: Path
    envoy_admin_port: int

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """
        Read the environment.

        Raises:
            SpecError: A variable is missing or cannot be read.
        """
        token = environ.get(ENV_CONTROL_TOKEN, "")
        if len(token) < 16:
            raise SpecError(ENV_CONTROL_TOKEN, "is missing or has fewer than 16 characters.")
        return cls(
            doc=_doc(environ.get(ENV_GATEWAY, "")),
            token=token,
            control_port=int(environ.get("SEATRIAL_CONTROL_PORT") or GATEWAY_PORT),
            workers=int(environ.get("SEATRIAL_GATEWAY_WORKERS") or _workers()),
            envoy_directory=Path(environ.get("SEATRIAL_ENVOY_DIRECTORY") or ENVOY_DIRECTORY),
            envoy_admin_port=int(environ.get("SEATRIAL_ENVOY_ADMIN_PORT") or ENVOY_ADMIN_PORT),
        )


def _doc(text: str) -> GatewayDoc:
    try:
        doc = json.loads(text)
        listeners = [_listener(each) for each in doc["listeners"]]
        faults = [str(name) for name in doc["httpFaults"]]
    except (ValueError, KeyError, TypeError) as error:
        problem = f"cannot be read: {type(error).__name__}: {error}."
        raise SpecError(ENV_GATEWAY, problem, "It must be a GatewayDoc in JSON.") from None
    return GatewayDoc(listeners=listeners, httpFaults=faults)


def _listener(each: Any) -> Any:
    for field, kind in _LISTENER.items():
        if not isinstance(each[field], kind):
            raise TypeError(f"{field} must be {kind.__name__}")
    return {**each, "envoy": each.get("envoy")}


def _workers() -> int:
    """Give one for each CPU that we may use, within limits."""
    cpus: float = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_MAX.read_text().split()
        if quota != "max":
            cpus = min(cpus, int(quota) / int(period))
    except (OSError, ValueError):
        pass  # no limit that can be read
    return max(_FEWEST, min(_MOST, math.ceil(cpus)))
