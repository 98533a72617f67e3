"""A scheduled run: it has so much time, pauses where TaskRouter throttles, and counts failures."""

from collections import Counter
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from chalicelib.domain.errors import (
    AppError,
    TaskRouterError,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.usecases.ports import Clock

CONCURRENCY = 8
"""So many questions are put to TaskRouter at once."""

_ONE_QUESTION_MS = 15_000
"""Nothing is begun with less time left: TaskRouter may take 10 s, and then we write."""

_PAUSES_WHEN_THROTTLED = (0.5, 1.0, 2.0)
"""Seconds. After the last, the rest is left to the next run."""

_Answer = TypeVar("_Answer")


class Run:
    """One run; its methods may be called from several threads.

    Args:
        clock: the time.
        time_left_ms: how long the run may still take, in ms.
    """

    def __init__(self, clock: Clock, time_left_ms: Callable[[], int]) -> None:
        self._clock = clock
        self._time_left_ms = time_left_ms
        self._stopped = Event()
        self.errors: Counter[str] = Counter()

    def may_go_on(self, needed_ms: int = _ONE_QUESTION_MS) -> bool:
        """Tell whether something that takes up to *needed_ms* may be begun."""
        return not self._stopped.is_set() and self._time_left_ms() >= needed_ms

    def patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask TaskRouter, and again after a pause where it throttles.

        Raises:
            TaskRouterThrottled: it throttles still; the run is over.
        """
        try:
            for pause in _PAUSES_WHEN_THROTTLED:
                try:
                    return ask()
                except TaskRouterThrottled:
                    if not self.may_go_on():
                        raise
                    self._clock.sleep(pause)
            return ask()
        except TaskRouterThrottled:
            self._stopped.set()
            raise

    def failed(self, error: AppError) -> None:
        """Count a failure; one that all else would share (our key is refused) ends the run."""
        self.errors[error.code] += 1
        if isinstance(error, TaskRouterError) and not isinstance(error, TaskRouterUnavailable):
            self._stopped.set()
