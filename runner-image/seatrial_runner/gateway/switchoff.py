"""
Switches all http faults off, before anything else is loaded.

A controller that was killed leaves its faults on in Envoy. Its heir takes a good part of a second
to begin, on a busy machine more, and no fault may be on that much longer than its deadline.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from time import monotonic

from seatrial.api import names

logger = logging.getLogger("seatrial.gateway")

# Envoy that does not answer in that time is overloaded: the controller goes on trying.
_ANSWER_S = 0.5


def switch_off(faults: Sequence[str], port: int) -> bool:
    """Set all runtime keys to nothing by Envoy's admin port; tell whether it has done so."""
    if not faults:
        return True
    keys = (key(each) for each in faults for key in (names.envoy_key, names.envoy_probe_key))
    target = "/runtime_modify?" + "&".join(f"{key}=" for key in keys)
    head = (
        f"POST {target} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
    began = monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as sock:
            sock.settimeout(_ANSWER_S)
            sock.sendall(f"{head}content-length: 0\r\n\r\n".encode())
            answer = sock.recv(4096)
    except OSError as error:
        logger.info("Envoy has not been told to end http faults yet: %s", error)
        return False
    logger.info("http faults were switched off in %.3f s", monotonic() - began)
    return answer.split(None, 2)[1:2] == [b"200"]
