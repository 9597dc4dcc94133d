"""
``python -m tests.bench.gateway_faults``: 10,000 faults of 5 to 50 ms in a row with live traffic.

Prints how late each began and ended, and is 1 if one was lost, or if the 99th percentile of either
is over 5 ms.
"""

from __future__ import annotations

import argparse
import sys

from tests.support.fault_storm import at, storm
from tests.support.gateway_process import carried

MOST_S = 0.005


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    with carried() as gateway:
        seen = storm(gateway, options.count)
        left = [
            report["name"]
            for report in gateway.client.get("/v1/faults").json()["faults"]
            if report["state"] != "ended"
        ]
    print(seen.table())
    print(f"left on: {left or 'none'}")
    late = max(at(sorted(seen.begun_late_s), 0.99), at(sorted(seen.ended_late_s), 0.99))
    return 1 if seen.lost or left or late > MOST_S else 0


if __name__ == "__main__":
    sys.exit(main())
