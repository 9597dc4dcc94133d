"""docs/crash-points.md: what came of the runs, beside what is known from earlier ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.md")
_ROW = re.compile(r"^\| the (\w+), at its writes (\d+) to (\d+) \|.*\|$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    who: str
    point: int
    died_at: str  # the write; empty if the run has none of that number
    problem: str
    took_s: float


def page(old: str, outcomes: Sequence[Outcome], left: Sequence[str], *, on: str, at: str) -> str:
    """
    Write the page.

    Args:
        old: The page as it is. Rows of it stay unless they are of writes that were looked at again:
            ``--who`` and ``--first`` make a part of it anew.
        outcomes: Of the runs of this time.
        left: Objects that were in the cluster after all of them, and not before.
        on: The date.
        at: The commit.
    """
    rows = {(each[1], int(each[2]), int(each[3])): each[0] for each in _ROW.finditer(old)}
    for who in dict.fromkeys(each.who for each in outcomes):
        died = [each for each in outcomes if each.who == who and each.died_at]
        if not died:
            continue
        first, last = min(each.point for each in died), max(each.point for each in died)
        rows = {
            key: row
            for key, row in rows.items()
            if key[0] != who or not first <= key[1] <= key[2] <= last
        }
        well = sum(not each.problem for each in died)
        rows[who, first, last] = (
            f"| the {who}, at its writes {first} to {last} | {on} | {at} | {len(died)} | {well}"
            f" | {f'left: {len(left)}' if left else 'nothing'} |"
        )
    ordered = sorted(rows, key=lambda key: (key[0] != "operator", *key[1:]))
    return TEMPLATE.read_text().format(
        rows="\n".join(rows[key] for key in ordered), problems=_problems(outcomes, left)
    )


def _problems(outcomes: Sequence[Outcome], left: Sequence[str]) -> str:
    lines = [
        f"- the {each.who} at {each.point}, {each.died_at or 'no such write'}: {each.problem}"
        for each in outcomes
        if each.problem
    ]
    lines += [f"- left over after all of them: {each}" for each in left]
    return "\n## What was not well\n\n" + "\n".join(lines) + "\n" if lines else ""
