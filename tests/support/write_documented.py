"""Writes what examples give into the pages: ``python -m tests.support.write_documented``."""

from __future__ import annotations

from tests.support.documented import ROOT, Page, output_of, results, write
from tests.support.documented_shop import Shop, world_of

PAGES = (ROOT / "docs/reference/scenario.md",)


def main() -> None:
    """Write the output of every example that has a block for it and needs no component."""
    for path in PAGES:
        # From the end: what is written changes no place before it.
        for example in reversed(Page(path).examples()):
            if example.output is not None and not example.needs:
                with Shop() as shop:
                    write(example, output_of(list(results(example, world_of(shop)))))


if __name__ == "__main__":
    main()
