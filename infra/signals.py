"""Makes SIGTERM and SIGHUP end a command as Ctrl-C does, with a KeyboardInterrupt.

Python ends immediately on SIGTERM and SIGHUP by default, without releasing locks or ending child
processes. As long as a program has nothing to clean up, for example during its imports,
`exit_immediately` makes the program exit at once on Ctrl-C and on both signals.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_REPEAT_SECONDS = 0.05
"""Time until an exception that Python discarded is re-raised."""


class Interrupted(KeyboardInterrupt):
    """Raised when a signal ends the command.

    Attributes:
        name: Name of the signal, such as "SIGTERM".
        exit_code: The exit code that shells report for a program ended by this signal.
    """

    def __init__(self, number: int) -> None:
        """Describe the signal with this number."""
        super().__init__()
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


def exit_immediately() -> None:
    """Exit on a signal, with the same exit code as after `Interrupted`, but without clean-up.

    Call this function before slow imports, which Ctrl-C would otherwise end with a traceback.
    """
    _handle(lambda number, _frame: os._exit(128 + number))


def exit_with_parent(pipe: int) -> None:
    """Exit when the parent process ends, even if it is killed.

    Args:
        pipe: File descriptor of the read end of a pipe, whose write end only the parent holds.
    """

    def wait() -> None:
        os.read(pipe, 1)
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def raise_keyboard_interrupts() -> None:
    """Raise `Interrupted` on the first signal, and ignore all later signals.

    Later signals would interrupt the clean-up. If a process group receives SIGTERM, the `make`
    command sends its children a second SIGTERM.
    """
    sys.unraisablehook = _repeat_if_discarded
    _handle(_interrupt)


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    """Install a handler, except for signals that the parent ignores, such as SIGHUP under nohup."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for ignored in _SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    raise Interrupted(number)


def _repeat_if_discarded(unraisable: "sys.UnraisableHookArgs") -> None:
    """Re-raise an `Interrupted` that Python discarded, so that the signal is not lost.

    Python discards exceptions in finalizers, in callbacks of weak references, and in hooks of
    `os.fork`, such as those of the logging module. Python would also discard an exception that this
    function raises, so a timer raises it.
    """
    interrupted = unraisable.exc_value
    if not isinstance(interrupted, Interrupted):
        sys.__unraisablehook__(unraisable)
        return

    def raise_again(_number: int, _frame: FrameType | None) -> None:
        raise interrupted

    signal.signal(signal.SIGALRM, raise_again)
    signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer signals until the end of a `with` block."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {*_SIGNALS, signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
