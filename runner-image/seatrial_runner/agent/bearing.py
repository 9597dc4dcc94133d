"""The process that bears one fault: it begins, renews, counts and ends it."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from seatrial.api.errors import FaultError

from seatrial_runner.agent.children import end_by_itself, go_first
from seatrial_runner.agent.fault import Fault

MESSAGE = 64 * 1024
# A process that hangs is ended by the kernel so long after its deadline.
_GRACE_S = 0.3
# What has been counted is told unasked, so that little is lost if this process is killed.
_TELL_S = 0.2


def bear(make: Callable[[], Fault], link: socket.socket, deadline: float) -> int:
    """
    Bear a fault until its deadline, or until the agent says that it is over.

    Args:
        make: Makes the fault.
        link: To the agent. It asks ``{"do": "renew", "deadline": ...}``, ``"tell"`` or ``"end"``;
            it is told ``{"say": "begun" | "refused" | "tally" | "ended" | "lost", ...}``.
        deadline: On ``time.monotonic``.

    Returns:
        The exit status of the process.
    """
    end_by_itself(deadline + _GRACE_S)
    go_first()
    try:
        fault = make()
        fault.begin(deadline)
    except ValueError as error:
        _say(link, "refused", why=str(error), wrong=True)
        return 1
    except FaultError as error:
        _say(link, "refused", why=str(error), wrong=False)
        return 1
    except OSError as error:
        why = f"the node's kernel or the container runtime refuses it: {error.strerror or error}"
        _say(link, "refused", why=why, wrong=False)
        return 1
    _say(link, "begun", tally=fault.tally.doc())
    try:
        _until_over(fault, link, deadline)
    except FaultError as error:
        fault.end()
        _say(link, "lost", tally=fault.tally.doc(), why=str(error))
        return 1
    fault.end()
    _say(link, "ended", tally=fault.tally.doc())
    return 0


def _until_over(fault: Fault, link: socket.socket, deadline: float) -> None:
    tell_at, told = monotonic() + _TELL_S, ""
    while True:
        due = fault.turn()
        now = monotonic()
        if now >= deadline:
            return
        if now >= tell_at:
            tell_at = now + _TELL_S
            if (tally := json.dumps(fault.tally.doc())) != told:
                told = tally
                _say(link, "tally", tally=fault.tally.doc())
        wake = min(deadline, tell_at, deadline if due is None else due)
        ready, _, _ = select.select([link, *fault.watched()], [], [], max(0.0, wake - now))
        if link not in ready:
            continue
        order = _receive(link)
        match order.get("do"):
            case "renew":
                deadline = order["deadline"]
                end_by_itself(deadline + _GRACE_S)
                fault.renew(deadline)
                _say(link, "renewed", tally=fault.tally.doc())
            case "tell":
                fault.turn()
                _say(link, "told", tally=fault.tally.doc())
            case _:  # the end, or nobody is there any more
                return


def _receive(link: socket.socket) -> dict[str, Any]:
    try:
        data = link.recv(MESSAGE)
    except OSError:
        return {}
    return dict(json.loads(data)) if data else {}


def _say(link: socket.socket, what: str, **more: Any) -> None:
    try:
        link.send(json.dumps({"say": what, **more}).encode(), socket.MSG_DONTWAIT)
    except OSError:  # it does not listen, or is gone; what counts is the fault's end
        return
