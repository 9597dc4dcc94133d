"""How many pods a fault of another chaos tool hits at most, as its own object says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seatrial.api.names import LABEL_SERVICE
from seatrial.plan.parts import Part

_SELECT = f"select the pods of one service by the label {LABEL_SERVICE}"
_CHOOSE = f"Write mode one; or {_SELECT}, and write how many as mode and value"
_PERCENT = "PODS_AFFECTED_PERC"
_BY_NAME = "TARGET_PODS"
_LITMUS = (
    f"Give its env {_PERCENT} a whole number (0 is one pod), leave {_BY_NAME} out, and {_SELECT}"
    " in spec.appinfo.applabel"
)


@dataclass(frozen=True)
class Reach:
    """What one part of an object hits."""

    field: str  # of the manifest, where that is said
    pods: int | None = None  # at most; None: not known
    share: float | None = None  # percent of a service's pods, at most; None: not to be told
    remedy: str = ""  # if it is not to be told: what to write


def reaches(
    manifest: Mapping[str, Any], parts: Mapping[str, Part], field: str
) -> Iterator[Reach | None]:
    """
    Tell what an object hits; None for pods of manifests that nobody has read yet.

    Args:
        manifest: As the user wrote it, of any shape.
        parts: The system under test, by service.
        field: Of the manifest.
    """
    spec = _map(manifest.get("spec"))
    if str(manifest.get("apiVersion")).startswith("litmuschaos.io/"):
        yield from _litmus(spec, parts, f"{field}.spec")
        return
    yield _chosen(spec, parts, f"{field}.spec")
    target = spec.get("target")  # a text in HTTPChaos
    one_way = spec.get("direction", "to") == "to" and spec.get("action") != "partition"
    if isinstance(target, dict) and not one_way:
        yield _chosen(target, parts, f"{field}.spec.target")


# Chaos Mesh --------------------------------------------------------------------------------------


def _chosen(choice: Mapping[str, Any], parts: Mapping[str, Part], field: str) -> Reach | None:
    """
    Read mode and value, which choose among what the selector selects.

    NB: all that a selector has is to hold of a pod, so it may select fewer pods than its service
    has, never others. What two services have is no share of either.

    Source: Chaos Mesh, pkg/selector/generic/mode.go.
    """
    mode, number = choice.get("mode"), _number(choice.get("value"))
    if mode == "one" or (mode == "fixed" and number == 1):
        return Reach(f"{field}.mode", pods=1, share=100.0)
    labels = _map(_map(choice.get("selector")).get("labelSelectors"))
    part = parts.get(str(labels.get(LABEL_SERVICE)))
    if part is not None and not part.known:
        return None
    if part is not None and mode == "all":
        return Reach(f"{field}.mode", part.replicas, 100.0)
    if part is not None and mode == "fixed" and number is not None and part.replicas:
        return Reach(f"{field}.value", number, 100 * number / part.replicas)
    if part is not None and mode in ("fixed-percent", "random-max-percent") and number is not None:
        return _percent(f"{field}.value", number, part)
    return Reach(f"{field}.mode", remedy=_CHOOSE)


# Litmus ------------------------------------------------------------------------------------------


def _litmus(
    spec: Mapping[str, Any], parts: Mapping[str, Part], field: str
) -> Iterator[Reach | None]:
    """
    Read what each experiment of an engine is told; its own default is not to be seen from here.

    Source: Litmus, "Common tunables", and litmus-go, pkg/utils/common/pods.go.
    """
    appinfo = _map(spec.get("appinfo"))
    labels = dict(each.partition("=")[::2] for each in str(appinfo.get("applabel")).split(","))
    part = parts.get(labels.get(LABEL_SERVICE, ""))
    if part is not None and not part.known:
        yield None
        return
    for index, experiment in enumerate(_list(spec.get("experiments"))):
        env = _list(_map(_map(_map(experiment).get("spec")).get("components")).get("env"))
        given = {each.get("name"): each.get("value") for each in env if isinstance(each, dict)}
        number, where = _number(given.get(_PERCENT)), f"{field}.experiments[{index}]"
        if part is None or number is None or given.keys() & {_BY_NAME} or "selectors" in spec:
            yield Reach(where, remedy=_LITMUS)
        else:
            yield _percent(where, number, part)


def _percent(field: str, number: int, part: Part) -> Reach:
    pods = None if part.replicas is None else -(-number * part.replicas // 100)
    return Reach(field, pods, float(number))


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else None


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
