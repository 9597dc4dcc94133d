"""Evict: pods are taken away as by a node drain, which disruption budgets may forbid."""

from __future__ import annotations

from typing import Any

from seatrial.api.errors import ClusterError, ConflictError, NotFoundError

from seatrial_runner.conductor.faults.kill import Kill
from seatrial_runner.conductor.faults.kinds import Hands, Intent
from seatrial_runner.conductor.seen import PODS

# A budget that counts a pod as not healthy yet may allow the eviction a moment later.
_PATIENCE_S = 10.0
_TOO_MANY = 429


class Evict(Kill):
    """Asks the API server to evict pods; they end in order, with their own grace."""

    def _how(self, fault: dict[str, Any]) -> dict[str, Any]:
        return {}

    async def _take(self, hands: Hands, name: str, uid: str, intent: Intent) -> None:
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": hands.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        path = f"{PODS.path(hands.namespace, name)}/eviction"
        try:
            await hands.api.post(path, body, patience_s=_PATIENCE_S)
        except (NotFoundError, ConflictError) as error:
            raise ClusterError(f"pod {name} was gone before the fault: {error}") from error
        except ClusterError as error:
            if error.status != _TOO_MANY:
                raise
            raise ClusterError(
                f"pod {name} may not be evicted: its PodDisruptionBudget allows no disruption; have"
                f" more pods ready than it asks for, or use kill ({error})"
            ) from error
