"""What a kind of step works with, and what it gives back: the interface of ``kinds``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from seatrial_runner.scenario.interpolation import TemplateError, render, render_json
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.resources import Resources
from seatrial_runner.scenario.results import Outcome
from seatrial_runner.scenario.world import World

if TYPE_CHECKING:
    from seatrial_runner.scenario.exchange import Client
    from seatrial_runner.scenario.scope import Scope


@dataclass(frozen=True)
class SeenError:
    """
    What the other side answered instead of doing what it was asked: ``error`` in expressions.

    Attributes:
        name: What it is, in a word that is the same for all products: ``uniqueViolation``.
        message: Of the other side, on one line.
        code: Of the product: an SQLSTATE, the first word of a Redis error, a number as text.
        details: What else is known, by name; JSON.
    """

    name: str
    message: str
    code: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Give what expressions see."""
        return {
            "error.code": self.code,
            "error.name": self.name,
            "error.message": self.message,
            "error.details": dict(self.details),
        }


@dataclass
class StepFailure(Exception):  # noqa: N818 - not an error of ours: what a test is there to find
    """
    A step that did not do what it should.

    Attributes:
        message: One line.
        details: The texts that show it: request, response, expectation.
        outcome: ``failed``, or ``error`` if it could not be tried.
        permanent: Trying again cannot help.
        out_of_time: Nothing was seen: the time for it was over.
        error: What the other side answered, which a step may expect (``expectError``).
        values: What was observed all the same, such as ``elapsed``.
        answered: Something came back that cannot be used; else nothing did.
    """

    message: str
    details: str = ""
    outcome: Outcome = "failed"
    permanent: bool = False
    out_of_time: bool = False
    error: SeenError | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    answered: bool = False


@dataclass(frozen=True)
class Tools:
    """What steps work with; shared by all branches of a scenario."""

    world: World
    client: Client
    redactor: Redactor
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True)
class Observation:
    """
    What an action saw.

    Attributes:
        values: By name as in ``seatrial.api.observations``. They replace all that the variables
            they are fields of had before.
        text: Shown with a failed expectation: what was sent, and what came back.
        notes: Why a value is null, by its name.
        brief: What came back, on a line.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    brief: str = ""


@dataclass(frozen=True)
class Call:
    """
    One try of one step.

    Attributes:
        scope: Names that the step can see. An action reads it, the engine writes to it.
        tools: What the whole scenario shares.
        seconds: Gives the time that is left for this try.
        expect: The step's expectations, for a kind that chooses among what it sees.
    """

    scope: Scope
    tools: Tools
    seconds: Callable[[], float]
    expect: Sequence[str] = ()

    def text(self, template: str) -> str:
        """Fill in a text; raises a permanent StepFailure where that is not possible."""
        try:
            return render(template, self.scope.template_variables())
        except TemplateError as error:
            raise StepFailure(str(error), permanent=True) from error

    def json(self, value: Any) -> Any:
        """Fill in every text of a JSON value; a lone ``{{ ... }}`` keeps its type."""
        try:
            return render_json(value, self.scope.template_variables())
        except TemplateError as error:
            raise StepFailure(str(error), permanent=True) from error


class Kind(Protocol):
    """
    A module of ``kinds``.

    It may also have ``before_first_step(documents, call)``, called once before a scenario begins
    with every step of its kind, wherever they stand: for what must be open before anything
    happens, such as a subscription.
    """

    def title(self, document: dict[str, Any]) -> str:
        """Name the step from its document; nothing is filled in, and nothing heavy imported."""

    def act(self, document: dict[str, Any], call: Call) -> Observation:
        """
        Do it once.

        Raises:
            StepFailure: It could not be done; the message says why and what to do.
        """
