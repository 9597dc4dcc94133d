"""Waits for messages as a step says, and judges them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Observation, StepFailure
from seatrial_runner.scenario.messages.checks import (
    Offence,
    duplicates,
    out_of_order,
    schema_checker,
    schema_violations,
    told,
)
from seatrial_runner.scenario.messages.feed import Feed
from seatrial_runner.scenario.messages.judging import Judge, NotKeptError, NoValueError
from seatrial_runner.scenario.messages.reading import NOT_KEPT, Reading
from seatrial_runner.scenario.messages.texts import messages_text
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.transcript import unmet_text
from seatrial_runner.scenario.watch import Watch, cut_short, too_short

WITHIN_S = 10.0
NONE_WITHIN_S = 2.0
SETTLE_S = 0.25
MAX_VALUES = 1000  # messages in the variable ``messages``
MAX_VALUES_BYTES = 8 * 1024 * 1024  # of their bodies
MAX_OFFENCES = 100
_TICK_S = 60.0


@dataclass(frozen=True)
class Wanted:
    """
    What a step asks for; durations in seconds.

    Attributes:
        count: Exactly so many; None if it does not say.
        at_least: So many, or more.
        settle: How long it goes on listening once there are enough.
        expect: Of the step: without ``where``, a message must meet it to be the one.
    """

    where: str | None = None
    within: float = WITHIN_S
    count: int | None = None
    at_least: int | None = None
    settle: float = 0.0
    unique: str | None = None
    ordered: dict[str, str] | None = None
    schema: Any = None
    expect: Sequence[str] = ()

    @classmethod
    def of(cls, document: dict[str, Any], expect: Sequence[str]) -> Wanted:
        """Read a step's document."""
        none = document.get("count") == 0
        follows = any(key in document for key in ("count", "unique", "ordered"))
        return cls(
            document.get("where"),
            _seconds(document, "within", NONE_WITHIN_S if none else WITHIN_S),
            document.get("count"),
            document.get("atLeast"),
            _seconds(document, "settle", SETTLE_S if follows else 0.0),
            document.get("unique"),
            document.get("ordered"),
            document.get("schema"),
            expect,
        )

    @property
    def single(self) -> bool:
        """It asks for one message, and says nothing of several."""
        several = (self.count, self.at_least, self.unique, self.ordered)
        return all(each is None for each in several)

    @property
    def enough(self) -> int:
        """How many messages end the wait."""
        return self.count or self.at_least or 1


@dataclass
class Receiving:
    """
    One wait for messages.

    Attributes:
        feed: Where they come from.
        judge: Evaluates expressions.
        redactor: Learns the secrets of messages that are shown.
        clock: In seconds.
        left: Gives the seconds that the step may still take.
    """

    wanted: Wanted
    feed: Feed
    judge: Judge
    redactor: Redactor
    clock: Callable[[], float]
    left: Callable[[], float]
    _seen: int = 0  # messages of the feed that were looked at
    _takes: int = 0  # of the feed, by then
    _matched: array[int] = field(default_factory=lambda: array("Q"))
    _others: array[int] = field(default_factory=lambda: array("Q"))
    _not_kept: array[int] = field(default_factory=lambda: array("Q"))  # may be meant, or not
    _unjudged: tuple[int, str] | None = None  # a message for which ``where`` had no value, and why
    _nearest: tuple[int, int] | None = None  # unmet expectations, and of which message

    def __post_init__(self) -> None:
        self._watch = Watch(self.wanted.within, self.left(), self.clock)

    def observe(self) -> Observation:
        """
        Wait.

        Raises:
            StepFailure: The messages are not as they should be; it shows them.
        """
        if self.wanted.count == 0:
            return self._none()
        if self.wanted.single:
            return self._one()
        return self._several()

    def _none(self) -> Observation:
        self._look()
        while not self._matched and self._watch.left() > 0 and not self.feed.over:
            self._wait(self._watch.left())
            self._look()
        if self._matched:
            text = f"{_count(len(self._matched))} {self._meant()}, expected none"
            raise self._failure(text, self._matched)
        self._require_certainty()
        self._watch.require_whole()
        return Observation({"messages": []})

    def _one(self) -> Observation:
        while True:
            self._look()
            if self._matched:
                index = self._matched[0]
                self._check_schema([index])
                if self.feed.take([index]):
                    break
            elif self._watch.left() <= 0 or self.feed.over:
                raise self._nothing_came()
            else:
                self._wait(self._watch.left())
        [reading] = self._shown([index])
        values = {**reading.values(), "messages": [reading.as_map()]}
        notes = reading.notes() | ({} if reading.is_whole else {"messages": NOT_KEPT})
        return Observation(values, messages_text("Message", [reading], 1), notes)

    def _several(self) -> Observation:
        wanted = self.wanted
        while True:
            unsettled = self._gather()
            self._require_count()
            self._check_several()
            if wanted.count is not None or wanted.unique or wanted.ordered:
                self._require_certainty()
            if unsettled > 0 and not self.feed.over:
                took = cut_short(wanted.settle - unsettled, wanted.settle)
                raise too_short(f"after the last message {took}")
            if self.feed.take(self._matched):
                return self._observation()

    def _gather(self) -> float:
        """Wait until there are enough; give the seconds for which none should yet have followed."""
        wanted = self.wanted
        exact = wanted.count is not None
        unsettled = 0.0
        while True:
            self._look()
            if exact and len(self._matched) > wanted.enough:
                break
            if len(self._matched) < wanted.enough:
                rest = self._watch.left()
            elif self._may_be_back():
                self.feed.wait_until_back(self._watch.left())
                continue
            else:
                # What has been there for longer than that need not be waited for again.
                came = max(self.feed.read(self._matched[-1]).came, self.feed.back)
                unsettled = came + wanted.settle - self.clock()
                rest = min(unsettled, self.left())
            if rest <= 0 or self.feed.over:
                break
            self._wait(rest)
        return unsettled

    def _may_be_back(self) -> bool:
        away = self.feed.away and not self.feed.over
        return away and self.wanted.settle > 0 and self._watch.left() > 0

    def _look(self) -> None:
        """Look at the messages that have come since; drop those that a step beside has taken."""
        if self._takes != self.feed.takes:
            self._takes = self.feed.takes
            self._matched = self._untaken(self._matched)
            self._others = self._untaken(self._others)
            self._not_kept = self._untaken(self._not_kept)
        known = len(self.feed)
        for index in self.feed.untaken(self._seen, known):
            (self._matched if self._is_meant(index) else self._others).append(index)
        self._seen = known

    def _is_meant(self, index: int) -> bool:
        wanted = self.wanted
        if wanted.where is not None:
            try:
                return self.judge.holds(wanted.where, "where", self._reading(index))
            except NotKeptError:
                self._not_kept.append(index)
                return False
            except NoValueError as error:
                self._unjudged = index, str(error)
                return False
        if wanted.single and wanted.expect:
            return self._meets(index)
        return True

    def _meets(self, index: int) -> bool:
        """Without ``where``, the message that is meant is one that meets the expectations."""
        reading = self._reading(index)
        unmet = [each for text in self.wanted.expect if (each := self.judge.unmet(text, reading))]
        if any(each.permanent for each in unmet):
            reading.teach(self.redactor)
            first = next(each for each in unmet if each.permanent)
            raise StepFailure(first.message, unmet_text(first), permanent=True)
        if unmet and (self._nearest is None or len(unmet) <= self._nearest[0]):
            self._nearest = len(unmet), index
        if unmet and not reading.is_whole:
            self._not_kept.append(index)
        return not unmet

    def _require_count(self) -> None:
        wanted, found = self.wanted, len(self._matched)
        if wanted.count is not None and found > wanted.count:
            text = f"{_count(found)} {self._meant()}, expected {wanted.count}"
            raise self._failure(text, self._matched)
        if found < wanted.enough:
            if not found:
                raise self._nothing_came()
            text = f"only {found} of {wanted.enough} messages {self._meant()} {self._how_long()}"
            raise self._failure(text, self._matched, waited=True)

    def _check_several(self) -> None:
        wanted = self.wanted
        self._check_schema(self._matched)
        if wanted.unique:
            found = duplicates(wanted.unique, self._readings(self._matched), self.judge)
            self._refuse("duplicates", found)
        if wanted.ordered:
            by, within = wanted.ordered["by"], wanted.ordered.get("within")
            found = out_of_order(by, within, self._readings(self._matched), self.judge)
            self._refuse("wrong order", found)

    def _check_schema(self, indices: Sequence[int]) -> None:
        if self.wanted.schema is not None:
            checker = schema_checker(self.wanted.schema)
            self._refuse("schema not met", schema_violations(checker, self._readings(indices)))

    def _refuse(self, what: str, offences: Iterator[Offence]) -> None:
        found = [each for _, each in zip(range(MAX_OFFENCES), offences, strict=False)]
        if found:
            shown = sorted({number - 1 for each in found for number in each.numbers})
            text = told(f"{what} among {_count(len(self._matched))} {self._meant()}", found)
            raise self._failure(text, shown, "Offending messages")

    def _require_certainty(self) -> None:
        """
        Refuse to take what was seen for all there was, where some may have been missed.

        The number may be another, and one that was missed a duplicate or out of order.
        """
        ended = [self.feed.ended] if self.feed.ended else []
        if doubts := [*ended, *self._doubts()]:
            what = "which" if self.wanted.count is None else "how many"
            raise StepFailure(
                f"nobody can say {what} messages {self._meant()} there were: {'; '.join(doubts)}",
                outcome="error",
            )

    def _doubts(self) -> list[str]:
        """Say why the messages that were found may not be all that are meant."""
        not_kept = [_without_body(len(self._not_kept))] if self._not_kept else []
        return [*self.feed.doubts(), *not_kept]

    def _nothing_came(self) -> StepFailure:
        wanted = self.wanted
        others = len(self._others)
        if not others:
            return self._failure(f"no message {self._meant()} {self._how_long()}", [], waited=True)
        if self._nearest is None:
            text = f"no message {self._meant()} {self._how_long()}; {_count(others)} came that"
            text += " did not match"
            if self._unjudged:
                [reading] = self._shown([self._unjudged[0]])
                text += f" (message {reading.number}: {self._unjudged[1]})"
            return self._failure(text, self._others, "Other messages", waited=True)
        [nearest] = self._shown([self._nearest[1]])
        unmet = [each for text in wanted.expect if (each := self.judge.unmet(text, nearest))]
        of = "the one that came" if others == 1 else f"the nearest of {others} that came"
        text = f"no message {self._meant()} met the expectations {self._how_long()};"
        text += f" of {of}: {unmet[0].message}" if unmet else ""
        failure = self._failure(text, self._others, "Messages", waited=True)
        shown = "\n\n".join(unmet_text(each) for each in unmet)
        nearest_text = messages_text("The nearest message", [nearest], 1)
        failure.details = f"{shown}\n\n{nearest_text}\n\n{failure.details}"
        return failure

    def _failure(
        self, text: str, indices: Sequence[int], title: str = "Messages", *, waited: bool = False
    ) -> StepFailure:
        notes = []
        if self.feed.ended:
            notes.append(self.feed.ended)
        if self.feed.waits and not self.feed.away:
            notes.append(self.feed.waits)
        if waited and self.feed.late:
            notes.append(
                "the subscription was opened with this step: what came before it was not seen;"
                " open it earlier with a step that says subscribe: true"
            )
        notes += self._doubts()
        shown = list(indices)[-8:] if title != "Offending messages" else list(indices)
        details = messages_text(title, self._shown(shown), len(indices)) if indices else ""
        return StepFailure(
            text + (f" ({'; '.join(notes)})" if notes else ""),
            details,
            outcome="error" if self.feed.ended or (waited and self.feed.over) else "failed",
        )

    def _observation(self) -> Observation:
        maps: list[dict[str, Any]] = []
        size, not_kept = 0, 0
        for reading in self._readings(self._matched):
            size += len(reading.record.arrived.body or b"")
            if len(maps) == MAX_VALUES or size > MAX_VALUES_BYTES:
                break
            reading.teach(self.redactor)
            maps.append(reading.as_map())
            not_kept += not reading.is_whole
        [last] = self._shown(self._matched[-1:])
        notes = last.notes()
        total = len(self._matched)
        told = [f"messages holds the first {len(maps)} of {total}"] if len(maps) < total else []
        if not_kept:
            told.append(_without_body(not_kept))
        if told:
            notes["messages"] = "; ".join(told)
        text = messages_text("Messages", self._shown(self._matched[:8]), total)
        return Observation({**last.values(), "messages": maps}, text, notes)

    def _meant(self) -> str:
        where = f" where {self.wanted.where}" if self.wanted.where else ""
        return f"from {self.feed.name}{where}"

    def _how_long(self) -> str:
        return f"within {min(self.wanted.within, self.clock() - self._watch.began):.3g} s"

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.feed.wait(self._seen, min(seconds, _TICK_S))

    def _untaken(self, indices: array[int]) -> array[int]:
        return array("Q", [each for each in indices if not self.feed.is_taken(each)])

    def _reading(self, index: int) -> Reading:
        return Reading(self.feed.read(index), index + 1, self._watch.began)

    def _readings(self, indices: Sequence[int]) -> Iterator[Reading]:
        return map(self._reading, indices)

    def _shown(self, indices: Sequence[int]) -> list[Reading]:
        """Give messages that a person will see, with their secrets learnt."""
        readings = list(self._readings(indices))
        for reading in readings:
            reading.teach(self.redactor)
        return readings


def _count(number: int) -> str:
    return f"{number} message{'' if number == 1 else 's'}"


def _without_body(number: int) -> str:
    return f"of {_count(number)} the body was not kept: too many came"


def _seconds(document: dict[str, Any], name: str, default: float) -> float:
    return parse_duration(document[name]).total_seconds() if name in document else default
