"""The recipe of each preset."""

from __future__ import annotations

from collections.abc import Mapping

from seatrial.api.services import Preset
from seatrial.plan.presets import brokers, databases
from seatrial.plan.presets.recipe import Recipe

RECIPES: Mapping[Preset, Recipe] = {
    Preset.POSTGRES: databases.POSTGRES,
    Preset.MYSQL: databases.MYSQL,
    Preset.REDIS: databases.REDIS,
    Preset.RABBITMQ: brokers.RABBITMQ,
    Preset.KAFKA: brokers.KAFKA,
    Preset.NATS: brokers.NATS,
    Preset.MOSQUITTO: brokers.MOSQUITTO,
    Preset.MONGODB: databases.MONGODB,
    Preset.MINIO: databases.MINIO,
}


def recipe_of(preset: Preset | None) -> Recipe | None:
    """Give the recipe of a service's preset, if it has one."""
    return RECIPES[preset] if preset is not None else None
