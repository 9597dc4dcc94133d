"""A connection that stays does not keep the faults that it has seen."""

from __future__ import annotations

import gc
import socket
import weakref
from time import monotonic

from seatrial.api.control import FaultOrder, GatewayDoc, ListenerDoc
from seatrial_runner.gateway.board import Board
from seatrial_runner.gateway.carrying import Carrying
from seatrial_runner.gateway.live import LiveFault
from seatrial_runner.gateway.reactor import Reactor


def test_a_connection_forgets_a_fault_that_is_over_and_did_not_hit_it() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as service,
        socket.socket() as listening,
        socket.create_connection(service.getsockname()) as client,
    ):
        doc = ListenerDoc(
            service="shop",
            portName="tcp",
            port=service.getsockname()[1],
            listen=0,
            upstreamHost="shop-behind",
            envoy=None,
        )
        board = Board(1)
        sockets = [listening]
        reactor = Reactor()
        carrying = Carrying(
            GatewayDoc(listeners=[doc], httpFaults=[]), sockets, reactor, board, 0, "a-token"
        )
        carrying.lead({"shop-behind": "127.0.0.1"})
        listener = carrying._listeners[0]
        carrying._accepted(listener, client.dup(), "10.0.0.1", 40000)
        order = FaultOrder(kind="blackhole", params={}, forS=60.0, seed=1)
        order["connections"] = 0.0
        fault = LiveFault.read("never", order, 0, monotonic() + 60, board, 0)
        carrying.put(fault)
        gone = weakref.ref(fault)
        del fault
        carrying.remove("never")
        gc.collect()
        assert gone() is None
        for connection in list(carrying._connections):
            connection.close()
