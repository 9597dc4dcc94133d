"""How a probe of the conductor makes itself known; see ``PROBE_LINE`` in the control interface."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from seatrial.api.control import PROBE_HTTP_LINE, PROBE_LINE

_WORDS = {
    PROBE_LINE.split(" ", 1)[0].encode(): False,
    PROBE_HTTP_LINE.split(" ", 1)[0].encode(): True,
}
_LINE = re.compile(rb"([A-Z-]+) ([!-~]{1,256}) ([-a-z0-9]{1,63})\n")


class Greeting(Enum):
    """What the first bytes of a connection are, if they are no probe's line."""

    INCOMPLETE = "incomplete"  # may become one
    NONE = "none"


@dataclass(frozen=True)
class ProbeLine:
    """A probe's line; its token has yet to be checked."""

    token: str
    source: str
    to_envoy: bool
    length: int


def read_greeting(seen: bytes) -> Greeting | ProbeLine:
    """Tell what the first bytes of a connection are; none at all, at its end, are no probe's."""
    if not seen:
        return Greeting.NONE
    if found := _LINE.match(seen):
        if found[1] not in _WORDS:
            return Greeting.NONE
        return ProbeLine(
            token=found[2].decode("ascii"),
            source=found[3].decode("ascii"),
            to_envoy=_WORDS[found[1]],
            length=found.end(),
        )
    begins = any(seen.startswith(word[: len(seen)]) for word in _WORDS)
    return (
        Greeting.INCOMPLETE if begins and b"\n" not in seen and len(seen) < 512 else Greeting.NONE
    )
