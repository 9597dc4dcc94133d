"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)


def fork(name: str, run: Callable[[], int]) -> int:
    """
    Run a function in a child, which ends with its result as status; give the child's number.

    The kernel shows ``name``, at most 15 characters, to whoever looks at the processes.

    When this process dies, however that happens, the kernel kills the child.
    """
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _libc.prctl(_PR_SET_NAME, name.encode())
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)
        status = run()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
