"""What scenarios see as ``env``: variables that are meant for them, by a prefix."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from seatrial.api import names


def given_variables(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """
    Give ``environ`` and ``secrets`` of a World.

    In a run they are from ``spec.envFrom``; on a laptop ``SEATRIAL_ENV_NAME`` and
    ``SEATRIAL_SECRET_NAME`` are set by hand.
    """
    plain = _with_prefix(environ, names.ENV_VARIABLE_PREFIX)
    secret = _with_prefix(environ, names.ENV_SECRET_PREFIX)
    return {"environ": plain | secret, "secrets": tuple(secret.values())}


def _with_prefix(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {k.removeprefix(prefix): v for k, v in environ.items() if k.startswith(prefix)}
