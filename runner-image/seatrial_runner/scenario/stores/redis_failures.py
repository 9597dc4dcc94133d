"""What goes wrong with Redis, in words."""

from __future__ import annotations

from datetime import timedelta

from seatrial_runner.scenario.action import SeenError, StepFailure
from seatrial_runner.scenario.answered import answered_failure
from seatrial_runner.scenario.stores.redis_values import HOPELESS, seen_error
from seatrial_runner.scenario.values import show_duration


def failure(
    error: Exception, where: str, address: str, shown: str, elapsed: timedelta
) -> Exception:
    """
    Say in words what went wrong.

    Args:
        error: What was raised; given back as it is where it is none of the driver's.
        where: The service, in messages.
        address: Its URL without password.
        shown: What was asked, at length.
        elapsed: Until it was known.
    """
    from redis import exceptions

    from seatrial_runner.scenario.tls import TlsError, tls_problem

    text = " ".join(str(error).split())
    match error:
        case TimeoutError() if "session" in text:
            seen = SeenError("timeout", text)
        case exceptions.TimeoutError() | TimeoutError():
            took = show_duration(elapsed)
            seen = SeenError("timeout", f"no answer within {took}")
        case exceptions.AuthenticationError():
            seen = seen_error(error, {})
            if seen.name == "other":
                seen = SeenError("accessDenied", seen.message, seen.code)
        case TlsError():
            return StepFailure(f"{where}: {text}", shown, permanent=True)
        case exceptions.ConnectionError() | OSError():
            text = tls_problem(text, "the server", "redis") or text
            seen = SeenError("unavailable", f"{address}: {text}")
        case exceptions.ResponseError():
            seen = seen_error(error, {})
        case exceptions.InvalidResponse():
            seen = SeenError("invalidData", f"{address}: no Redis answers there: {text}")
        case ValueError():
            return StepFailure(f"{where}: {text}", shown, permanent=True)
        case _:
            return error
    return answered_failure(seen, f"{where}: {seen.message}", shown, elapsed, HOPELESS)
