"""
The run's namespace, for the steps that look at it and change it.

A conductor's worker and a laptop reach it by the same code, each with credentials of its own.
"""

from __future__ import annotations

from seatrial_runner.scenario.cluster.namespace import NamespaceCluster
from seatrial_runner.scenario.cluster.requests import Access, Api

__all__ = ["Access", "Api", "NamespaceCluster"]
