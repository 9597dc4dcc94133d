"""Pods that begin anew, because they read their configuration at their start."""

from __future__ import annotations

import asyncio
from datetime import datetime

from seatrial.api.errors import ConflictError, NotFoundError, NotInjectedError, NotRevertedError
from seatrial.api.journal import ServiceDoc

from seatrial_runner.clock import parse
from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import Hands, Json
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import PODS, Seen

WITHIN_S = 90.0
_LOOK_AGAIN_S = 1.0


def refuse_bare(service: ServiceDoc, seen: Seen) -> None:
    """
    See that every pod of a service that would begin anew has somebody who makes its successor.

    Raises:
        NotInjectedError: One has nobody.
    """
    for pod in pods_of(service, seen):
        if pods.owner(pod) is None and not pods.is_over(pod):
            raise NotInjectedError(
                f"nothing would replace pod {pods.name(pod)} of service {service['name']}: make it"
                " a Deployment or a StatefulSet, or leave restart out"
            )


async def begin_anew(hands: Hands, service: str) -> None:
    """
    Have every pod of a service begin anew, and return when those of before are gone.

    Raises:
        NotInjectedError: They do not go.
    """
    if not await _replace(hands, service, _pods(hands, service)):
        raise NotInjectedError(
            f"pods of service {service} that began before the change were still there after"
            f" {WITHIN_S:g} s"
        )


async def begin_again(hands: Hands, service: str, moment: datetime) -> None:
    """
    Have the pods that began before a moment begin anew, and return when they are gone.

    Raises:
        NotRevertedError: They do not go.
    """
    # NB: creationTimestamp has whole seconds: a pod of the same second may be one of before.
    older = [
        pod
        for pod in _pods(hands, service)
        if parse(pod["metadata"]["creationTimestamp"]) <= moment
    ]
    if not await _replace(hands, service, older):
        raise NotRevertedError(
            f"pods of service {service} that began before the configuration was back were still"
            f" there after {WITHIN_S:g} s"
        )


async def _replace(hands: Hands, service: str, old: list[Json]) -> bool:
    """Delete pods; tell whether they were gone in time."""
    uids = {pods.uid(pod) for pod in old if pods.is_going(pod) or not pods.is_over(pod)}
    await _delete(hands, old)
    try:
        async with asyncio.timeout(WITHIN_S):
            while any(pods.uid(pod) in uids for pod in _pods(hands, service)):
                await hands.seen.wait(_LOOK_AGAIN_S)
    except TimeoutError:
        return False
    return True


async def _delete(hands: Hands, old: list[Json]) -> None:
    """
    Delete pods with their own grace; their controllers make others.

    NB: not a roll-out. That one keeps the pods of before for as long as new ones are not ready,
    which with their configuration lost is for ever: nothing would be seen of the fault.
    """
    for pod in old:
        if pods.is_going(pod) or pods.is_over(pod):
            continue  # what is over reads nothing any more
        await hands.save_logs(pods.name(pod))
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": pods.uid(pod)},
        }
        try:
            await hands.api.delete(PODS.path(hands.namespace, pods.name(pod)), body)
        except (NotFoundError, ConflictError):
            continue


def _pods(hands: Hands, service: str) -> list[Json]:
    found = next(each for each in hands.services if each["name"] == service)
    return pods_of(found, hands.seen)
