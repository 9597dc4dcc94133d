"""What the checks of a steady-state probe come to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from seatrial.api.journal import ProbeState

from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.cases import clipped

_MAX_MESSAGE = 512
_MAX_FAULTS = 64
_OUTSIDE = ""  # stands for "within no fault's window" where a fault's name would


@dataclass(frozen=True)
class Check:
    """One check that was made; ``problem`` is empty if it held."""

    probe: str
    began: datetime
    ended: datetime
    problem: str
    # Made out of turn, because someone waits for the system to be well. It may end an outage;
    # it begins none, because ``threshold`` counts checks that are ``every`` apart.
    extra: bool = False


@dataclass
class Ledger:
    """
    The checks of one probe, counted as they come, in constant memory.

    A failure counts when ``threshold`` of its kind have come in a row: all outside of every window,
    or all within one fault's. So a fault that begins after two failures of three is not to blame
    for them, and neither is it for a single one.

    Attributes:
        state: The probe's entry of the summary, changed in place.
        threshold: How many failures in a row count.
        down_since: Begin of the first of the failures that have come in a row; None if the last
            check held.
    """

    state: ProbeState
    threshold: int
    down_since: datetime | None = None
    _row: int = 0
    _rows: dict[str, int] = field(default_factory=dict)
    _decided: bool = False

    def __post_init__(self) -> None:
        """Take over from an earlier conductor: its failure that decides stays the one told of."""
        self._decided = bool(self.state["outsideFaults"]) or (
            self.state["mustHold"] and bool(self.state["duringFaults"])
        )

    @property
    def counts(self) -> bool:
        """Tell whether the probe has failed so often in a row that it counts as not holding."""
        return self._row >= self.threshold

    def take(self, check: Check, during: Sequence[str]) -> None:
        """
        Count a check.

        Args:
            check: Later than those before it.
            during: Faults whose windows it overlaps.
        """
        state = self.state
        if not check.problem:
            state["checks"] += not check.extra
            state["lastCheck"] = rfc3339(check.ended)
            self._note_outage(check.began)
            self.down_since, self._row, self._rows = None, 0, {}
            return
        if check.extra:
            return
        state["checks"] += 1
        state["failures"] += 1
        state["lastCheck"] = rfc3339(check.ended)
        self.down_since = self.down_since or check.began
        self._row += 1
        self._note_outage(check.ended)
        keys = list(during) or [_OUTSIDE]
        self._rows = {key: self._rows.get(key, 0) + 1 for key in keys}
        decides = False
        for key, row in self._rows.items():
            if row >= self.threshold:
                decides |= self._count(key, self.threshold if row == self.threshold else 1)
        self._tell(check, decides=decides)

    def _note_outage(self, until: datetime) -> None:
        if self.down_since is not None and self.counts:
            lasted = round((until - self.down_since).total_seconds(), 3)
            self.state["longestOutageS"] = max(self.state["longestOutageS"], lasted, 0.0)

    def _count(self, key: str, failures: int) -> bool:
        """Count failures outside of windows, or a fault; tell whether the verdict hangs on it."""
        state = self.state
        if key == _OUTSIDE:
            state["outsideFaults"] += failures
            return True
        if key not in state["duringFaults"] and len(state["duringFaults"]) < _MAX_FAULTS:
            state["duringFaults"].append(key)
        return state["mustHold"]

    def _tell(self, check: Check, *, decides: bool) -> None:
        first_at_all = self.state["firstFailure"] is None
        if first_at_all or (decides and not self._decided):
            self.state["firstFailure"] = rfc3339(check.began)
            self.state["message"] = clipped(check.problem, _MAX_MESSAGE)
        self._decided |= decides
