"""
Put the files of an example into the ConfigMaps at the head of its run.yaml.

``python3 examples/bundle.py`` writes them anew, ``--check`` only says which are out of date. The
ConfigMaps come first, because kubectl applies a file from top to bottom and a run looks for its
ConfigMaps as soon as it is there. The run itself is written by hand and left as it is.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

EXAMPLES = Path(__file__).parent
RUN = "apiVersion: seatrial.dev/"
# run.yaml -> ConfigMap -> the files it holds.
BUNDLES = {
    "shop/run.yaml": {"shop-inventory": "shop/inventory.yaml", "shop-suite": "shop/tests/*.py"},
    "shop-broken/run.yaml": {"shop-inventory": "shop/inventory.yaml"},
}


def bundled(run: str) -> str:
    """Give the text that this run.yaml should have."""
    text = (EXAMPLES / run).read_text()
    maps = [config_map(name, pattern) for name, pattern in BUNDLES[run].items()]
    return "---\n".join([*maps, text[text.index(RUN) :]])


def config_map(name: str, pattern: str) -> str:
    """Give a ConfigMap that holds the files, by their names, and that runs may read."""
    header = f"""\
        # Made from examples/{pattern} by examples/bundle.py; the run is at the end of this file.
        apiVersion: v1
        kind: ConfigMap
        metadata:
          name: {name}
          labels: {{seatrial.dev/readable-by: runs}}
        data:
        """
    files = sorted(EXAMPLES.glob(pattern))
    blocks = [f"  {file.name}: |\n{textwrap.indent(file.read_text(), '    ')}" for file in files]
    return textwrap.dedent(header) + "".join(blocks)


def main() -> None:
    stale = [run for run in BUNDLES if bundled(run) != (EXAMPLES / run).read_text()]
    for run in stale:
        if "--check" in sys.argv:
            print(f"examples/{run} is out of date: run python3 examples/bundle.py")
        else:
            (EXAMPLES / run).write_text(bundled(run))
            print(f"examples/{run} written")
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
