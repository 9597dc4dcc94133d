"""docs/performance-gateway.md: measurements write it, and each leaves the parts of the others."""

from __future__ import annotations

import re
from pathlib import Path

# With these headings, the parts of tests.bench.gateway_faults begin; each goes to the next.
SHORT_FAULTS = "## Short faults in a row\n"
SHORT_HTTP_FAULTS = "## Short faults of HTTP in a row\n"
_PARTS = (SHORT_FAULTS, SHORT_HTTP_FAULTS)


def write_comparison(page: Path, text: str) -> None:
    """Write the beginning of the page: the gateway without a fault, beside Toxiproxy."""
    _write(page, "", text)


def write_part(page: Path, text: str) -> None:
    """Write a part of the rest; ``text`` begins with its heading."""
    _write(page, next(each for each in _PARTS if text.startswith(each)), text)


def _write(page: Path, heading: str, text: str) -> None:
    parts = _parts(page.read_text() if page.exists() else "") | {heading: text}
    whole = (parts.get(each, "").strip() for each in ("", *_PARTS))
    page.write_text("\n\n".join(part for part in whole if part) + "\n")


def _parts(text: str) -> dict[str, str]:
    first, *rest = re.split(f"^({'|'.join(_PARTS)})", text, flags=re.MULTILINE)
    return {"": first} | {
        heading: heading + part for heading, part in zip(rest[::2], rest[1::2], strict=True)
    }


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
