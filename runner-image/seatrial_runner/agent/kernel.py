"""System calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os
import signal

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.restype = ctypes.c_long
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.syscall.restype = ctypes.c_long

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SEIZE, _INTERRUPT, _CONTINUE, _DETACH = 0x4206, 0x4207, 7, 17
_MNT_DETACH = 2
_SYS_OPENAT2 = 437
_RESOLVE_IN_ROOT = 0x10


def die_with_parent(parent: int) -> None:
    """End this process with SIGKILL as soon as its parent has ended, whatever way that was."""
    _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:  # it ended before we said so
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of our children's children that are left alone; else the target would."""
    _checked(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def seize(thread: int) -> None:
    """
    Trace a thread without stopping it; it is let go when this process ends.

    Raises:
        OSError: It is gone, or may not be traced, or is traced by another.
    """
    _checked(_LIBC.ptrace(_SEIZE, thread, None, None))


def interrupt(thread: int) -> None:
    """Stop a traced thread."""
    _checked(_LIBC.ptrace(_INTERRUPT, thread, None, None))


def resume(thread: int, signal: int) -> None:
    """Let a traced thread go on that has stopped, and deliver a signal to it."""
    _checked(_LIBC.ptrace(_CONTINUE, thread, None, signal))


def detach(thread: int) -> None:
    """Let a thread go that has stopped."""
    _checked(_LIBC.ptrace(_DETACH, thread, None, None))


def mount(filesystem: str, target: str, options: str) -> None:
    """Mount a file system of the kernel's own."""
    _checked(
        _LIBC.mount(
            b"none", target.encode(), filesystem.encode(), ctypes.c_ulong(0), options.encode()
        )
    )


def unmount(target: str) -> None:
    """Take a mount away; what is open on it stays open."""
    _checked(_LIBC.umount2(target.encode(), _MNT_DETACH))


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open a path as a process sees it whose root directory is open as ``root``, links included."""
    how = (ctypes.c_uint64 * 3)(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    relative = path.lstrip("/") or "."
    return int(
        _checked(
            _LIBC.syscall(
                ctypes.c_long(_SYS_OPENAT2),
                ctypes.c_long(root),
                ctypes.c_char_p(relative.encode()),
                how,
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
        )
    )


def _checked(result: int) -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
