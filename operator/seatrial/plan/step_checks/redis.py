"""``redis``: services that are not there, commands that cannot be split or make no sense here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from seatrial.api.command_words import words
from seatrial.api.errors import SpecError
from seatrial.api.spec import RunSpec
from seatrial.api.steps.redis import Command, RedisStep
from seatrial.plan.step_checks.common import service_problems, template_problems, too_long


def problems(
    step: RedisStep, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps it from working."""
    yield from service_problems(step.service, f"{field}.service", spec)
    yield from too_long(step.timeout, f"{field}.timeout", longest)
    yield from template_problems(step.url, f"{field}.url")
    if step.command is not None:
        yield from _command(step.command, f"{field}.command")
    for index, command in enumerate(step.pipeline or ()):
        yield from _command(command, f"{field}.pipeline[{index}]")


def _command(command: Command, field: str) -> Iterator[SpecError]:
    yield from template_problems(command, field)
    if isinstance(command, str):
        try:
            if not words(command):
                yield SpecError(field, "is empty.", "Write a command, such as GET key.")
        except ValueError as error:
            problem = f"cannot be split into words: {str(error).lower()}."
            yield SpecError(field, problem, "Close the quote, or write a list of words.")
