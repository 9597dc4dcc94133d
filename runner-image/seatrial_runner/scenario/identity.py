"""What tells one run of a scenario from all others: the variable ``run``."""

from __future__ import annotations

import hashlib
from uuid import UUID


def seed_of_attempt(seed: str, attempt: int) -> str:
    """Give the first attempt what was given, and each further one its own: it must be unique."""
    return f"{seed}.{attempt}" if seed and attempt > 1 else seed


def identity(instance_id: str, test: str, seed: str) -> dict[str, str]:
    """
    Give the variable ``run``.

    Args:
        instance_id: Of the instance: two of one test get different ones.
        test: Name of the test.
        seed: The same seed gives the same.

    Returns:
        ``id``, 12 hex digits, to make names of; ``uuid``, of version 4; ``test``; and the ``seed``
        of both.
    """
    digest = hashlib.sha256(f"{seed}/{instance_id}".encode("utf-8", "backslashreplace")).hexdigest()
    uuid = str(UUID(digest[12:44], version=4))
    return {"id": digest[:12], "uuid": uuid, "test": test, "seed": seed}
