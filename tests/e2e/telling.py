"""What can be told of a run that did not end as it should."""

from __future__ import annotations

import json

import yaml
from seatrial.api.names import CONDUCTOR

from tests.e2e.cluster import Run


def about(run: Run) -> str:
    """Describe a run as well as the cluster still can."""
    found = run.cluster.get(run.path)
    if found is None:
        return "(gone)"
    status = found.get("status", {})
    parts = [yaml.safe_dump(status, sort_keys=False, width=120)]
    environment = status.get("namespace")
    for namespace in filter(None, [run.namespace, environment]):
        for event in run.cluster.items(f"/api/v1/namespaces/{namespace}/events")[-20:]:
            about = event["involvedObject"]
            parts.append(
                f"{event.get('type')} {about.get('kind')}/{about.get('name')}"
                f" {event.get('reason')}: {event.get('message')}"
            )
    if environment:
        for pod in run.cluster.items(f"/api/v1/namespaces/{environment}/pods"):
            states = json.dumps(pod["status"].get("containerStatuses", []))[:1500]
            parts.append(f"pod {pod['metadata']['name']}: {pod['status'].get('phase')} {states}")
            if pod["metadata"]["name"] != CONDUCTOR:
                for container in pod["spec"]["containers"]:
                    name, only = pod["metadata"]["name"], {"container": container["name"]}
                    parts.append(run.cluster.logs(environment, name, tailLines=10, **only))
        parts.append(run.cluster.logs(environment, CONDUCTOR, tailLines=120))
    return "\n".join(parts)
