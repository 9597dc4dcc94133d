"""``exec``: a command in a pod of the run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seatrial.api.fields import Argument, Model, Name, ShortText, Wait, one_of


class Exec(Model):
    """A command that runs in a container of the system under test. Texts may hold templates."""

    __rules__ = (one_of("service", "pod", required=True),)

    service: Name | None = Field(None, description="Run it in a ready pod of this service.")
    pod: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        None, description="Run it in this pod, such as {{ pod }}."
    )
    container: ShortText | None = Field(None, description="Container. Default: the pod's first.")
    command: list[Argument] = Field(
        min_length=1, max_length=64, description="Program and arguments; no shell, unless named."
    )
    stdin: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="What the command reads."
    )
    allow_failure: bool = Field(
        False, description="Leave an exit code other than 0 to the expectations."
    )
    timeout: Wait | None = Field(None, description="Longest time. Default 30s.")
