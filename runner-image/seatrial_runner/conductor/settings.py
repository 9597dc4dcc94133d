"""Where the conductor is and whom it talks to, from its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from seatrial.api.errors import SpecError
from seatrial.api.names import CONDUCTOR_PORT, ENV_API_CA, ENV_API_TOKEN, ENV_NAMESPACE

from seatrial_runner.conductor.connection import Address

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# For tests, and for a conductor outside a cluster: they stand in for what a pod is given.
ENV_API_URL = "SEATRIAL_API_URL"
ENV_API_TOKEN_FILE = "SEATRIAL_API_TOKEN_FILE"  # noqa: S105 - a variable's name
ENV_API_CA_FILE = "SEATRIAL_API_CA_FILE"
ENV_PORT = "SEATRIAL_PORT"
# A token in a file may be renewed long before its end; reading it again now and then is enough.
_TOKEN_AGE_S = 60.0


@dataclass(frozen=True)
class Settings:
    """What the conductor is given."""

    namespace: str
    url: str  # of the API server; its host is an IP address
    token: str  # given by the operator for the whole run; empty: it stands in token_file
    ca: str  # PEM; empty: in ca_file
    token_file: Path
    ca_file: Path
    port: int  # of our own HTTP interface; 0: any free one

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """
        Read the variables of a pod.

        Raises:
            SpecError: One is missing; the message names it.
        """
        url = environ.get(ENV_API_URL) or _in_cluster(environ)
        return cls(
            namespace=_required(environ, ENV_NAMESPACE),
            url=url,
            token=environ.get(ENV_API_TOKEN, ""),
            ca=environ.get(ENV_API_CA, ""),
            token_file=Path(environ.get(ENV_API_TOKEN_FILE) or ACCOUNT / "token"),
            ca_file=Path(environ.get(ENV_API_CA_FILE) or ACCOUNT / "ca.crt"),
            port=int(environ.get(ENV_PORT) or CONDUCTOR_PORT),
        )

    def bearer(self, monotonic: Callable[[], float]) -> Callable[[], str]:
        """Give what gives the token for each request."""
        if self.token:
            return lambda: self.token
        return Token(self.token_file, monotonic)

    def address(self) -> Address:
        """Give where the API server is, ready to connect."""
        parts = urlsplit(self.url)
        tls = None
        if parts.scheme == "https":
            import ssl

            ca_file = None if self.ca else str(self.ca_file)
            tls = ssl.create_default_context(cafile=ca_file, cadata=self.ca or None)
        default = 443 if parts.scheme == "https" else 80
        return Address(parts.hostname or "", parts.port or default, tls)


def _in_cluster(environ: Mapping[str, str]) -> str:
    host = _required(environ, "KUBERNETES_SERVICE_HOST")
    port = environ.get("KUBERNETES_SERVICE_PORT") or "443"
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _required(environ: Mapping[str, str], name: str) -> str:
    if value := environ.get(name):
        return value
    raise SpecError(
        name,
        "is not set.",
        "The conductor runs in a pod that the operator makes; see docs/explanation/architecture.md",
    )


class Token:
    """The ServiceAccount's token, read again when it is a minute old."""

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._text = ""
        self._read_at = float("-inf")

    def __call__(self) -> str:
        """Give the token."""
        if self._monotonic() - self._read_at > _TOKEN_AGE_S:
            self._text = self._path.read_text().strip()
            self._read_at = self._monotonic()
        return self._text
