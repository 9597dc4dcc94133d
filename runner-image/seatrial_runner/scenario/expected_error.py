"""``expectError``: a step must be answered with an error, such as a violated constraint."""

from __future__ import annotations

from typing import Any

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.explain import judge
from seatrial_runner.scenario.kinds import module_of
from seatrial_runner.scenario.transcript import unmet_text


def answered_with_error(step: dict[str, Any], kind: str, call: Call) -> Observation:
    """
    Do a step that must be answered with an error, and check that it is the one expected.

    Raises:
        StepFailure: It was carried out, it failed in a way that is no answer of the other side, or
            the answer is another.
    """
    try:
        done = module_of(kind).act(step[kind], call)
    except StepFailure as failure:
        if failure.error is None:
            raise
        return _as_expected(step["expectError"], failure, call)
    wanted = " and ".join(step["expectError"])
    raise StepFailure(f"no error, where one was expected: {wanted}", done.text)


def _as_expected(expected: list[str], failure: StepFailure, call: Call) -> Observation:
    assert failure.error is not None
    values = {**failure.values, **failure.error.values()}
    call.scope.observe(values, {})
    bindings = call.scope.bindings()
    unmet = [found for each in expected if (found := judge(each, bindings)) is not None]
    if not unmet:
        return Observation(values, failure.details)
    raise StepFailure(
        f"{unmet[0].message}; the error is: {failure.message}",
        "\n\n".join([*map(unmet_text, unmet), *([failure.details] if failure.details else [])]),
        permanent=any(each.permanent for each in unmet),
        out_of_time=failure.out_of_time,
    )
