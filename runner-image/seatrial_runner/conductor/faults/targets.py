"""Which pods a fault hits: by number, share and labels, by chance from a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from seatrial.api.errors import NotInjectedError

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.kinds import Aim, held_pod
from seatrial_runner.conductor.readiness import Object, pods_of


def how_many(asked: int | str | None, there: int, *, labelled: bool = False) -> int:
    """
    Give how many pods of ``there`` are asked for.

    Args:
        asked: A number, a percentage such as ``50%`` (rounded up, at least 1), or ``all``; None: 1.
        there: How many there are, 1 or more.
        labelled: They are those with ``target.podLabels``: more replicas would not do.

    Raises:
        NotInjectedError: More are asked for than there are, or it is none of these.
    """
    text = str(1 if asked is None else asked)
    if text == "all":
        return there
    if text.endswith("%") and text[:-1].isdigit():
        # Whole numbers: 1.1 * 100 would round up to 111.
        return min(max(-(-int(text[:-1]) * there // 100), 1), there)
    if not text.isdigit() or int(text) < 1:
        raise NotInjectedError(f"target.pods: {text!r} is not a number, a percentage or all")
    if int(text) > there:
        run = "run with target.podLabels" if labelled else "run"
        remedy = "lower target.pods" if labelled else "lower target.pods or raise replicas"
        raise NotInjectedError(f"{text} pods were asked for, {there} {run}; {remedy}")
    return int(text)


def choose(names: Sequence[str], count: int, seed: int | str) -> list[str]:
    """Choose ``count`` of the names by chance, the same for the same names and seed; sorted."""
    return sorted(random.Random(seed).sample(sorted(names), count))


def running_pods(aim: Aim) -> dict[str, Object]:
    """
    Give the running pods of the target, by name: those that have ``target.podLabels``.

    One that another fault is taking away at that moment is as good as gone.

    Raises:
        NotInjectedError: There is none.
    """
    service, labels = aim.service, (aim.fault["target"].get("podLabels") or {})
    there = {
        pods.name(pod): pod
        for pod in pods_of(service, aim.seen)
        if pods.phase(pod) == "Running"
        and not pods.is_going(pod)
        and held_pod(pods.uid(pod)) not in aim.held
    }
    if not there:
        raise NotInjectedError(f"service {service['name']} has no running pod at that moment")
    labelled = {name: pod for name, pod in there.items() if has_labels(pod, labels)}
    if not labelled:
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
        raise NotInjectedError(
            f"none of the {len(there)} running pods of service {service['name']} has the labels"
            f" {wanted} (target.podLabels) at that moment"
        )
    return labelled


def has_labels(pod: Object, labels: dict[str, str]) -> bool:
    """Tell whether a pod has all of the labels."""
    has = pod["metadata"].get("labels") or {}
    return all(has.get(key) == value for key, value in labels.items())


def chosen_pods(aim: Aim) -> list[Object]:
    """
    Choose as many of the target's running pods as ``target.pods`` says; ready ones first.

    Raises:
        NotInjectedError: There are none, or too few.
    """
    there = running_pods(aim)
    ready = [name for name, pod in there.items() if pods.is_ready(pod)]
    target = aim.fault["target"]
    count = how_many(target.get("pods"), len(there), labelled=bool(target.get("podLabels")))
    names = choose(ready if len(ready) >= count else list(there), count, aim.seed)
    return [there[name] for name in names]
