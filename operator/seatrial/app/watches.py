"""
kopf as the shell: it watches, and every event is only taken in.

Handlers of changes, daemons, timers and indices are not used: kopf would put its own finalizers and
annotations on the runs, and its retries would compete with the queue's.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client import Configuration

from seatrial.api import names
from seatrial.app.world import World
from seatrial.cluster.connection import bearer_token
from seatrial.cluster.nested import NestedResponse

_PAGE = 100  # at a time in memory; a ConfigMap may have a MiB
# A watch that ended is opened again soon: what it would have brought is what runs wait for.
_BACKOFFS = (0.1, 0.2, 0.5, 1, 1, 2, 2, 5, 5)


class _NoStorage(kopf.DiffBaseStorage):
    """Keeps kopf from computing, for each event, a copy of the object to compare with the last."""

    def fetch(self, **_: Any) -> None:
        return None

    def build(self, **_: Any) -> Any:
        return {}

    def store(self, **_: Any) -> None:
        return None


def settings() -> kopf.OperatorSettings:
    """Make kopf a watcher and nothing else."""
    result = kopf.OperatorSettings()
    result.peering.standalone = True  # the Lease decides who is at work
    result.posting.enabled = False
    result.scanning.disabled = True
    result.watching.chunk_size = _PAGE
    result.watching.inactivity_timeout = 70
    # kopf keeps a task for each object until it is idle for this long; after a list that is
    # one for every run there is.
    result.queueing.idle_timeout = 0.1
    result.watching.reconnect_backoff = 0.05
    result.networking.error_backoffs = _BACKOFFS
    result.persistence.diffbase_storage = _NoStorage()
    component = names.LABEL_COMPONENT
    selectors = result.watching.label_selectors
    selectors["configmaps"] = f"{component}={names.COMPONENT_JOURNAL}"
    selectors["pods"] = f"{component}={names.COMPONENT_CONDUCTOR}"
    selectors["namespaces"] = names.LABEL_RUN_UID
    # NB: anyone may put our labels on a ConfigMap or pod of theirs, as many as they like and of a
    # MiB each; of one name there is one in a namespace.
    fields = result.watching.field_selectors
    fields["configmaps"] = f"metadata.name={names.JOURNAL_CONFIGMAP}"
    fields["pods"] = f"metadata.name={names.CONDUCTOR}"
    return result


def registry(world: World, config: Configuration) -> kopf.OperatorRegistry:
    """Take every event in."""
    result = kopf.OperatorRegistry()

    async def run(event: Any, **_: Any) -> None:
        if event["type"] == "DELETED":
            world.lose_run(event["object"]["metadata"]["uid"])
        else:
            world.see_run(event["object"])

    async def namespace(event: Any, **_: Any) -> None:
        world.see_namespace(event["object"], gone=event["type"] == "DELETED")

    async def pod(event: Any, **_: Any) -> None:
        world.see_conductor(event["object"], gone=event["type"] == "DELETED")

    async def journal(event: Any, **_: Any) -> None:
        world.see_journal(event["object"], gone=event["type"] == "DELETED")

    async def login(**_: Any) -> kopf.AiohttpSession:
        token = await bearer_token(config)
        info = kopf.ConnectionInfo(
            server=config.host,
            ca_path=config.ssl_ca_cert,
            insecure=not config.verify_ssl,
            certificate_path=config.cert_file,
            private_key_path=config.key_file,
            scheme="Bearer" if token else None,
            token=token,
        )
        # NB: kopf's own session reads JSON with Python's recursion: one run that is nested deeply
        # would end the watch of all. kopf closes this one, too.
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            response_class=NestedResponse,
        )
        return kopf.AiohttpSession(server=config.host, aiohttp_session=session)

    kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=result)(run)
    kopf.on.event("", "v1", "namespaces", registry=result)(namespace)
    kopf.on.event("", "v1", "pods", registry=result)(pod)
    kopf.on.event("", "v1", "configmaps", registry=result)(journal)
    kopf.on.login(registry=result)(login)
    return result
