"""Logs of containers, bounded and redacted."""

from __future__ import annotations

import re
from urllib.parse import quote

from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.passwords import masked

MAX_BYTES = 256 * 1024

# What a log is likely to hold by accident. Of the values of Secrets the passwords of presets and
# those of spec.envFrom are known here; for the others, as of a service's own envFrom, the usual
# shapes are looked for: one of another shape stays.
_SECRETS = (
    # NB: possessive (*+): two runs of spaces side by side would be tried in every way to share them
    # out, and a line of 200,000 spaces took minutes.
    re.compile(
        r"(?i)(authorization[\"']?\s*+[:=]\s*+[\"']?(?:bearer|basic|token)?\s*+)[^\s\"',;]+"
    ),
    re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(
        r"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)"
        r"[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]+"
    ),
    re.compile(r"(://[^/\s:@]*:)[^@\s/]+(?=@)"),
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?(-----END \1PRIVATE KEY-----|\Z)", re.DOTALL
)


async def tail(
    api: ApiServer,
    namespace: str,
    pod: str,
    container: str,
    *,
    lines: int | None = None,
    max_bytes: int = MAX_BYTES,
    previous: bool = False,
) -> str:
    """
    Give the end of a container's log, redacted.

    Raises:
        ClusterError: There is no such container, or it has written nothing that is still kept.
    """
    query = {"container": container, "tailLines": str(lines or 5000)}
    if previous:
        query["previous"] = "true"
    path = f"/api/v1/namespaces/{namespace}/pods/{quote(pod)}/log"
    text = await api.text(path, query, patience_s=0)
    # NB: limitBytes of the API keeps the beginning, so the end is cut out here.
    return redacted(text)[-max_bytes:]


def redacted(text: str) -> str:
    """Replace the passwords that are known, and what looks like a credential, by ``***``."""
    return without_credentials(masked(text))


def without_credentials(text: str) -> str:
    """Replace what looks like a credential by ``***``."""
    text = _PRIVATE_KEY.sub("*** private key ***", text)
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text
