"""Events about a run, for `kubectl describe`."""

from __future__ import annotations

import hashlib
from datetime import datetime

from seatrial.api import names
from seatrial.api.run import Metadata
from seatrial.cluster.client import Client, Object
from seatrial.cluster.errors import AlreadyExistsError
from seatrial.cluster.kinds import EVENT
from seatrial.plan.events import Event

_MAX_NOTE = 1024  # Source: Kubernetes, pkg/apis/core/validation/events.go.


async def post_event(client: Client, metadata: Metadata, event: Event, now: datetime) -> None:
    """Tell an event; told again after a crash, it meets itself and stays one."""
    try:
        await client.create(EVENT, event_body(metadata, event, now))
    except AlreadyExistsError:
        return


def event_body(metadata: Metadata, event: Event, now: datetime) -> Object:
    """Make the Event; the same event of the same run has the same name."""
    subject = event.about or event.message
    digest = hashlib.sha256(f"{event.reason} {subject}".encode()).hexdigest()[:10]
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata.name[:220]}.{metadata.uid[:8]}.{digest}",
            "namespace": metadata.namespace,
        },
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_MAX_NOTE],
        "source": {"component": names.FIELD_MANAGER},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
