"""The simulator's time and timers. A test can move time forward."""

import heapq
import itertools
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

_MIN_PURGE_SIZE = 1000
_MAX_STEPS = 50
"""Maximum number of steps of a long action per iteration of the event loop."""


@dataclass(order=True)
class Timer:
    """An action that runs at a point in time, unless it is canceled.

    Attributes:
        when: Due time in seconds since the epoch.
        order: Sequence number; timers due at the same time run in this order.
        action: Function to run.
        canceled: Whether the timer is canceled. The action of a canceled timer must not run.
    """

    when: float
    order: int
    action: Callable[[], None] = field(compare=False)
    canceled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Prevent the action from running."""
        self.canceled = True


@dataclass(frozen=True)
class ClockState:
    """A clock's time, which is the sum of a base time and an offset, in seconds."""

    base: float
    offset: float


class Clock:
    """The simulator's time, in seconds since the epoch, and its timers.

    Args:
        read: Returns the time in seconds since the epoch. If the function returns a constant
            (`lambda: 1_700_000_000.0`), only the clock's methods, such as `advance`, change the
            time.
        frozen: Whether `read` returns a constant, so that waiting never makes a timer due.
    """

    def __init__(self, read: Callable[[], float], *, frozen: bool = False) -> None:
        self._read = self._original_read = read
        self._frozen = frozen
        self._offset = 0.0
        self._timers: list[Timer] = []
        self._order = itertools.count()
        self._purge_at = _MIN_PURGE_SIZE
        self._loop: AbstractEventLoop | None = None
        self._wakeup: TimerHandle | None = None
        self._steps: Iterator[None] = iter(())
        self._limits_steps = False
        self._is_paused = False

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._read() + self._offset

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Schedule `action` to run at the time `when` (seconds since the epoch)."""
        if len(self._timers) >= self._purge_at:
            self._purge()
        timer = Timer(when, next(self._order), action)
        heapq.heappush(self._timers, timer)
        self._schedule()
        return timer

    def _purge(self) -> None:
        """Drop canceled timers, which would otherwise keep their Tasks in memory."""
        self._timers = [timer for timer in self._timers if not timer.canceled]
        heapq.heapify(self._timers)
        self._purge_at = max(_MIN_PURGE_SIZE, 2 * len(self._timers))

    def clear(self) -> None:
        """Drop every timer, and the remaining steps of a paused action."""
        self._timers.clear()
        self._steps, self._is_paused = iter(()), False

    def reset(self) -> None:
        """Drop every timer, and return to the time that the original `read` returns."""
        self.clear()
        self._read, self._offset = self._original_read, 0.0

    def pending(self) -> list[Timer]:
        """Return the timers that are not canceled, in the order in which they run."""
        return sorted(timer for timer in self._timers if not timer.canceled)

    def state(self) -> ClockState:
        """Return the time, for a snapshot."""
        return ClockState(self._read(), self._offset)

    def restore(self, state: ClockState) -> None:
        """Drop every timer, and continue at the time of a snapshot, which may be in the past."""
        self.clear()
        if self._frozen:
            self._read = lambda: state.base  # exact, unlike a difference of floats
        self._offset = state.offset + (state.base - self._read())

    def next_due(self) -> float | None:
        """Return the due time of the next timer, or None if there is no timer."""
        while self._timers and self._timers[0].canceled:
            heapq.heappop(self._timers)
        return self._timers[0].when if self._timers else None

    def jump(self, moment: float) -> None:
        """Move time forward to `moment` without running timers; ignore past moments."""
        self._offset += max(0.0, moment - self.now())

    def run_due(self) -> None:
        """Run the due timers, ordered by due time, then by creation."""
        try:
            self._continue()
            while (
                not self._is_paused and (due := self.next_due()) is not None and due <= self.now()
            ):
                heapq.heappop(self._timers).action()
        finally:
            self._schedule()

    def run_steps(self, steps: Iterator[None]) -> None:
        """Run the steps of a timer's long action.

        The action pauses after every `_MAX_STEPS` steps if the event loop runs the timer and the
        clock is not frozen. The loop can then serve requests. Other timers wait until the
        action ends, which keeps timers in order.
        """
        self._steps = steps
        self._continue()

    def _continue(self) -> None:
        limit = _MAX_STEPS if self._limits_steps else None
        self._is_paused = len(list(islice(self._steps, limit))) == limit

    def _wake(self) -> None:
        self._limits_steps = not self._frozen
        try:
            self.run_due()
        finally:
            self._limits_steps = False

    def advance(self, seconds: float) -> None:
        """Move time forward, stopping at each due timer to run it."""
        end = self.now() + seconds
        self.run_due()
        while (due := self.next_due()) is not None and due <= end:
            self.jump(due)
            self.run_due()
        self.jump(end)

    def attach(self, loop: AbstractEventLoop | None) -> None:
        """Run due timers on an event loop; None detaches the clock from its loop."""
        self._loop = loop
        self._schedule()

    def _schedule(self) -> None:
        """Make the event loop call `_wake` for the next timer, or at once for a paused action."""
        if self._loop is None:
            return
        if self._wakeup:
            self._wakeup.cancel()
        due = self.now() if self._is_paused else self.next_due()
        if due is None:
            return
        delay = max(0.0, due - self.now())
        if delay == 0.0 or not self._frozen:
            self._wakeup = self._loop.call_later(delay, self._wake)
