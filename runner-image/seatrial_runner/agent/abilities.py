"""What can be done in this pod on this node, found out by trying it without harm."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from seatrial.api.errors import FaultError, NotInjectedError
from seatrial.api.families import POD

from seatrial_runner.agent import children
from seatrial_runner.agent.fault import Surroundings

_ANSWER_S = 10.0
_MOST = 4096


async def ask(around: Surroundings, declared: Sequence[Any]) -> dict[str, str]:
    """Give each kind with an empty text, or with why it cannot be done here."""
    answers = await asyncio.gather(*(_ask(kind, around, declared) for kind in POD))
    return dict(zip(POD, answers, strict=True))


async def _ask(kind: str, around: Surroundings, declared: Sequence[Any]) -> str:
    """Try in a process of its own: what it makes and joins goes with it."""
    theirs_declared = [each["params"] for each in declared if each["kind"] == kind]
    ours, theirs = os.pipe()
    children.start(lambda: _try(kind, around, theirs_declared, theirs))
    os.close(theirs)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    with os.fdopen(ours, "rb") as pipe:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            answer = await asyncio.wait_for(reader.read(_MOST), _ANSWER_S)
        except TimeoutError:
            return f"this was not found out within {_ANSWER_S:g} s"
        finally:
            transport.close()
    return answer.decode(errors="replace").strip() if answer else "the attempt failed"


def _try(kind: str, around: Surroundings, declared: list[Any], pipe: int) -> int:
    why = " "  # nothing would mean that the process has failed
    try:
        _ATTEMPTS[kind](around, declared)
    except (FaultError, ValueError) as error:
        why = str(error)
    except OSError as error:
        why = f"the node's kernel or the container runtime refuses it: {error.strerror or error}"
    os.write(pipe, why.encode()[:_MOST])
    return 0


def _try_packets(around: Surroundings, declared: list[Any]) -> None:
    from seatrial_runner.agent.packets import Packets

    Packets({}, 0, list(around.nodes)).prepare()


def _try_dns(around: Surroundings, declared: list[Any]) -> None:
    from seatrial_runner.agent.dns import Dns

    for params in declared or [{"nxdomain": {}}]:
        fault = Dns(params, around.container)
        fault.prepare()
        fault.end()


def _try_freeze(around: Surroundings, declared: list[Any]) -> None:
    from seatrial_runner.agent.kernel import seize

    main = around.container.main()
    try:
        seize(main)  # not stopped, and let go when this process ends
    except OSError as error:
        raise NotInjectedError(
            f"the processes of container {around.container.name} may not be traced:"
            f" {error.strerror}"
        ) from None


def _try_cpu(around: Surroundings, declared: list[Any]) -> None:
    from seatrial_runner.agent.cpu import bounded

    bounded(around.container).join()


def _try_memory(around: Surroundings, declared: list[Any]) -> None:
    from seatrial_runner.agent.memory import bounded

    bounded(around.container).join()


def _try_disk(around: Surroundings, declared: list[Any]) -> None:
    from seatrial_runner.agent.disk import Disk

    around.container.main()
    for params in declared:
        Disk(params, around.container).prepare()


_ATTEMPTS: dict[str, Callable[[Surroundings, list[Any]], None]] = {
    "packets": _try_packets,
    "dns": _try_dns,
    "freeze": _try_freeze,
    "cpu": _try_cpu,
    "memory": _try_memory,
    "disk": _try_disk,
}
