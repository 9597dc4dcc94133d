"""
Runs the local cluster's command line, and kills it with all that it has started at a moment.

``python -m tests.support.killed_at call:localcluster.sandbox.plug_in up --bare``: when that
function is called for the first time; ``return:`` is when it has done its work.
"""

import os
import signal
import sys
from types import FrameType

from localcluster.__main__ import main


def kill_at(moment: str) -> None:
    """Kill our process group when the moment comes; we lead it, so that nobody else is in it."""
    wanted, _, function = moment.partition(":")

    def look(frame: FrameType, event: str, _argument: object) -> None:
        name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
        if event == wanted and name == function:
            os.killpg(os.getpgid(0), signal.SIGKILL)

    sys.setprofile(look)


if __name__ == "__main__":
    kill_at(sys.argv.pop(1))
    sys.exit(main())
