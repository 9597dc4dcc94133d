"""What the faults of a run act with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from seatrial.api.names import AGENT_PORT, GATEWAY_PORT

from seatrial_runner.conductor.faults.agents import Agents
from seatrial_runner.conductor.faults.kinds import Hands
from seatrial_runner.conductor.faults.places import GatewayPlace
from seatrial_runner.conductor.stage import Stage


def hands_of(
    stage: Stage,
    save_logs: Callable[[str], Awaitable[None]],
    *,
    gateway_port: int = GATEWAY_PORT,
    agent_port: int = AGENT_PORT,
) -> Hands:
    """
    Give the hands of a run.

    Args:
        stage: Of the run.
        save_logs: Keeps the logs of a pod that is about to go.
        gateway_port: Of the gateway's control.
        agent_port: Of each agent's.
    """
    image = stage.run.get("agentImage")
    return Hands(
        api=stage.api,
        namespace=stage.namespace,
        seen=stage.seen,
        save_logs=save_logs,
        at=stage.at,
        services=stage.run["services"],
        faults={fault["name"]: fault for fault in stage.run["faults"]},
        checked=stage.checked,
        gateway=GatewayPlace(stage, port=gateway_port) if stage.run.get("gateway") else None,
        agents=Agents(stage, image, port=agent_port) if image else None,
    )
