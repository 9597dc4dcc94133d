"""How the API server is reached: from a pod, or with a kubeconfig file."""

from __future__ import annotations

from pathlib import Path

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import load_incluster_config, load_kube_config

# Long enough that a burst of runs, a minute after the last one, finds its connections open.
_KEEPALIVE_S = 90


async def configuration(kubeconfig: str | None) -> Configuration:
    """
    Find out address and credentials of the API server.

    Args:
        kubeconfig: Path of a kubeconfig file; None in a pod, whose account is used then.
    """
    config = Configuration()
    if kubeconfig is None:
        load_incluster_config(client_configuration=config)  # type: ignore[no-untyped-call]
    else:
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig, client_configuration=config
        )
    return config


async def bearer_token(config: Configuration) -> str | None:
    """Give the current token, renewed where the credentials say so; None with a certificate."""
    header = await config.get_api_key_with_prefix("BearerToken", alias="authorization")
    # NB: written "Bearer" from a kubeconfig, and "bearer" in a pod.
    return header.split(" ", 1)[-1] if header else None


def certificates(config: Configuration) -> str:
    """Give the certificates the API server is known by, as PEM; empty without TLS."""
    if config.ca_cert_data:
        data = config.ca_cert_data
        return data.decode() if isinstance(data, bytes) else str(data)
    return Path(config.ssl_ca_cert).read_text() if config.ssl_ca_cert else ""


class Rest(RESTClientObject):
    """The library's HTTP client; connections stay open, and no proxy is taken from variables."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=self.maxsize, ssl=self.ssl_context, keepalive_timeout=_KEEPALIVE_S
        )

    def _create_pool_manager(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=self._create_connector(), trust_env=False)
