"""What holds for all faults that somebody else carries out, and ends by itself at its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol, cast

from seatrial.api.control import FaultOrder, FaultReport
from seatrial.api.duration import format_duration
from seatrial.api.errors import NotInjectedError, NotRevertedError
from seatrial.api.undoing import ITSELF, POD_GONE

from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.faults.control_client import ControlClient, UnreachableError
from seatrial_runner.conductor.faults.kinds import (
    ByAnother,
    Ended,
    Evidence,
    Hands,
    Intent,
    Json,
    Tell,
)

# A place that is just being made, or made again, may take as long to answer.
BEGIN_WITHIN_S = 10.0
END_WITHIN_S = 10.0
_LOOK_AGAIN_S = 1.0
_LEAST_S = 0.02
# A place ends a fault within milliseconds of its deadline; what it says then, it may say later.
_GRACE_S = 2.0


class Place(Protocol):
    """Where a fault is ordered."""

    client: ControlClient

    async def ready(self, *, within_s: float) -> None:
        """
        Return when it can take an order.

        Raises:
            UnreachableError: It does not within that time.
        """


class Heard(NamedTuple):
    """What a round of questions has brought, beside the reports."""

    early: str = ""  # why the fault ended before its time; empty: it did not
    by: str = ITSELF  # and what ended it
    silent: str = ""  # who did not answer


class Remote(ByAnother):
    """
    A fault that is ordered at one place or several, each of which ends it at its own deadline.

    ``undo`` of its intent has ``orders``, a FaultOrder for each place by its key, and ``until``,
    the moment by which none of them has it any more.
    """

    counts_itself = True
    keeps_time = True
    bearer = "the process that carried the fault out"
    _until: float | None = None  # by our own monotonic clock, of a fault that we have ordered

    def place(self, hands: Hands, key: str) -> Place:
        """Give a place by its key in the intent."""
        raise NotImplementedError

    def is_gone(self, hands: Hands, key: str) -> bool:
        """Tell whether a place is gone for good, and with it every fault it carried."""
        return False

    def pod_is_gone(self, hands: Hands, key: str) -> bool:
        """Tell whether the pod that was hit there is gone, or going."""
        return False

    def corrected(self, evidence: Evidence) -> Evidence:
        """Take off what was no traffic."""
        return evidence

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """Order it everywhere; it is in effect when all have answered."""
        undo = intent.undo
        undo["asked"] = []  # of these, nobody knows any more that they have not got it
        reports = await asyncio.gather(
            *(self._order(hands, key, undo, order) for key, order in _orders(undo)),
            return_exceptions=True,
        )
        for report in reports:
            if isinstance(report, UnreachableError):
                raise NotInjectedError(str(report)) from report
            if isinstance(report, BaseException):
                raise report
        told = cast("list[FaultReport]", reports)
        # Not for a conductor to come: it finds out by asking.
        undo["boots"] = {
            key: report["boot"] for (key, _), report in zip(_orders(undo), told, strict=True)
        }
        left = max((report["remainingS"] for report in told), default=0.0)
        undo["until"] = rfc3339(parse(hands.at()) + timedelta(seconds=left))
        self._until = asyncio.get_running_loop().time() + left

    async def _order(self, hands: Hands, key: str, undo: Json, order: FaultOrder) -> FaultReport:
        place = self.place(hands, key)
        await place.ready(within_s=BEGIN_WITHIN_S)
        undo["asked"].append(key)
        ends = rfc3339(parse(hands.at()) + timedelta(seconds=order["forS"]))
        undo["earliest"] = min(undo.get("earliest", ends), ends)  # no deadline is before it
        return await place.client.put(undo["fault"], order, patience_s=BEGIN_WITHIN_S)

    async def watch(self, hands: Hands, intent: Intent, tell: Tell) -> Ended:
        """Ask what it has met, until it has ended everywhere or nobody can say any more."""
        known: dict[str, FaultReport] = {}
        while True:
            heard = await self._ask_all(hands, intent, known)
            tell(self.corrected(evidence_of(list(known.values()))))
            if heard.early:
                return Ended(by=heard.by, at=hands.at(), early=heard.early, undone=False)
            if known and all(_is_over(known.get(key)) for key, _ in _orders(intent.undo)):
                return self._ended(hands, intent, list(known.values()))
            if self._is_past(hands, intent, grace_s=_GRACE_S):
                return Ended(
                    by="deadline",
                    at=intent.undo["until"],
                    early=f"{heard.silent or 'it'} did not say how it ended; what it has met since"
                    " it last answered is not known",
                    undone=False,
                )
            open_ = [each["remainingS"] for each in known.values() if not _is_over(each)]
            left = min(open_, default=_LOOK_AGAIN_S)
            await asyncio.sleep(min(max(left, _LEAST_S), _LOOK_AGAIN_S))

    async def _ask_all(self, hands: Hands, intent: Intent, known: dict[str, FaultReport]) -> Heard:
        """Bring ``known`` up to date; say why it ended before its time, and who is silent."""
        early = silent = ""
        by = ITSELF
        for key, _ in _orders(intent.undo):
            if _is_over(known.get(key)):
                continue
            client, why = self.place(hands, key).client, ""
            try:
                report = await client.report(intent.undo["fault"])
            except UnreachableError:
                silent = client.what
                if self.is_gone(hands, key):
                    why = f"{client.what} is gone, and with it the fault and what it has counted"
            else:
                if report is None or report["boot"] != intent.undo["boots"][key]:
                    why = (
                        f"{client.what} was restarted, and with it the fault ended; what it had"
                        " counted since it was last asked is lost"
                    )
                else:
                    known[key] = report
                    if report["endedBy"] == "request":
                        why = f"{client.what} was told to end it, not by the conductor"
                    elif report["state"] == "ended" and report["endedBy"] is None:
                        said = f"says: {report['why']}" if report["why"] else f"lost {self.bearer}"
                        why = f"{client.what} {said}"
            if why:
                early, by = why, POD_GONE if self.pod_is_gone(hands, key) else ITSELF
        return Heard(early, by, silent)

    def _is_past(self, hands: Hands, intent: Intent, *, grace_s: float = 0.0) -> bool:
        """Tell whether it is over everywhere by its deadlines, whoever has set the wall clock."""
        if self._until is not None:
            return asyncio.get_running_loop().time() > self._until + grace_s
        return parse(hands.at()) > parse(intent.undo["until"]) + timedelta(seconds=grace_s)

    def _ended(self, hands: Hands, intent: Intent, reports: Sequence[FaultReport]) -> Ended:
        """Give the moment of the last end: theirs, if it can be by our clock."""
        now = hands.at()
        told = max((report["ended"] or now for report in reports), default=now)
        earliest = parse(intent.undo["earliest"]) - timedelta(seconds=_LEAST_S)
        return Ended(by="deadline", at=told if earliest <= parse(told) <= parse(now) else now)

    async def undo(self, hands: Hands, intent: Intent) -> Evidence | None:
        """Have it ended everywhere; what cannot be reached ends by itself."""
        reports: list[FaultReport] = []
        problems = []
        keys = intent.undo.get("asked", list(intent.undo["orders"]))
        results = await asyncio.gather(
            *(self._end(hands, key, intent.undo["fault"]) for key in keys),
            return_exceptions=True,
        )
        for key, result in zip(keys, results, strict=True):
            if isinstance(result, UnreachableError):
                if not self.is_gone(hands, key) and not self._is_past(hands, intent):
                    problems.append(str(result))
            elif isinstance(result, BaseException):
                raise result
            elif result is not None:
                reports.append(result)
        if problems:
            raise NotRevertedError(
                f"{problems[0]}; it ends by itself by {intent.undo['until']} at the latest"
            )
        return self.corrected(evidence_of(reports)) if reports else None

    async def _end(self, hands: Hands, key: str, name: str) -> FaultReport | None:
        # Of a pod that is going, the agent may answer still; one that is gone never will.
        patience_s = 0.0 if self.is_gone(hands, key) else END_WITHIN_S
        return await self.place(hands, key).client.delete(name, patience_s=patience_s)


def an_undo(fault: Json, orders: dict[str, FaultOrder], stamp: str) -> Json:
    """Give what a conductor must know to end a fault that was ordered at that moment."""
    lasts = max(order["forS"] for order in orders.values())
    latest = parse(stamp) + timedelta(seconds=lasts + BEGIN_WITHIN_S * 2)
    return {"fault": fault["name"], "orders": orders, "until": rfc3339(latest)}


def evidence_of(reports: Sequence[FaultReport]) -> Evidence:
    """Add up what several places have told."""
    counts: dict[str, int] = {}
    for report in reports:
        for name, count in report["counts"].items():
            counts[name] = counts.get(name, 0) + count
    first = [report["firstHit"] for report in reports if report["firstHit"]]
    return Evidence(
        hits=sum(report["hits"] for report in reports),
        first_hit=min(first, default=None),
        counts=counts,
    )


def span(seconds: float) -> str:
    """Write a number of seconds for people."""
    return format_duration(timedelta(seconds=round(seconds, 3)))


def _orders(undo: Json) -> list[tuple[str, FaultOrder]]:
    return list(undo["orders"].items())


def _is_over(report: FaultReport | None) -> bool:
    return report is not None and report["state"] == "ended"
