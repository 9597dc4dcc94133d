"""The controller's side of the channels: what is said is heard by every worker, or by its heir."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Literal

from seatrial_runner.gateway import messages
from seatrial_runner.gateway.messages import FaultWord, Reply, Word

logger = logging.getLogger("seatrial.gateway")

# A worker that does not answer for so long is stuck: it is killed, and with it what it carries, so
# that no fault is on a second after its deadline.
_ANSWER_S = 0.8
# By this many looks: a machine that stands still for as long makes one of them late, and not all.
_LOOKS = 2
_HEIR_S = 3.0


class NoAnswerError(Exception):
    """A worker does not answer, and neither does its heir."""


class Link:
    """The channel to one worker, whichever process that is just now."""

    def __init__(
        self,
        channel: socket.socket,
        state: Callable[[], Word],
        processes: Sequence[int],
        number: int,
    ) -> None:
        """
        Make it.

        Args:
            channel: Our end.
            state: Gives the word that tells a new worker all it must know.
            processes: Of all workers, as they are just now; 0 for one that is not there.
            number: Of the worker.
        """
        self._channel = channel
        self._state = state
        self._pending: dict[int, asyncio.Future[None]] = {}
        self._processes = processes
        self._number = number
        self.synced = False

    def open(self) -> None:
        """Hear the worker, and tell it the state: it may have that of a controller before us."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._on_readable)
        self._tell_state()

    def close(self) -> None:
        """Hear it no more."""
        asyncio.get_running_loop().remove_reader(self._channel.fileno())

    def tell(self, word: Word) -> asyncio.Future[None]:
        """Say something; the future is done when the worker, or its heir, has done it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[word["number"]] = future
        try:
            messages.send(self._channel, word)
        except OSError as error:
            logger.warning("a worker does not listen: %s", error)
        return future

    @property
    def process(self) -> int:
        """The worker's process; 0: there is none. It may be stuck before it has said a word."""
        return self._processes[self._number]

    def kill(self, process: int) -> None:
        """End the worker if it is this process still: its heir will be told everything."""
        if process and process == self.process:
            logger.warning("a worker does not answer, and is killed", extra={"pid": process})
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(process, signal.SIGKILL)

    def forget(self, number: int) -> None:
        """Wait for an answer no more."""
        self._pending.pop(number, None)

    def _tell_state(self) -> None:
        self.synced = False
        word = self._state()
        future = self.tell(word)
        future.add_done_callback(self._on_synced)

    def _on_synced(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.synced = True

    def _on_readable(self) -> None:
        while True:
            try:
                reply = messages.receive(self._channel)
            except BlockingIOError:
                return
            if reply is None:
                self.close()
                return
            self._on_reply(reply)

    def _on_reply(self, reply: Reply) -> None:
        number = reply["number"]
        if number == messages.HELLO:
            self._tell_state()
            return
        if number not in self._pending:
            return  # an answer to the controller before us
        # A state holds all that was said before it, to a worker that may have died over it.
        for earlier in [each for each in self._pending if each <= number]:
            future = self._pending.pop(earlier)
            if future.done():
                continue
            if earlier == number and "error" in reply:
                future.set_exception(RuntimeError(reply["error"]))
            else:
                future.set_result(None)


class Links:
    """All workers."""

    def __init__(
        self,
        channels: list[socket.socket],
        state: Callable[[int], Word],
        processes: Sequence[int],
    ) -> None:
        """
        Make them.

        Args:
            channels: Our ends.
            state: Gives the word that tells a new worker all, with this number.
            processes: Of all workers, as they are just now; 0 for one that is not there.
        """
        # Numbers that no controller before us has used.
        self._last = monotonic_ns()
        self._links = [
            Link(channel, lambda: state(self.next_number()), processes, number)
            for number, channel in enumerate(channels)
        ]

    def open(self) -> None:
        """Hear all workers."""
        for link in self._links:
            link.open()

    def close(self) -> None:
        """Hear them no more."""
        for link in self._links:
            link.close()

    @property
    def synced(self) -> bool:
        """Tell whether every worker knows all."""
        return all(link.synced for link in self._links)

    def next_number(self) -> int:
        """Give a number for a word."""
        self._last += 1
        return self._last

    async def tell(
        self,
        do: Literal["put", "remove"],
        faults: list[FaultWord],
        *,
        sources: dict[str, list[str]] | None = None,
        upstreams: dict[str, str] | None = None,
    ) -> None:
        """
        Say something to all workers; it is done on return, by them or by their heirs.

        Raises:
            NoAnswerError: Nobody knows whether it is done.
            RuntimeError: A worker could not do it.
        """
        number = self.next_number()
        word = Word(number=number, do=do, faults=faults)
        if sources is not None:
            word["sources"] = sources
        if upstreams is not None:
            word["upstreams"] = upstreams
        asked = {link: link.process for link in self._links}
        said = {link: link.tell(word) for link in self._links}
        try:
            for _ in range(_LOOKS):
                _, late = await asyncio.wait(said.values(), timeout=_ANSWER_S / _LOOKS)
            if late:
                for link, future in said.items():
                    if future in late:
                        link.kill(asked[link])  # not its heir, which has only begun
                _, late = await asyncio.wait(said.values(), timeout=_HEIR_S)
            if late:
                raise NoAnswerError(f"{len(late)} of {len(said)} workers do not answer")
            await asyncio.gather(*said.values())
        finally:
            for link in said:
                link.forget(number)
