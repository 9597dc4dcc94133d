"""A worker: a process that carries a share of the connections, and keeps deadlines by itself."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket

from seatrial.api.control import GatewayDoc

from seatrial_runner.gateway import messages
from seatrial_runner.gateway.board import Board
from seatrial_runner.gateway.carrying import Carrying
from seatrial_runner.gateway.live import LiveFault
from seatrial_runner.gateway.messages import FaultWord, Reply, Word
from seatrial_runner.gateway.reactor import IN, Reactor

logger = logging.getLogger("seatrial.gateway")


def run_worker(
    doc: GatewayDoc,
    sockets: list[socket.socket],
    channel: socket.socket,
    board: Board,
    number: int,
    token: str,
) -> int:
    """Carry connections until SIGTERM; give the exit status."""
    board.processes()[number] = os.getpid()
    _raise_file_limit()
    reactor = Reactor()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    carrying = Carrying(doc, sockets, reactor, board, number, token)
    worker = Worker(carrying, channel, board, number)
    reactor.watch(channel.fileno(), IN, worker.on_word)
    worker.say_hello()
    reactor.run()
    return 0


class Worker:
    """Does as the controller says."""

    def __init__(
        self, carrying: Carrying, channel: socket.socket, board: Board, number: int
    ) -> None:
        self._carrying = carrying
        self._channel = channel
        self._board = board
        self._number = number

    def say_hello(self) -> None:
        """Ask for the state; until then nothing is accepted, so that nobody slips past a fault."""
        self._reply(Reply(number=messages.HELLO))

    def on_word(self, events: int) -> None:
        """Hear what the controller says."""
        while True:
            try:
                word = messages.receive(self._channel)
            except BlockingIOError:
                return
            if word is None:
                os._exit(0)  # whoever made us is gone, and with it all who could give orders
            self._obey(word)

    def _obey(self, word: Word) -> None:
        reply = Reply(number=word["number"])
        try:
            self._do(word)
        except Exception as error:
            logger.exception("an order failed", extra={"do": word["do"]})
            reply["error"] = f"{type(error).__name__}: {error}"
        self._reply(reply)

    def _do(self, word: Word) -> None:
        carrying = self._carrying
        if "sources" in word:
            carrying.set_sources(word["sources"])
        match word["do"]:
            case "state":
                carrying.keep_only(fault["name"] for fault in word["faults"])
                for fault in word["faults"]:
                    self._put(fault)
            case "put":
                for fault in word["faults"]:
                    self._put(fault)
            case "remove":
                for fault in word["faults"]:
                    carrying.remove(fault["name"])
        # Only now: what is accepted from here on meets the faults.
        if "upstreams" in word:
            carrying.lead(word["upstreams"])

    def _put(self, word: FaultWord) -> None:
        there = self._carrying.faults.get(word["name"])
        if there is not None and there.slot == word["slot"]:
            self._carrying.renew(word["name"], word["deadline"])
            return
        self._carrying.put(
            LiveFault.read(
                word["name"],
                word["order"],
                word["slot"],
                word["deadline"],
                self._board,
                self._number,
            )
        )

    def _reply(self, reply: Reply) -> None:
        try:
            messages.send(self._channel, reply)
        except OSError:
            # The controller does not read: it is being replaced, and its successor will ask anew.
            logger.warning("the controller does not listen")


def _raise_file_limit() -> None:
    """A connection takes two descriptors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
