"""Seatrial: integration tests on Kubernetes, under faults, with a verdict that comes with proof."""

__version__ = "0.1.0"
