"""Databases and brokers that a run gets by name. Pure."""

from seatrial.plan.presets.connections import (
    Connection,
    all_urls,
    connections_of,
    has_connections,
)
from seatrial.plan.presets.filling import preset_problems, with_presets
from seatrial.plan.presets.images import PresetImages
from seatrial.plan.presets.recipe import Recipe
from seatrial.plan.presets.table import RECIPES, recipe_of

__all__ = [
    "RECIPES",
    "Connection",
    "PresetImages",
    "Recipe",
    "all_urls",
    "connections_of",
    "has_connections",
    "preset_problems",
    "recipe_of",
    "with_presets",
]
