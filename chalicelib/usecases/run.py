"""A scheduled run: it has so much time, pauses where TaskRouter throttles, and counts failures."""

from collections import Counter
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from chalicelib.domain.errors import (
    AppError,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterThrottled,
)
from chalicelib.usecases.ports import Clock

CONCURRENCY = 8
"""So many questions are put to TaskRouter at once."""

_ONE_QUESTION_MS = 25_000
"""Nothing is begun with less time left: it may ask TaskRouter twice, for 10 s each, and then
writes."""

_PAUSES_WHEN_THROTTLED = (0.5, 1.0, 2.0)
"""Seconds. After the last, the rest is left to the next run."""

_Answer = TypeVar("_Answer")


class RunBudget:
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

    def may_go_on(self) -> bool:
        """Tell whether another question to TaskRouter may be begun."""
        return not self._stopped.is_set() and self._time_left_ms() >= _ONE_QUESTION_MS

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
        """Count a failure; one that all else would share ends the run.

        Those are a key that TaskRouter refuses, and a Workspace that it does not know; what is
        not found otherwise is no failure.
        """
        self.errors[error.code] += 1
        if isinstance(error, (TaskRouterDenied, TaskRouterNotFound)):
            self._stopped.set()
