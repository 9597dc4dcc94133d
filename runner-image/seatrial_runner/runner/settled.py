"""How long checks took to hold is a result: a property of the test, as of a scenario's step."""

from __future__ import annotations

from seatrial_runner.scenario.results import MAX_PROPERTY, MAX_SETTLED


def note_settled(properties: list[tuple[str, object]], name: str, seconds: float) -> None:
    """Add how long a check took; one of the same name has its number, and too many are left out."""
    taken = {key for key, _ in properties if key.startswith("settled: ")}
    if len(taken) >= MAX_SETTLED:
        return
    whole = f"settled: {name}"
    key, number = whole[:MAX_PROPERTY], 1
    while key in taken:
        number += 1
        ending = f" ({number})"
        key = whole[: MAX_PROPERTY - len(ending)] + ending
    properties.append((key, f"{seconds:.3f}s"))
