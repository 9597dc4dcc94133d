"""
A real Kubernetes cluster for a machine that has none: no Docker, no image registry.

Run it from the root of the checkout: ``python3 -m localcluster up``.
Standard library only, so that it starts on a bare machine.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  said, instead of failing at what it does not know
    sys.exit("Python 3.11 or later is needed: make PYTHON=...")
