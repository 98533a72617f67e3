"""Programs that end with the one that started them, even where that one is killed with SIGKILL."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Looked up before any fork, where nothing but the call itself is safe.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends. Linux only."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
