"""Seatrial's pytest plugin."""

from __future__ import annotations
