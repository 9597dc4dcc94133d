"""Turns a service with a preset into one of the short form, so that everything else is the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seatrial.api.errors import SpecError
from seatrial.api.paths import below
from seatrial.api.services import Service, Volume
from seatrial.api.spec import RunSpec
from seatrial.plan.presets.images import PresetImages
from seatrial.plan.presets.recipe import Recipe
from seatrial.plan.presets.table import recipe_of


def with_presets(spec: RunSpec, images: PresetImages) -> RunSpec:
    """
    Fill in what the presets say; what a service says itself stays.

    Filling it in again changes nothing. What a service cannot say, such as credentials and command,
    ``seatrial.plan.objects`` takes from the recipe.
    """
    if not any(service.preset for service in spec.services):
        return spec
    services = [_filled(service, images) for service in spec.services]
    return spec.model_copy(update={"services": services})


def preset_problems(spec: RunSpec) -> Iterator[SpecError]:
    """Find what a service cannot say beside its preset."""
    for index, service in enumerate(spec.services):
        recipe = recipe_of(service.preset)
        if recipe is None:
            continue
        variables = recipe.variables
        for name in (variables.username, variables.password, variables.database):
            if "$(" in (service.env or {}).get(name, ""):
                field = below(f"spec.services[{index}].env", name)
                problem = "refers to another variable, so nobody else can be told of it."
                yield SpecError(field, problem, "Write its value, or leave it out.")


def _filled(service: Service, images: PresetImages) -> Service:
    recipe = recipe_of(service.preset)
    if recipe is None or service.preset is None:
        return service
    probes = {"readiness_probe": service.readiness_probe, "startup_probe": service.startup_probe}
    if not any(probes.values()):
        probes = {"readiness_probe": recipe.readiness, "startup_probe": recipe.startup}
    return service.model_copy(
        update={
            "image": service.image or images.of(service.preset),
            "ports": list(recipe.ports),
            "env": {**_environment(recipe, service.name), **(service.env or {})},
            "resources": service.resources or recipe.resources,
            "run_as_user": service.run_as_user or recipe.user,
            "volumes": list(_volumes(recipe, service.volumes or ())),
            **probes,
        }
    )


def _environment(recipe: Recipe, service: str) -> dict[str, str]:
    values = {name: text.replace("{service}", service) for name, text in recipe.env.items()}
    if recipe.variables.username:
        values[recipe.variables.username] = recipe.username
    if recipe.variables.database:
        values[recipe.variables.database] = recipe.database
    return values


def _volumes(recipe: Recipe, given: Iterable[Volume]) -> Iterator[Volume]:
    """Put the volume of the data first, of the size that the service may have given."""
    volumes = {recipe.data: Volume(path=recipe.data)}
    volumes |= {volume.path: volume for volume in given}
    yield from volumes.values()
