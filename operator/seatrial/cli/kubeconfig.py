"""
What a kubeconfig says: where the API server is, and how it knows us.

NB: ``kubernetes`` takes 0.6 s to import, so that is done where it is used. Of it only the
kubeconfig and the connection pool are used; the typed models would refuse what a newer cluster
sends.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seatrial.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    import urllib3
    from kubernetes.client import Configuration


@dataclass(frozen=True)
class Access:
    """One API server, with the identity and the namespace of a kubeconfig's context."""

    pool: urllib3.PoolManager
    host: str
    headers: Mapping[str, str]
    namespace: str
    context: str


def read_kubeconfig(file: str | None, context: str | None) -> Access:
    """
    Find the way to a cluster as kubectl would; runs the plugin for credentials, if there is one.

    Args:
        file: Path of the kubeconfig, or several; None for ``KUBECONFIG`` or the usual place.
        context: Which context; None for the current one.

    Raises:
        CommandError: There is no usable kubeconfig, or no such context in it.
    """
    from kubernetes.client import Configuration
    from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

    file = file or KUBE_CONFIG_DEFAULT_LOCATION or "~/.kube/config"
    try:
        return _access(Configuration(), file, context)
    # The library expects a file that is well written, and talks to five kinds of providers.
    except Exception as error:
        malformed = isinstance(error, TypeError | AttributeError | LookupError)
        reason = "it does not have the form of one" if malformed else short(error)
        raise CommandError(
            f"cannot use the kubeconfig {file}: {reason};"
            " name another with --kubeconfig or KUBECONFIG, or a context with --context",
            Exit.UNAVAILABLE,
        ) from error


def _access(configuration: Configuration, file: str, context: str | None) -> Access:
    import urllib3
    from kubernetes.client import ApiClient
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

    merger = KubeConfigMerger(file)  # type: ignore[no-untyped-call] # not annotated
    if (merged := merger.config) is None:
        raise ConfigException("there is none")
    # NB: of several files the library takes the last one's, and kubectl the first one's.
    current = (each.get("current-context") for each in merger.config_files.values())
    context = context or next(filter(None, current), None)
    # No base path: each file's own folder is that of its relative paths.
    loader = KubeConfigLoader(merged, context, config_base_path=None)  # type: ignore[no-untyped-call] # same
    with _plugin_heard() as complaints:
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call] # same
    if complaints:
        raise ConfigException(f"its plugin for credentials: {complaints[-1]}")
    if not configuration.host:
        raise ConfigException("its cluster has no server")
    headers = {"Accept": "application/json", "User-Agent": "seatrial"}
    token = configuration.auth_settings().get("BearerToken")
    if token and token["value"]:
        headers["Authorization"] = token["value"].strip()  # a file ends with a newline
        if not (headers["Authorization"].isascii() and headers["Authorization"].isprintable()):
            raise ConfigException("its token has characters that no token has")
    if not configuration.verify_ssl:
        # The kubeconfig says so; a warning with each request would say it again.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    chosen = loader.current_context
    return Access(
        ApiClient(configuration).rest_client.pool_manager,
        configuration.host,
        headers,
        chosen["context"].get("namespace") or "default",
        chosen["name"],
    )


@contextmanager
def _plugin_heard() -> Iterator[list[str]]:
    """Gather why there are no credentials: the library logs it, and goes on without them."""
    complaints: list[str] = []

    class Gather(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # NB: on a terminal the plugin has said why by itself, and the library stumbles.
            stumbled = isinstance(sys.exc_info()[1], AttributeError)
            complaints.append("it failed" if stumbled else record.getMessage())

    handler = Gather(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield complaints
    finally:
        logging.getLogger().removeHandler(handler)


def short(error: Exception) -> str:
    """Say what went wrong without the layers of classes around it."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(getattr(cause, "reason", None) or cause)
    return " ".join(text.rpartition(">: ")[2].split()) or type(cause).__name__
