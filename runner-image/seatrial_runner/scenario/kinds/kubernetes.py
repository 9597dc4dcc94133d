"""``kubernetes``: looks at objects of the run's namespace, waits for them, changes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration
from seatrial.api.names import GROUP, LABEL_SERVICE
from seatrial.api.step_objects import BY_KIND, ObjectKind, ObjectReferenceError, parse_reference

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.redaction import cut

if TYPE_CHECKING:
    from seatrial_runner.scenario.world import Cluster

Json = dict[str, Any]

VERBS = ("get", "wait", "scale", "restart", "setImage", "patch", "delete", "apply")
DEFAULT_WITHIN_S = 60.0
_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 0.5
_MAX_SHOWN = 6000


def title(document: Json) -> str:
    """Say what is done with what."""
    verb = _verb(document)
    if verb == "apply":
        body = document["apply"] if isinstance(document["apply"], dict) else {}
        name = (body.get("metadata") or {}).get("name", "")
        return f"apply {str(body.get('kind', '')).lower()}/{name}"
    more = {"scale": f" to {document.get('replicas')}", "setImage": f" to {document.get('image')}"}
    return f"{verb} {document[verb]}{more.get(verb, '')}"


def act(document: Json, call: Call) -> Observation:
    """Do it, and wait for what comes of it if the step says so."""
    from seatrial_runner.scenario.cluster.asking import the_cluster

    verb = _verb(document)
    with the_cluster(call) as cluster:
        if verb == "apply":
            return _Change(document, call, cluster, *_applied(document, call)).apply()
        kind, name = _reference(call.text(document[verb]), verb)
        if verb in ("get", "wait"):
            look = _Look(document, call, cluster, kind, name)
            return look.get() if verb == "get" else look.wait()
        change = _Change(document, call, cluster, kind, name)
        return change.delete() if verb == "delete" else change.carry_out(verb)


def _verb(document: Json) -> str:
    return next(verb for verb in VERBS if document.get(verb) is not None)


def _reference(text: str, verb: str) -> tuple[ObjectKind, str]:
    try:
        kind, name = parse_reference(text, verb)
    except ObjectReferenceError as error:
        raise StepFailure(str(error), permanent=True) from error
    if not name and verb not in ("get", "wait"):
        raise StepFailure(f"{verb} needs a name: write {kind.word}/NAME", permanent=True)
    return kind, name


def _applied(document: Json, call: Call) -> tuple[ObjectKind, str]:
    body = call.json(document["apply"])
    kind = BY_KIND.get(str(body.get("kind"))) if isinstance(body, dict) else None
    name = (body.get("metadata") or {}).get("name") if isinstance(body, dict) else None
    if kind is None or not isinstance(name, str):
        raise StepFailure("apply: give an object with kind and metadata.name", permanent=True)
    return kind, name


class _Look:
    """``get`` and ``wait``: at one object by name, or at all of a kind."""

    def __init__(
        self, document: Json, call: Call, cluster: Cluster, kind: ObjectKind, name: str
    ) -> None:
        self._document = document
        self._call = call
        self._cluster = cluster
        self._kind = kind
        self._name = name
        labels = {key: call.text(text) for key, text in (document.get("labels") or {}).items()}
        if service := document.get("service"):
            labels[LABEL_SERVICE] = service
        self._labels = labels

    def get(self) -> Observation:
        """Look once."""
        found = self._found(self._call.seconds())
        if self._name and not found:
            raise StepFailure(f"there is no {self._kind.word} {self._name!r}")
        return self._seen(found)

    def wait(self) -> Observation:
        """Look until it is as it should be."""
        problem = self._until()
        within = self._document.get("within")
        most = parse_duration(within).total_seconds() if within else DEFAULT_WITHIN_S
        found = wait_for(self._call, most, self._found, problem)
        return self._seen(found)

    def _found(self, seconds: float) -> list[Json]:
        if not self._name:
            return self._cluster.find(self._kind, self._labels, seconds=seconds)
        item = self._cluster.get(self._kind, self._name, seconds=seconds)
        return [] if item is None else [item]

    def _until(self) -> Callable[[list[Json]], str]:
        """Give what says what is still missing; empty if nothing."""
        what = f"{self._kind.word} {self._name}" if self._name else self._kind.plural
        if self._document.get("gone"):
            return lambda found: f"{_named(found)} still there" if found else ""
        problem = self._problem()

        def missing(found: list[Json]) -> str:
            if not found:
                return f"there is no {what}" if self._name else f"there are no {what}"
            for item in found:
                if text := problem(item):
                    return f"{self._kind.word} {item['metadata']['name']}: {text}"
            return ""

        return missing

    def _problem(self) -> Callable[[Json], str]:
        from seatrial_runner.scenario.cluster.rollout import condition_holds, unfinished

        if condition := self._document.get("condition"):
            return lambda item: "" if condition_holds(item, condition) else f"not {condition}"
        if until := self._document.get("until"):
            return lambda item: _unmet(until, item, self._call)
        return unfinished

    def _seen(self, found: list[Json]) -> Observation:
        what = self._document.get("get") or self._document.get("wait")
        if self._name:
            item = found[0] if found else None
            return Observation({"object": item, "objects": found}, shown(f"{what}", item))
        notes = {"object": f"{len(found)} {self._kind.plural} were looked at: use objects"}
        names = "\n".join(str(item["metadata"]["name"]) for item in found) or "none"
        return Observation({"object": None, "objects": found}, f"{what}:\n{names}", notes)


class _Change:
    """Everything that changes an object."""

    def __init__(
        self, document: Json, call: Call, cluster: Cluster, kind: ObjectKind, name: str
    ) -> None:
        self._document = document
        self._call = call
        self._cluster = cluster
        self._kind = kind
        self._name = name

    def carry_out(self, verb: str) -> Observation:
        """Change it, and wait until it is rolled out if the step says how long."""
        seconds = self._call.seconds()
        if verb == "scale":
            replicas = self._document["replicas"]
            item = self._cluster.scale(self._kind, self._name, replicas, seconds=seconds)
        else:
            patch = self._patch(verb)
            item = self._cluster.patch(self._kind, self._name, patch, seconds=seconds)
        return self._done(item)

    def apply(self) -> Observation:
        """Make an object, or bring it to a state."""
        body = self._call.json(self._document["apply"])
        service = self._document.get("service") or ""
        return self._done(self._cluster.apply(body, service, seconds=self._call.seconds()))

    def delete(self) -> Observation:
        """Delete it, and wait until it is gone if the step says how long."""
        self._cluster.delete(self._kind, self._name, seconds=self._call.seconds())
        if within := self._document.get("within"):
            self._wait(within, lambda found: f"{_named(found)} still there" if found else "")
        return Observation({"object": None, "objects": []}, f"deleted {self._name}")

    def _patch(self, verb: str) -> Json:
        if verb == "patch":
            patch = self._call.json(self._document["with"])
            if not isinstance(patch, dict):
                raise StepFailure("patch: with must be an object", permanent=True)
            return patch
        if verb == "restart":
            at = rfc3339(self._call.tools.world.now())
            # As kubectl rollout restart does; the name of the annotation is of no consequence.
            annotations = {"kubectl.kubernetes.io/restartedAt": at}
            return {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        container = {"name": self._container(), "image": self._call.text(self._document["image"])}
        return {"spec": {"template": {"spec": {"containers": [container]}}}}

    def _container(self) -> str:
        item = self._cluster.get(self._kind, self._name, seconds=self._call.seconds())
        if item is None:
            raise StepFailure(f"there is no {self._kind.word} {self._name!r}")
        known = [str(each["name"]) for each in item["spec"]["template"]["spec"]["containers"]]
        wanted = self._document.get("container") or known[0]
        if wanted not in known:
            text = f"{self._name} has no container {wanted!r}: it has {', '.join(known)}"
            raise StepFailure(text, permanent=True)
        return str(wanted)

    def _done(self, item: Json) -> Observation:
        if within := self._document.get("within"):
            from seatrial_runner.scenario.cluster.rollout import unfinished

            [item] = self._wait(
                within, lambda found: unfinished(found[0]) if found else "it is gone"
            )
        text = shown(title(self._document), item)
        return Observation({"object": item, "objects": [item]}, text)

    def _wait(self, within: str, problem: Callable[[list[Json]], str]) -> list[Json]:
        def found(seconds: float) -> list[Json]:
            item = self._cluster.get(self._kind, self._name, seconds=seconds)
            return [] if item is None else [item]

        most = parse_duration(within).total_seconds()
        return wait_for(self._call, most, found, problem)


def wait_for(
    call: Call,
    most_s: float,
    look: Callable[[float], list[Json]],
    problem: Callable[[list[Json]], str],
) -> list[Json]:
    """
    Look until nothing is missing.

    Raises:
        StepFailure: Time is out; it says what was still missing.
    """
    world = call.tools.world
    began = world.monotonic()
    end = began + min(most_s, call.seconds())
    pause = _FIRST_PAUSE_S
    while True:
        found = look(max(1.0, end - world.monotonic()))
        missing = problem(found)
        if not missing:
            return found
        left = end - world.monotonic()
        if left <= 0:
            details = shown("seen last", found[0]) if found else ""
            took = world.monotonic() - began
            raise StepFailure(f"not within {took:.1f} s: {missing}", details)
        world.sleep(min(pause, left))
        pause = min(2 * pause, _LAST_PAUSE_S)


def shown(what: str, item: Json | None) -> str:
    """Show an object as far as a reader has use for it."""
    if item is None:
        return f"{what}: there is none"
    metadata = item.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if not k.startswith(GROUP)}
    slim = {"name": metadata.get("name"), **({"labels": labels} if labels else {})}
    rest = {key: item[key] for key in ("spec", "status", "data") if key in item}
    text = json.dumps({"metadata": slim, **rest}, indent=1, ensure_ascii=False)
    return f"{what}:\n{cut(text, _MAX_SHOWN)}"


def _unmet(until: str, item: Json, call: Call) -> str:
    from seatrial_runner.scenario.expressions import ExpressionError, evaluate
    from seatrial_runner.scenario.values import clean

    try:
        value = evaluate(until, {**call.scope.bindings(), "object": clean(item)})
    except ExpressionError as error:
        if error.permanent:
            raise StepFailure(f"until: {until}: {error}", permanent=True) from error
        return f"{until}: {error}"
    if not isinstance(value, bool):
        raise StepFailure(f"until: {until} is not true or false", permanent=True)
    return "" if value else f"{until} is false"


def _named(found: list[Json]) -> str:
    names = [str(item["metadata"]["name"]) for item in found]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"
