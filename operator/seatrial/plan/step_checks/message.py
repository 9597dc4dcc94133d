"""``message``: services that are not there, places a broker does not have, CEL that is none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from seatrial.api.errors import SpecError
from seatrial.api.spec import RunSpec
from seatrial.api.steps.message import ADDRESSES, TLS_SCHEMES, Message
from seatrial.plan.expressions import expression_problem
from seatrial.plan.step_checks.common import service_problems, template_problems, too_long

_PLACES = ("topic", "queue", "exchange", "subject", "stream")
_NOT_FILLED_IN = ("where", "unique", "ordered")


def problems(
    step: Message, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps it from working."""
    side = "to" if step.to is not None else "from"
    broker = step.to or step.from_ or ""
    if "://" in broker:
        yield from _url(broker, step, f"{field}.{side}")
    else:
        yield from service_problems(broker, f"{field}.{side}", spec)
    yield from too_long(step.within, f"{field}.within", longest)
    expressions = {"where": step.where, "unique": step.unique}
    if step.ordered is not None:
        expressions |= {"ordered.by": step.ordered.by, "ordered.within": step.ordered.within}
    for name, expression in expressions.items():
        if expression is not None and (problem := expression_problem(expression)):
            text = f"{expression[:80]!r} cannot be evaluated: {problem}."
            yield SpecError(f"{field}.{name}", text)
    for name, value in step.model_dump(mode="json", by_alias=True).items():
        if name not in _NOT_FILLED_IN:
            yield from template_problems(value, f"{field}.{name}")


def _url(url: str, step: Message, field: str) -> Iterator[SpecError]:
    scheme, _, rest = url.partition("://")
    scheme = scheme.partition("+")[0]
    if "{{" in scheme:
        return
    scheme = TLS_SCHEMES.get(scheme, scheme)
    if scheme not in ADDRESSES or not urlsplit(f"x://{rest}").netloc:
        problem = f"{url.partition('@')[2] or url!r} is no address of a broker."
        remedy = f"Write SCHEME://USER:PASSWORD@HOST:PORT with {', '.join(ADDRESSES)}."
        yield SpecError(field, problem, remedy)
        return
    known = ADDRESSES[scheme]
    for name in _PLACES:
        if getattr(step, name) is not None and name not in known:
            problem = f"a broker of {scheme} has no {name}."
            yield SpecError(field, problem, f"It has: {', '.join(known)}.")
