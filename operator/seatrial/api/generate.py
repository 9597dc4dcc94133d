"""
Writes the CRD and the reference pages from the models: ``python -m seatrial.api.generate``.

With ``--check`` it only says whether the files are as they would be written; for CI.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from seatrial.api import names
from seatrial.api.reference import outcomes_page, resource_page
from seatrial.api.schema import custom_resource_definition

_HEADER = "# Generated from operator/seatrial/api by `make generate`; change the models instead.\n"


def generated_files() -> dict[str, str]:
    """Give the content of every generated file, by its path in the repository."""
    definition = yaml.dump(
        custom_resource_definition(), Dumper=yaml.CSafeDumper, sort_keys=False, width=100
    )
    return {
        f"crds/{names.GROUP}_{names.PLURAL}.yaml": _HEADER + definition,
        # Helm cannot look outside of its chart.
        f"helm/seatrial/files/{names.PLURAL}.yaml": _HEADER + definition,
        "docs/reference/integrationtestrun.md": resource_page(),
        "docs/reference/verdicts.md": outcomes_page(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them; 1 if one is out of date."""
    parser = argparse.ArgumentParser(prog="python -m seatrial.api.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="root of the repository")
    options = parser.parse_args(arguments)
    stale = []
    for name, content in generated_files().items():
        path: Path = options.root / name
        if path.is_file() and path.read_text() == content:
            continue
        stale.append(name)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    if stale and options.check:
        sys.stderr.write(f"out of date, run `make generate`: {', '.join(stale)}\n")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
