"""What ``kubectl apply`` wants to find on an object that it did not make itself."""

from __future__ import annotations

import copy
import json
from typing import Any

Json = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# All annotations of an object may have 256 KiB together; kubectl cannot apply what is larger.
_MOST = 250 * 1024


def with_last_applied(manifest: Json, written: Json) -> Json:
    """
    Give an object with the annotation that holds what its file says.

    Without it ``kubectl apply`` of the same file warns, and does not know later what was taken out
    of the file. Objects too large for it, and Secrets, whose contents would be shown with it, go
    without.

    Args:
        manifest: As it is sent.
        written: As the file has it: what the command line adds is nothing to be taken out later.

    Source: Kubernetes documentation, "Declarative Management of Kubernetes Objects Using
        Configuration Files".
    """
    kept = copy.deepcopy(written)
    annotations = kept["metadata"].setdefault("annotations", {})
    if not isinstance(annotations, dict) or kept["kind"] == "Secret":
        return manifest
    annotations.pop(LAST_APPLIED, None)
    text = json.dumps(kept, separators=(",", ":"), sort_keys=True, default=str) + "\n"
    others = sum(len(f"{key}{value}".encode()) for key, value in annotations.items())
    if len(text.encode()) + others > _MOST:
        return manifest
    metadata = {**manifest["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}
    return {**manifest, "metadata": metadata}
