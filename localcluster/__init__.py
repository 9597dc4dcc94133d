"""
A real Kubernetes cluster for a machine that has none: no Docker, no image registry.

Run it from the root of the checkout: ``python3 -m localcluster up``.
Standard library only, so that it starts on a bare machine.
"""
