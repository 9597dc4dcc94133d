"""Which image a preset is run from, on this cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seatrial.api.services import Preset
from seatrial.plan.presets.table import RECIPES


@dataclass(frozen=True)
class PresetImages:
    """What the administrator has decided: images of their own, and a registry for all of them."""

    images: Mapping[str, str] = field(default_factory=dict)  # by preset
    registry: str = ""  # such as mirror.example/docker-hub

    def of(self, preset: Preset) -> str:
        """Name the image of a preset."""
        image = self.images.get(preset) or RECIPES[preset].image
        return f"{self.registry}/{_path(image)}" if self.registry else image


def _path(image: str) -> str:
    """Give an image's name without its registry: ``library/postgres:17``."""
    host, slash, path = image.partition("/")
    # Source: distribution/reference, "splitDockerDomain": a registry has a dot or a port.
    if slash and ("." in host or ":" in host or host == "localhost"):
        return path
    return image if slash else f"library/{image}"
