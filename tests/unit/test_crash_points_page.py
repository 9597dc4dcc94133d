"""docs/crash-points.md is as `make crash-points` writes it, and stays whole when it does."""

from __future__ import annotations

from pathlib import Path

from tests.crash_points.page import Outcome, page

PAGE = Path(__file__).parents[2] / "docs/crash-points.md"


def outcomes(who: str, first: int, last: int, problem: str = "") -> list[Outcome]:
    """Each killed, and one more that had no such write."""
    points = range(first, last + 1)
    killed = [Outcome(who, point, "PATCH pods x", problem, 1.0) for point in points]
    return [*killed, Outcome(who, last + 1, "", "", 1.0)]


def written(old: str, *found: Outcome, left: tuple[str, ...] = ()) -> str:
    return page(old, found, left, on="2026-12-01", at="abc1234")


def test_the_page_is_in_the_format_of_the_program_that_writes_it() -> None:
    assert written(PAGE.read_text()) == PAGE.read_text()


def test_what_was_looked_at_again_takes_the_place_of_what_was_known() -> None:
    text = written(PAGE.read_text(), *outcomes("operator", 1, 60))
    rows = [line for line in text.splitlines() if line.startswith("| the ")]
    operator = "| the operator, at its writes 1 to 60 | 2026-12-01 | abc1234 | 60 | 60 | nothing |"
    assert rows[0] == operator
    of_the_conductor = [row for row in rows if row.startswith("| the conductor")]
    assert rows[1:] == of_the_conductor != []
    assert "## What it has found" in text
    assert "## What was not well" not in text


def test_a_part_that_was_looked_at_again_leaves_the_rest() -> None:
    first = written("", *outcomes("conductor", 1, 30))
    text = written(first, *outcomes("conductor", 28, 33))
    rows = [line.partition(" | ")[0] for line in text.splitlines() if line.startswith("| the ")]
    assert rows == [
        "| the conductor, at its writes 1 to 30",
        "| the conductor, at its writes 28 to 33",
    ]


def test_what_was_not_well_is_told() -> None:
    found = outcomes("conductor", 3, 3, "verdict Error")
    text = written("", *found, left=("v1/configmaps/shop/forgotten",))
    assert (
        "| the conductor, at its writes 3 to 3 | 2026-12-01 | abc1234 | 1 | 0 | left: 1 |" in text
    )
    assert "- the conductor at 3, PATCH pods x: verdict Error" in text
    assert "- left over after all of them: v1/configmaps/shop/forgotten" in text
