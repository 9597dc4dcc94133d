"""
Forked worker processes: whatever runs user input runs in one, for one attempt, and can be killed.

A fork costs milliseconds and finds everything imported already. The conductor starts no threads
(its addresses are IP addresses, so asyncio needs none), which is what makes forking it safe.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn

from seatrial.api import memory

Json = dict[str, Any]

# One message: an InstanceResult with 16 KiB of details for each of at most 64 x 16 x 32 steps is
# bounded by the engine; this bound only protects the conductor.
MAX_MESSAGE = 8 * 1024 * 1024


class WorkerError(Exception):
    """The worker ended without a result; the message says how."""


class WorkerTimeoutError(WorkerError):
    """The worker was killed because its time was over."""


class WorkerMemoryError(WorkerError):
    """The worker needed more memory than it may take."""


class Channel:
    """The worker's end: tells and asks the conductor. Safe to use from several threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._sending = threading.Lock()
        self._asking = threading.Lock()

    def tell(self, message: Json) -> None:
        """Send a message that needs no answer."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._sending:
            self._connection.sendall(line)

    def ask(self, message: Json) -> Json:
        """Send a message and wait for its answer."""
        with self._asking:
            self.tell({**message, "ask": True})
            answer: Json = json.loads(self._lines.readline())
        return answer


Work = Callable[[Channel], Json]
Listener = Callable[[Json], Awaitable[Json]]


async def run_in_worker(
    work: Work,
    listener: Listener,
    *,
    timeout_s: float | None,
    stop_s: float = 0.0,
    most: int = memory.BESIDE,
) -> Json:
    """
    Run ``work`` in a process of its own and give its result.

    Args:
        work: Called in the worker with its channel; its result must be made of JSON types.
        listener: Called here with each message; its answer goes back if the worker asked for one.
        timeout_s: The worker is killed after this time; None: only when this is cancelled.
        stop_s: When this is cancelled, the worker gets SIGTERM and has so long to end; it may go
            on talking meanwhile. 0: it is killed at once.
        most: Bytes that it may take beyond what it was forked with. Kubernetes ends all processes
            of a container that has no memory left: one hostile answer would take the conductor
            with it.

    Raises:
        WorkerTimeoutError: The time was over.
        WorkerMemoryError: It needed more than ``most``.
        WorkerError: The worker ended without a result: it was killed, or ``work`` raised.
    """
    pid, connection = _fork(work, most)
    ended = False
    try:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_MESSAGE)
        try:
            async with asyncio.timeout(timeout_s):
                result = await _listen(reader, writer, listener)
        except TimeoutError:
            raise WorkerTimeoutError(f"timed out after {timeout_s:g} s") from None
        except asyncio.CancelledError:
            if stop_s:
                os.kill(pid, signal.SIGTERM)
                with suppress(TimeoutError):
                    async with asyncio.timeout(stop_s):
                        await _listen(reader, writer, listener)
            raise
        finally:
            writer.transport.abort()
        ended = result is None
    finally:
        status = _end(pid, ended=ended)
    if result is None:
        raise WorkerError(f"the worker process {_how_it_ended(status)} without a result")
    if "raised" in result:
        kind = WorkerMemoryError if result.get("memory") else WorkerError
        raise kind(str(result["raised"]))
    value: Json = result["result"]
    return value


async def _listen(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener: Listener
) -> Json | None:
    """Serve the worker until its result has come; None if it ended without one."""
    # Answers take their time (a fault to take effect); messages that come meanwhile are evidence.
    answers: set[asyncio.Task[None]] = set()
    try:
        while True:
            line = await _line(reader)
            if not line.endswith(b"\n"):
                return None
            message: Json = json.loads(line)
            if "result" in message or "raised" in message:
                return message
            if message.get("ask"):
                answers.add(asyncio.create_task(_answer(writer, listener, message)))
            else:
                await listener(message)
    finally:
        for answer in answers:
            answer.cancel()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except (ConnectionError, ValueError):  # ValueError: longer than MAX_MESSAGE
        return b""


async def _answer(writer: asyncio.StreamWriter, listener: Listener, message: Json) -> None:
    answer = await listener(message)
    writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")


def _fork(work: Work, most: int) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair()
    gc.freeze()  # a collection in the worker must not copy the pages it shares with us
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _be_a_worker(work, most, theirs)
    gc.unfreeze()
    theirs.close()
    return pid, ours


def _be_a_worker(work: Work, most: int, connection: socket.socket) -> NoReturn:
    status = 1
    try:
        _bound_memory(most)
        # The conductor's handlers write into its event loop's wake-up pipe, which we share.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # The conductor says on this signal where it stands (``process.py``), and so do we.
        faulthandler.register(signal.SIGUSR1, file=2)
        channel = Channel(connection)
        try:
            channel.tell({"result": work(channel)})
        except MemoryError:
            channel.tell(
                {"raised": f"it needed more than {most // memory.MIB} MiB", "memory": True}
            )
        except Exception as error:  # noqa: BLE001 - the conductor must hear of anything
            text = "".join(traceback.format_exception(error, limit=-5))
            channel.tell({"raised": f"the worker raised {type(error).__name__}: {error}"})
            sys.stderr.write(text)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _bound_memory(most: int) -> None:
    if sys.platform != "linux":  # nobody's container
        return
    # Source: proc(5), statm: the sixth number is data + stack, in pages; it is what RLIMIT_DATA
    # bounds, while RLIMIT_AS would also count what allocators only reserve.
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[5])
    limit = pages * resource.getpagesize() + most
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _end(pid: int, *, ended: bool) -> int:
    """Give a worker's wait status; one that has not ended by itself is killed first."""
    if not ended:
        os.kill(pid, signal.SIGKILL)
    # NB: a worker closes its channel by ending, and a killed one ends: this does not block.
    _, status = os.waitpid(pid, 0)
    return status


def _how_it_ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(number).name}{hint}"
    return f"ended with status {os.WEXITSTATUS(status)}"
