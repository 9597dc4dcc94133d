"""The report of a run: a ConfigMap beside the run that outlives the run's namespace."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Mapping
from typing import Any

from seatrial.api import names
from seatrial.api.errors import NotFoundError
from seatrial.cli.client import Cluster, core_path
from seatrial.cli.exits import CommandError, Exit

Json = dict[str, Any]

REPORT, JUNIT, LOGS, MESSAGES = names.REPORT_KEYS


def condition(run: Json, kind: str) -> Json:
    """Give a condition of the run, ``{}`` if it is not there."""
    conditions = (run.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), {})


def report_settled(run: Json) -> bool:
    """Say whether the report is there, or will never be."""
    return condition(run, "ReportAvailable").get("status") in ("True", "False") and bool(
        (run.get("status") or {}).get("verdict")
    )


def report_part(cluster: Cluster, run: Json, key: str) -> bytes:
    """
    Read a part of a run's report.

    Args:
        cluster: Where the run is.
        run: The run, finished.
        key: One of ``REPORT_KEYS``.

    Raises:
        CommandError: The run has none, or it is damaged.
    """
    name, content = run["metadata"]["name"], report_parts(cluster, run).get(key)
    if content is None:
        raise CommandError(
            f"the report of {name} has no {key.removesuffix('.gz')}: it was too large, or the run"
            " ended before there was any",
            Exit.NOT_FOUND,
        )
    try:
        return gzip.decompress(base64.b64decode(content))
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise CommandError(
            f"ConfigMap {run['status']['report']}: {key} is damaged: {error}", Exit.NOT_FOUND
        ) from error


def report_parts(cluster: Cluster, run: Json) -> Mapping[str, str]:
    """
    Give the parts of a run's report by key, as they are kept.

    Raises:
        CommandError: The run has none.
    """
    name = (run.get("status") or {}).get("report")
    if not name:
        raise CommandError(_missing(run), Exit.NOT_FOUND)
    try:
        found = cluster.get(core_path(run["metadata"]["namespace"], "configmaps", name))
    except NotFoundError:
        raise CommandError(_missing(run), Exit.NOT_FOUND) from None
    parts: Mapping[str, str] = found.get("binaryData") or {}
    return parts


def _missing(run: Json) -> str:
    name = run["metadata"]["name"]
    found = condition(run, "ReportAvailable")
    if found.get("status") == "False" and found.get("message"):
        return f"run {name} has no report: {found['message']}"
    if not (run.get("status") or {}).get("verdict"):
        return f"run {name} has not finished, so it has no report yet"
    return f"run {name} has no report yet: try again in a moment"
