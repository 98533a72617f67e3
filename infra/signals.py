"""Makes SIGTERM and SIGHUP end a command like Ctrl-C: with a KeyboardInterrupt.

Python ends immediately on SIGTERM and SIGHUP by default, without releasing locks or ending child
processes.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal that ended the command.

    Attributes:
        name: Name of the signal, such as "SIGTERM".
        exit_code: The exit code that shells report for a program ended by this signal.
    """

    def __init__(self, number: int) -> None:
        """Describe the signal with this number."""
        super().__init__()
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


def raise_keyboard_interrupts() -> None:
    """Raise `Interrupted` on the first signal, and ignore all later signals.

    Later signals would interrupt the clean-up. If a process group receives SIGTERM, make sends its
    children a second one. A signal that the parent process ignores, such as SIGHUP under nohup,
    remains ignored.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer signals until the end of a `with` block."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
