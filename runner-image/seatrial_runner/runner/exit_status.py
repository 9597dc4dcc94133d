"""Exit statuses of the commands beside pytest's own (0 to 5)."""

from __future__ import annotations

CANCELLED = 75  # the turn never came; sysexits.h EX_TEMPFAIL
NOT_REPORTED = 76  # the tests ran, but the conductor did not get all results; EX_PROTOCOL
REFUSED = 77  # the conductor said no; EX_NOPERM
MISUSED = 64  # EX_USAGE
