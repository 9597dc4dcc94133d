"""``logs``: lines that containers of the system under test have written."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seatrial.api.fields import Model, Name, Rule, ShortText, Since, Text, Wait, one_of


class LogQuery(Model):
    """Lines of a service's logs since the scenario began, from all of its pods."""

    __rules__ = (
        one_of("service", "pod", required=True),
        one_of("contains", "matches", required=False),
        Rule(
            "absent needs contains or matches",
            "!self.absent || has(self.contains) || has(self.matches)",
            lambda self: not self.absent or self.contains is not None or self.matches is not None,
        ),
        Rule(
            "within needs contains or matches",
            "!has(self.within) || has(self.contains) || has(self.matches)",
            lambda self: not self.within or self.contains is not None or self.matches is not None,
        ),
    )

    service: Name | None = Field(None, description="Service whose pods are read.")
    pod: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None, description="Read this pod alone."
    )
    container: ShortText | None = Field(None, description="Only this container. Default: all.")
    contains: Text | None = Field(
        None, min_length=1, description="A line has this text in it; others are left out."
    )
    matches: Text | None = Field(
        None, min_length=1, description="A line matches this regular expression (Python's)."
    )
    absent: bool = Field(False, description="No such line may be there, until within is over.")
    within: Wait | None = Field(
        None, description="Wait for the line that long. Default: look once."
    )
    since: Since = Field(
        "start",
        description="start: lines since the scenario began; all: of the pods' whole life;"
        " 30s: of the last 30 seconds.",
    )
