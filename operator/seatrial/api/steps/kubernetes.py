"""``kubernetes``: looks at an object of the run's namespace, waits for it, or changes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    CEL,
    HeaderName,
    Image,
    LabelValue,
    Model,
    Name,
    Reference,
    RelaxedObject,
    Rule,
    ShortText,
    Wait,
    one_of,
)

KUBERNETES_VERBS = ("get", "wait", "scale", "restart", "setImage", "patch", "apply", "delete")


def _goes_with(field: str, verb: str) -> Rule:
    return Rule(
        f"{field} goes with {verb}, and {verb} needs {field}",
        f"has(self.{field}) == has(self.{verb})",
        lambda self: self.given(field) == self.given(verb),
    )


class KubernetesStep(Model):
    """One request about objects of the run's namespace. Texts may hold templates."""

    __rules__ = (
        # CEL does not see apply, which may hold any JSON.
        one_of(*(verb for verb in KUBERNETES_VERBS if verb != "apply"), required=False),
        Rule(
            f"give exactly one of: {', '.join(KUBERNETES_VERBS)}",
            check=lambda self: sum(map(self.given, KUBERNETES_VERBS)) == 1,
        ),
        _goes_with("replicas", "scale"),
        _goes_with("image", "setImage"),
        Rule(
            "with goes with patch, and patch needs with",
            check=lambda self: self.given("with") == self.given("patch"),
        ),
        one_of("condition", "until", "gone", required=False),
        Rule(
            "condition, until and gone go with wait",
            "has(self.wait) || !(has(self.condition) || has(self.until) || has(self.gone))",
            lambda self: (
                self.wait
                or not (self.given("condition") or self.given("until") or self.given("gone"))
            ),
        ),
        Rule(
            "service and labels go with get and wait; service also with apply",
            check=lambda self: bool(
                self.get or self.wait or not (self.service or self.labels)
                or (self.given("apply") and not self.labels)
            ),
        ),
    )  # fmt: skip

    get: Reference | None = Field(
        None, description="KIND/NAME: look at an object; KIND: at all of a kind."
    )
    wait: Reference | None = Field(
        None,
        description="KIND/NAME or KIND: wait until it is rolled out, ready or complete; or for what"
        " condition, until or gone says.",
    )
    scale: Reference | None = Field(None, description="KIND/NAME: change its replicas.")
    restart: Reference | None = Field(None, description="KIND/NAME: replace its pods, rolling.")
    set_image: Reference | None = Field(
        None, description="KIND/NAME: change the image of a container, which rolls its pods."
    )
    patch: Reference | None = Field(
        None, description="KIND/NAME: change what `with` says, as kubectl patch does."
    )
    delete: Reference | None = Field(None, description="KIND/NAME: delete it.")
    apply: Annotated[JsonValue, RelaxedObject] = Field(
        None, description="An object to make or to bring to this state, as in a manifest."
    )
    service: Name | None = Field(
        None, description="Only objects of this service; with apply: make it one of its objects."
    )
    labels: dict[HeaderName, LabelValue] | None = Field(
        None, max_length=16, description="Only objects with these labels."
    )
    replicas: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="How many pods, with scale."
    )
    image: Image | None = Field(None, description="The new image, with setImage.")
    container: ShortText | None = Field(
        None, description="Container of setImage. Default: the pod's first."
    )
    with_: Annotated[JsonValue, RelaxedObject] = Field(
        None, alias="with", description="A strategic merge patch; null takes a key out."
    )
    condition: ShortText | None = Field(
        None, description="Wait until this condition is True, such as Available."
    )
    until: CEL | None = Field(
        None, description="Wait until this holds of each object: object.status.readyReplicas == 3."
    )
    gone: bool | None = Field(None, description="Wait until there is none.")
    within: Wait | None = Field(
        None,
        description="Longest wait. Default 60s with wait; with a change: wait until it is done.",
    )
