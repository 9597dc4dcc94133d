"""Manifests of a user: read, checked, and confined to the run's namespace. Pure."""

from __future__ import annotations

from seatrial.api.confinement import ALLOWED_KINDS, confine, problems
from seatrial.plan.documents import contents, read_manifests

__all__ = ["ALLOWED_KINDS", "confine", "contents", "problems", "read_manifests"]
