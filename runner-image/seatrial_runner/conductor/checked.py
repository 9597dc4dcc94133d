"""
What checks have connected to, where the gateway cannot tell them from clients. Pure.

It knows a check by its port (``local_ports``). But libpq, PostgreSQL's client, chooses its own; and
for a port that ``refuse`` has closed the kernel answers, which counts everyone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from seatrial.api.control import FaultOrder
from seatrial.api.families import FROM_TESTS

_NOT_LIBPQ = ("mysql", "mariadb", "sqlite")


class Checked:
    """Counts connections of checks, rather too many than too few: what is left is of others."""

    def __init__(self) -> None:
        self._over: Counter[tuple[str, bool]] = Counter()
        self._open: dict[str, Counter[tuple[str, bool]]] = {}

    def begins(self, check: str, host: str, *, libpq: bool) -> None:
        """Note, before it happens, that a check connects to a host."""
        self._open.setdefault(check, Counter())[host.partition(".")[0], libpq] += 1

    def ends(self, check: str, *, held: bool) -> None:
        """Note that a check is over, with all it has connected to."""
        for (host, libpq), times in self._open.pop(check, Counter()).items():
            self._over[host, libpq] += times * (1 if held else _most(libpq=libpq))

    def from_now(self, order: FaultOrder) -> Callable[[], int]:
        """Give what tells how many connections of checks, at the most, were counted as hits."""
        paths = order.get("paths") or []
        everyone = [path["service"] for path in paths if path["sources"] is None]
        closed = order["kind"] == "refuse" and order.get("connections", 1.0) >= 1.0
        hosts = {path["service"] for path in paths if FROM_TESTS in (path["sources"] or ())}
        hosts.update(everyone)

        def counts(host: str, *, libpq: bool) -> bool:
            if closed and host in everyone:
                return True
            return libpq and host in hosts and order["kind"] != "http"

        def over() -> int:
            every = self._over.items()
            return sum(n for (host, libpq), n in every if counts(host, libpq=libpq))

        before = over()

        def until_now() -> int:
            being_made = sum(
                n * _most(libpq=libpq)
                for check in self._open.values()
                for (host, libpq), n in check.items()
                if counts(host, libpq=libpq)
            )
            return over() - before + being_made

        return until_now


def through_libpq(check: dict[str, dict[str, str]], connections: dict[str, str]) -> bool:
    """Tell whether a check asks a database through libpq, or may do so."""
    asked = check.get("sql")
    if not asked:
        return False
    url = asked.get("url") or connections.get(asked.get("service") or "", "")
    return not url.startswith(_NOT_LIBPQ)


def _most(*, libpq: bool) -> int:
    """Give the most connections that one asking makes: libpq takes another one to give up."""
    return 2 if libpq else 1
