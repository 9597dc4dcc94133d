"""Manual faults, as tests start and stop them: through the conductor."""

from __future__ import annotations

from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from seatrial_runner.runner.conductor_api import (
    ConductorApi,
    ConductorError,
    ConductorUnavailableError,
    fault_path,
)

# The conductor answers when the fault is in effect, or undone: that may take a roll-out.
ANSWER_S = 300.0
PATIENCE_S = 60.0
NO_CONDUCTOR = "there is no conductor here; inside of a run there is one"


class FaultOrderError(Exception):
    """A fault could not be started, stopped or seen; the message says why."""


class ConductorFaults:
    """
    The faults of the run, by name. Serves scenarios and the fixture alike.

    Args:
        api: None where there is no conductor.
        test: The entry of ``spec.tests`` that asks; may be empty.
    """

    def __init__(self, api: ConductorApi | None, test: str) -> None:
        self._api = api
        self._query = urlencode({"test": test}) if test else ""

    @property
    def available(self) -> bool:
        """Whether there is a conductor to ask."""
        return self._api is not None

    def start(self, name: str) -> None:
        """Start a fault and wait until it is in effect."""
        self._ask("POST", name, f"start?{self._query}".rstrip("?"))

    def stop(self, name: str) -> None:
        """Stop a fault and wait until it is undone."""
        self._ask("POST", name, "stop")

    def wait_recovered(self, name: str) -> None:
        """Stop a fault if it is in effect, and wait until the system is well again."""
        self._ask("POST", name, "stop?recovered=true")

    def status(self, name: str) -> dict[str, Any]:
        """Give a fault's state: the document of ``status.faults[]``."""
        return self._ask("GET", name, "")

    def _ask(self, method: str, name: str, rest: str) -> dict[str, Any]:
        if self._api is None:
            raise FaultOrderError(f"fault {name!r}: {NO_CONDUCTOR}")
        try:
            return self._api.insist(
                method, fault_path(name, rest), timeout_s=ANSWER_S, patience_s=PATIENCE_S
            )
        except (ConductorError, ConductorUnavailableError) as error:
            raise FaultOrderError(str(error)) from error


class Fault:
    """
    One manual fault, as a context manager: in effect inside of the block, undone after it.

    >>> with faults("lose-a-pod") as fault:  # doctest: +SKIP
    ...     assert http.get("http://orders:8080/orders").status_code == 200
    >>> fault.wait_recovered()  # doctest: +SKIP
    """

    def __init__(self, name: str, faults: ConductorFaults) -> None:
        self.name = name
        self._faults = faults

    def start(self) -> Fault:
        """Start it and wait until it is in effect."""
        self._faults.start(self.name)
        return self

    def stop(self) -> None:
        """Stop it and wait until it is undone; a fault that is undone already stays so."""
        self._faults.stop(self.name)

    def status(self) -> dict[str, Any]:
        """Give its state: the document of ``status.faults[]``."""
        return self._faults.status(self.name)

    def wait_recovered(self) -> None:
        """Stop it if it is in effect, and wait until the system is well again."""
        self._faults.wait_recovered(self.name)

    def __enter__(self) -> Fault:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except FaultOrderError as problem:
            if error is None:
                raise
            # The test's own failure matters more; this one is told with it.
            error.add_note(f"and fault {self.name!r} could not be stopped: {problem}")


class FaultFactory:
    """The fixture ``faults``: ``faults("name")`` gives the fault of that name."""

    def __init__(self, faults: ConductorFaults) -> None:
        self._faults = faults

    def __call__(self, name: str) -> Fault:
        """
        Give a fault that is declared with ``when: {manual: {}}``; nothing is started yet.

        Skips the test where there is no conductor.
        """
        if not self._faults.available:
            import pytest

            from seatrial_runner.scenario.cluster_needed import needs_faults

            pytest.skip(needs_faults([name]))
        return Fault(name, self._faults)
