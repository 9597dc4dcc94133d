"""The operator's shell: kopf's watches, a queue, workers, the Lease and health endpoints."""
