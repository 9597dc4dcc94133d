"""How one column is made: a function from the number of the row to its value."""

from __future__ import annotations

import bisect
import itertools
import math
import uuid
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from seatrial.api.data_specification import FIRST_DAY, LAST_DAY, PROVIDERS, FieldPlan, moment
from seatrial.api.lanes import Lane

from seatrial_runner.data.json_schema import Sampler
from seatrial_runner.data.patterns import text_maker
from seatrial_runner.data.unique import Making, unique_maker
from seatrial_runner.data.words import WORDS

Make = Callable[[int], Any]


def maker(plan: FieldPlan, rng: Random, lane: Lane, key: tuple[str, str]) -> Make:
    """
    Give the function for a field that is no reference.

    Args:
        plan: The field.
        rng: Its own source of randomness: another field that changes does not change this one.
        lane: What unique values are made of.
        key: Whose field it is, and its name.
    """
    make = _made(plan, rng)
    if plan.unique:
        making = Making(plan, make, rng, f"{key[0]}.fields.{plan.name}")
        make = unique_maker(making, lane if plan.unique == "run" else Lane(), key)
    return with_nulls(make, plan.nulls, rng)


def with_nulls(make: Make, share: float, rng: Random) -> Make:
    """Leave a share of the values out."""
    if not share:
        return make
    return lambda n: None if rng.random() < share else make(n)


def _made(plan: FieldPlan, rng: Random) -> Make:
    options = plan.options
    match plan.kind:
        case "constant":
            return lambda _: options
        case "sequence":
            start, step = options.get("start", 1), options.get("step", 1)
            return lambda n: start + n * step
        case "provider":
            return _provided(options, rng)
        case "oneOf":
            return chooser(options, plan.weights, plan.distribution, rng)
        case "pattern":
            text = text_maker(options)
            return lambda _: text(rng)
        case "schema":
            sampler = Sampler(options)
            return lambda _: sampler.sample(rng)
        case "boolean":
            share = options.get("probability", 0.5)
            return lambda _: rng.random() < share
        case "integer":
            number = _number(options, rng)
            return lambda _: round(max(min(number(), 2.0**63), -(2.0**63)))
        case "number":
            decimals, real = options.get("decimals", 2), _number(options, rng)
            return lambda _: round(real(), decimals)
        case "text":
            return _text(options, rng)
        case "date":
            days = _moment(options, rng)
            return lambda _: days().date()
        case _:
            moments = _moment(options, rng)
            return lambda _: moments()


def _provided(name: str, rng: Random) -> Make:
    if name == "uuid":
        return lambda _: str(uuid.UUID(int=rng.getrandbits(128), version=4))
    from mimesis import Generic, Locale

    generic: Any = Generic(locale=Locale.EN, seed=rng.getrandbits(63))
    provider, _, method = PROVIDERS[name].partition(".")
    function = getattr(getattr(generic, provider), method)
    return lambda _: function()


def chooser(values: list[Any], weights: list[float] | None, skew: str, rng: Random) -> Make:
    """Choose one of some values, by weight or so that the first come most often."""
    if skew == "zipf":
        weights = [1 / rank for rank in range(1, len(values) + 1)]
    if weights is None:
        return lambda _: values[int(rng.random() * len(values))]
    sums = list(itertools.accumulate(weights))
    total = sums[-1]
    return lambda _: values[bisect.bisect(sums, rng.random() * total, hi=len(sums) - 1)]


def _number(options: Any, rng: Random) -> Callable[[], float]:
    low, high = options.get("min"), options.get("max")
    kind = options.get("distribution", "uniform")
    if kind == "uniform":
        low = 0 if low is None else low
        high = low + 100 if high is None else high
        return lambda: rng.uniform(low, high)
    middle = (low + high) / 2 if low is not None and high is not None else 0.0
    mean = options.get("mean", middle)
    spread = (high - low) / 6 if low is not None and high is not None else 1.0
    deviation = options.get("deviation", spread)

    def bounded() -> float:
        if kind == "normal":
            value = rng.gauss(mean, deviation)
        else:
            value = (low or 0) + rng.expovariate(1 / mean) if mean else 0.0
        return min(
            max(value, -math.inf if low is None else low), math.inf if high is None else high
        )

    return bounded


def _text(options: Any, rng: Random) -> Make:
    least, most = options.get("min", 1), options.get("max", max(40, options.get("min", 1)))

    def text(_: int) -> str:
        size = rng.randint(least, most)
        made = ""
        while len(made) < size:
            made += f"{rng.choice(WORDS)} "
        return made[:size].rstrip().ljust(size, "x")

    return text


def _moment(options: Any, rng: Random) -> Callable[[], Any]:
    begin, end = moment(options.get("from", FIRST_DAY)), moment(options.get("to", LAST_DAY))
    seconds = int((end - begin).total_seconds())
    return lambda: begin + timedelta(seconds=int(rng.random() * (seconds + 1)))
