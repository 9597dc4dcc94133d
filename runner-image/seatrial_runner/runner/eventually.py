"""``eventually``: repeats a check until it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from pathlib import PurePath
from typing import Any

FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 1.0


def _nobody_asks(name: str, seconds: float) -> None:
    pass


def eventually(
    check: Callable[[], Any] | None = None,
    *,
    within: float = 10.0,
    every: float | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    record: Callable[[str, float], None] = _nobody_asks,
) -> Any:
    """
    Repeat a check until it holds, and give what it returned.

    It holds when it raises nothing and returns None or something true::

        eventually(lambda: http.get(url).status_code == 200, within=5)

        @eventually(within=5)
        def order_is_paid():
            assert http.get(url).json()["status"] == "paid"
        order_is_paid()

    Args:
        check: Called without arguments; without it, ``eventually`` is a decorator.
        within: Seconds until it must hold.
        every: Seconds between tries; by default 0.05, growing to 1.
        monotonic: Clock, in seconds.
        sleep: Waits that many seconds.
        record: Told the check's name, and after how many seconds it held: the system's delay.

    Raises:
        AssertionError: It did not hold in time; says how often it was tried and what the last try
            found.
    """
    __tracebackhide__ = True
    if check is None:

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            def repeated(*args: Any, **kwargs: Any) -> Any:
                __tracebackhide__ = True
                return _repeat(
                    lambda: function(*args, **kwargs),
                    within,
                    every,
                    monotonic,
                    sleep,
                    lambda seconds: record(name_of(function), seconds),
                )

            return repeated

        return decorate
    known = name_of(check)
    return _repeat(check, within, every, monotonic, sleep, lambda seconds: record(known, seconds))


def name_of(check: Callable[..., Any]) -> str:
    """Give a function's name, and of one that has none the line at which it stands."""
    name = str(getattr(check, "__name__", type(check).__name__))
    code = getattr(check, "__code__", None)
    if name != "<lambda>" or code is None:
        return name
    return f"{PurePath(code.co_filename).name} line {code.co_firstlineno}"


def _repeat(
    check: Callable[[], Any],
    within: float,
    every: float | None,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
    held: Callable[[float], None],
) -> Any:
    __tracebackhide__ = True
    began = monotonic()
    pause, tries = FIRST_PAUSE_S, 0
    while True:
        last: Exception | None = None
        tries += 1
        try:
            result = check()
            if result is None or result:
                held(monotonic() - began)
                return result
            found = f"it gave {result!r}"
        # Under a fault anything may go wrong for a while: connections, answers, their contents.
        except Exception as error:  # noqa: BLE001
            last, found = error, str(error) or type(error).__name__
            if not isinstance(error, AssertionError):
                found = f"{type(error).__name__}: {found}"
        took = monotonic() - began
        if took >= within:
            count = "1 try" if tries == 1 else f"{tries} tries"
            text = f"not within {within:g} s ({count} in {took:.1f} s): {found}"
            # A failed assertion shows what it compared; the inside of a broken connection does not.
            raise AssertionError(text) from last if isinstance(last, AssertionError) else None
        sleep(min(pause if every is None else every, within - took))
        pause = min(pause * 2, LAST_PAUSE_S)
