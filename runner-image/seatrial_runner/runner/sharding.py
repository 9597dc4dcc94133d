"""Which tests are this pod's, and which are to run again."""

from __future__ import annotations

from collections.abc import Collection
from zlib import crc32


def is_ours(node_id: str, shard: int, shards: int) -> bool:
    """
    Tell whether a test belongs to a shard.

    By a hash of its id alone: a file that can't be imported in one pod moves no other test.
    """
    return crc32(node_id.encode("utf-8", "backslashreplace")) % shards == shard


def is_wanted(node_id: str, failed: Collection[str]) -> bool:
    """Tell whether a test is among those that failed, or in a file that could not be collected."""
    return node_id in failed or node_id.partition("::")[0] in failed
