"""Faults inside pods: an agent in each of them carries them out, and sees their effect itself."""

from __future__ import annotations

import asyncio

from seatrial.api import families
from seatrial.api.control import FaultOrder
from seatrial.api.errors import NotInjectedError

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.agents import AgentPlace, container_id, key_of
from seatrial_runner.conductor.faults.control_client import UnreachableError
from seatrial_runner.conductor.faults.kinds import Aim, Hands, Intent, Json, target
from seatrial_runner.conductor.faults.remote import Remote, an_undo
from seatrial_runner.conductor.faults.targets import chosen_pods
from seatrial_runner.conductor.faults.timeline import lasts_s

_ASK_AGAIN_S = 0.1


class Inside(Remote):
    """A fault in the target's pods, whose hits are requests of tests."""

    counts_itself = False

    def aim(self, aim: Aim) -> Intent:
        """Choose among the running pods, as a kill does."""
        kind = families.kind_of(aim.fault)
        lasts = lasts_s(aim.fault)
        assert lasts is not None  # the schema has checked it
        chosen = chosen_pods(aim)
        orders = {}
        for pod in chosen:
            order = orders[key_of(pod)] = FaultOrder(
                kind=kind, params=dict(aim.fault[kind]), forS=lasts, seed=aim.seed
            )
            if identity := container_id(pod):
                order["containerId"] = identity
        return Intent(
            targets=[target("Pod", pods.name(pod), pods.uid(pod)) for pod in chosen],
            undo=an_undo(aim.fault, orders, aim.stamp),
        )

    def place(self, hands: Hands, key: str) -> AgentPlace:
        """Give the agent of a pod."""
        if hands.agents is None:
            raise NotInjectedError("this run has no agents")
        return hands.agents.place(key)

    def is_gone(self, hands: Hands, key: str) -> bool:
        """Tell whether the pod is gone, or the agent in it."""
        return self.place(hands, key).is_gone

    def pod_is_gone(self, hands: Hands, key: str) -> bool:
        """Tell whether the pod is gone, or going, and not the agent alone."""
        return self.place(hands, key).pod_is_gone

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """Return when every agent has seen the effect."""
        missing = set(intent.undo["orders"])
        seen = ""
        while True:
            for key in sorted(missing):
                try:
                    report = await self.place(hands, key).client.report(intent.undo["fault"])
                except UnreachableError:
                    continue
                if report is not None and report["effective"]:
                    seen = max(seen, report["effective"])
                    missing.discard(key)
            if not missing:
                return seen
            await asyncio.sleep(_ASK_AGAIN_S)

    def without_effect(self, fault: Json, hits: int) -> str:
        """Say that the agent has not seen it."""
        return (
            f"the agent has not seen the effect of {families.kind_of(fault)} before the fault"
            " ended; see the log of container seatrial-agent-1 in the target's pod"
        )


class Met(Inside):
    """A fault in the target's pods that counts what it meets: packets, lookups."""

    counts_itself = True
