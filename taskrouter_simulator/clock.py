"""Time and timers in one hand, so that a test can move both."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

_SWEPT_FROM = 1000


@dataclass(order=True)
class Timer:
    """Something to do at a moment; a cancelled one is passed over."""

    when: float
    order: int
    action: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Make sure that the action never runs."""
        self.cancelled = True


class Clock:
    """The simulator's time, in seconds since the epoch, and the timers that hang on it.

    Args:
        read: where time comes from; it may stand still (`lambda: 1700000000.0`), then only
            `jump` and `advance` move it.
        on_arm: called when a timer is set, so that a server can wake up for it.
    """

    def __init__(self, read: Callable[[], float], on_arm: Callable[[], None] | None = None) -> None:
        self._read = read
        self._ahead = 0.0
        self._timers: list[Timer] = []
        self._order = itertools.count()
        self._full = _SWEPT_FROM
        self.on_arm = on_arm

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._read() + self._ahead

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Run `action` once time has reached `when` (seconds since the epoch)."""
        if len(self._timers) >= self._full:
            self._sweep()
        timer = Timer(when, next(self._order), action)
        heapq.heappush(self._timers, timer)
        if self.on_arm:
            self.on_arm()
        return timer

    def _sweep(self) -> None:
        """Let go of cancelled timers: most are, long before their time, and hold on to Tasks."""
        self._timers = [timer for timer in self._timers if not timer.cancelled]
        heapq.heapify(self._timers)
        self._full = max(_SWEPT_FROM, 2 * len(self._timers))

    def forget(self) -> None:
        """Drop every timer."""
        self._timers.clear()

    def next_due(self) -> float | None:
        """When the next timer fires, or None."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0].when if self._timers else None

    def jump(self, moment: float) -> None:
        """Put the clock forward to `moment`, firing nothing; never back."""
        self._ahead += max(0.0, moment - self.now())

    def run_due(self) -> None:
        """Fire what is due, in order of time, then of setting."""
        while (due := self.next_due()) is not None and due <= self.now():
            heapq.heappop(self._timers).action()

    def advance(self, seconds: float) -> None:
        """Put the clock forward, stopping at each timer on the way to fire it."""
        end = self.now() + seconds
        self.run_due()
        while (due := self.next_due()) is not None and due <= end:
            self.jump(due)
            self.run_due()
        self.jump(end)
