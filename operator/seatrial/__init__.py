"""
Seatrial: integration tests on Kubernetes, under faults, with a verdict that comes with proof.

PYTEST_DONT_REWRITE: a word to pytest, which would warn that it finds this imported already.
"""

__version__ = "0.1.0"
