"""A subscription's messages: which of them a step has taken, and what was missed."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from datetime import datetime

from seatrial_runner import clock
from seatrial_runner.scenario.brokers.interface import Arrived
from seatrial_runner.scenario.messages.tape import Record, Tape

MAX_NOTES = 5


class Feed:
    """
    What one subscription has delivered; a ``Receiver``.

    Attributes:
        name: Of the place and the broker, for messages: ``topic orders of events``.
        number: Of the subscription, on the tape.
        tape: Where the messages are.
        late: It was opened by the step that waits for its messages, and not before.
        gaps: When messages may have been missed, and why.
        ended: Why no more messages will come; empty while they may.
        waits: Why nothing can come at the moment.
        away: Messages may be waiting where the subscription cannot see them.
        back: When it could see them again, on the clock of messages; 0.0: it was never away.
        takes: How often steps have taken messages.
    """

    def __init__(
        self,
        name: str,
        number: int,
        tape: Tape,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.name = name
        self.number = number
        self.tape = tape
        self.late = False
        self.gaps: list[str] = []
        self.ended = ""
        self.waits = ""
        self.away = False
        self.back = 0.0
        self.takes = 0
        self.lost = 0  # messages for which the tape had no room
        self._clock = monotonic
        self._now = now
        self._numbers = array("Q")
        self._taken = bytearray()
        self._first = 0  # all before it are taken

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def over(self) -> bool:
        """Whether no more messages will come here: it ended, or there is no room for more."""
        return bool(self.ended) or self.lost > 0

    def deliver(self, batch: Sequence[Arrived]) -> None:
        """Record messages."""
        came, now = self._clock(), self._now().timestamp()
        with self.tape.changed:
            for arrived in batch:
                dated = arrived if arrived.at else arrived._replace(at=now)
                number = self.tape.append(self.number, came, dated)
                if number is None:
                    self.lost += 1
                else:
                    # NB: in this order: who reads holds no lock, and counts by the numbers.
                    self._taken.append(0)
                    self._numbers.append(number)
            self.tape.changed.notify_all()

    def missed(self, note: str) -> None:
        """Remember that messages may have been missed."""
        with self.tape.changed:
            if len(self.gaps) < MAX_NOTES and note not in self.gaps:
                self.gaps.append(note)

    def waiting(self, why: str, *, away: bool = False) -> None:
        """Remember why nothing can come at the moment; no reason: it can."""
        with self.tape.changed:
            self.waits = why
            was_away, self.away = self.away, bool(why) and away
            if was_away and not self.away:
                self.back = self._clock()
            self.tape.changed.notify_all()

    def broken(self, message: str) -> None:
        """Remember that no more messages will come."""
        with self.tape.changed:
            self.ended = message
            self.tape.changed.notify_all()

    def read(self, index: int) -> Record:
        """Give a message by its place in this subscription, from 0."""
        return self.tape.read(self._numbers[index])

    def untaken(self, start: int, end: int) -> Sequence[int]:
        """Give those of the messages from ``start`` to ``end`` that no step has taken."""
        return [each for each in range(max(start, self._first), end) if not self.is_taken(each)]

    def is_taken(self, index: int) -> bool:
        """Tell whether a step has taken this message."""
        return bool(self._taken[index])

    def take(self, indices: Sequence[int]) -> bool:
        """Have no other step see these messages; False, and none is taken, if one was already."""
        with self.tape.changed:
            if any(map(self.is_taken, indices)):
                return False
            for index in indices:
                self._taken[index] = 1
            while self._first < len(self._taken) and self._taken[self._first]:
                self._first += 1
            self.takes += 1
            return True

    def wait(self, known: int, seconds: float) -> None:
        """Wait until there are more than ``known`` messages, none will come, or time is out."""
        with self.tape.changed:
            self.tape.changed.wait_for(lambda: len(self._numbers) > known or self.over, seconds)

    def wait_until_back(self, seconds: float) -> None:
        """Wait until what may be waiting can be seen, none will come, or time is out."""
        with self.tape.changed:
            self.tape.changed.wait_for(lambda: not self.away or self.over, seconds)

    def doubts(self) -> list[str]:
        """Say why the messages here may not be all that there were; empty if they are."""
        lost = [f"{self.lost} more came than can be recorded"] if self.lost else []
        away = [self.waits] if self.away else []
        return [*self.gaps, *lost, *away]
