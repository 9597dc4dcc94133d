"""What kstatus makes of a run: what Flux and others act on."""

from __future__ import annotations

from typing import Any


def kstatus(run: dict[str, Any]) -> str:
    """
    Give InProgress, Failed or Current; no more of it than what can apply to a run.

    Source: kubernetes-sigs/cli-utils, pkg/kstatus/status: Compute, checkGenericProperties.
    """
    status, generation = run.get("status") or {}, run["metadata"]["generation"]
    if status.get("observedGeneration", generation) != generation:
        return "InProgress"
    for each in status.get("conditions") or ():
        if (each["type"], each["status"]) == ("Reconciling", "True"):
            return "InProgress"
        if (each["type"], each["status"]) == ("Stalled", "True"):
            return "Failed"
    return "Current"
