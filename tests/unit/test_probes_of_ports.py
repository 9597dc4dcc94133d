"""TCP probes against real sockets: a port that accepts, and each way in which one does not."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from seatrial.api.journal import ProbeState
from seatrial.api.verdict import judge
from seatrial_runner.conductor import reach

from localcluster.ports import free_port
from tests.support.conducted import a_conductor, a_run_doc, order
from tests.support.gateway_process import Server, echo
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

RESET_AT_ITS_END = struct.pack("ii", 1, 0)


@contextlib.contextmanager
def served(serve) -> Iterator[int]:
    with contextlib.closing(Server(serve)) as server:
        yield server.port


def close(sock: socket.socket) -> None:
    """Let it go as soon as it is accepted."""


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ITS_END)


@contextlib.contextmanager
def blackholed() -> Iterator[int]:
    """Listen with no place left in the queue: what comes now has no answer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", free_port()))
        listening.listen(0)
        with socket.create_connection(listening.getsockname(), timeout=10):
            yield int(listening.getsockname()[1])


def checked(port: int, timeout: str = "30s") -> tuple[ProbeState, str]:
    """Conduct a run with a probe of the port; give what it came to, and the run's message."""

    async def whole() -> RunNamespace:
        namespace = RunNamespace()
        loop().pace = 1.0  # a check is made by another process, in true time
        probe = {"name": "p", "tcp": f"127.0.0.1:{port}", "every": "100ms", "timeout": timeout}
        order(namespace, a_run_doc(probes=[probe]))
        await a_conductor(namespace)
        return namespace

    summary = in_virtual_time(whole()).summary()
    [state] = summary["probes"]
    return state, judge(summary, probes=["p"]).message


# Newer Pythons warn of a fork beside threads; here it is the test that has one, for its service.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_port_that_accepts_holds() -> None:
    with served(echo) as port:
        state, _ = checked(port)

    assert state["checks"] >= 1
    assert (state["failures"], state["message"]) == (0, "")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("there", "timeout", "problem"),
    [
        pytest.param(
            lambda: contextlib.nullcontext(free_port()),
            "30s",
            "connection refused: nothing listens on 127.0.0.1:{port}",
            id="refuses",
        ),
        pytest.param(
            lambda: served(close),
            "30s",
            "127.0.0.1:{port} closed the connection at once",
            id="closes",
        ),
        pytest.param(
            lambda: served(reset),
            "30s",
            "the connection to 127.0.0.1:{port} was reset at once",
            id="resets",
        ),
        pytest.param(
            blackholed, "500ms", "no connection to 127.0.0.1:{port} within 0.5 s", id="blackholed"
        ),
    ],
)
def test_a_port_that_does_not_fails_the_run_and_says_how(
    monkeypatch: pytest.MonkeyPatch, there, timeout: str, problem: str
) -> None:
    # On a busy machine a server is late to close what it has accepted.
    monkeypatch.setattr(reach, "_STAYS_OPEN_S", 30.0)
    with there() as port:
        state, message = checked(port, timeout)

    assert state["failures"] >= 1
    assert state["outsideFaults"] >= 1
    assert state["message"] == problem.format(port=port)
    assert message.startswith("Probe p did not hold outside of any fault (")
    assert message.endswith(problem.format(port=port))
