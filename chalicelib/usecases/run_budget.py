"""The budget of a sweep: remaining time, retries of throttled requests, and errors."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from threading import Event, Lock
from typing import Self, TypeVar

from chalicelib.domain.errors import (
    AppError,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterThrottled,
)
from chalicelib.observability import SweepResult
from chalicelib.usecases.ports import Clock

CONCURRENCY = 8
"""Maximum number of concurrent requests to TaskRouter."""

MAX_REASONS = 3

_MIN_TIME_LEFT_MS = 25_000
"""Minimum remaining time to start a step. Reading a list of several pages from TaskRouter takes up
to 16 s. Other steps send requests to TaskRouter for up to 9 s. A step may also use DynamoDB. A loop
in a step checks `may_continue` between its calls."""

_MIN_SUMMARY_MS = 13_000
"""Minimum remaining time to start a read for the statistics, which are updated after the checks.
The read and the two writes of the results take up to 9.7 s."""

_RETRY_PAUSES_SECONDS = (0.5, 1.0, 2.0)
"""Pauses before the retries of a throttled request."""

_Response = TypeVar("_Response")


class RunBudget:
    """The budget of one sweep, shared by its threads.

    Args:
        clock: the system time.
        time_left_ms: returns the remaining time of the sweep, in ms.

    Attributes:
        started: epoch ms at which the sweep started.
        errors: number of failures by error ``Code``, or by type for an unexpected error.
        reasons: why requests failed; at most MAX_REASONS distinct messages.
    """

    def __init__(self, clock: Clock, time_left_ms: Callable[[], int]) -> None:
        self._clock = clock
        self.started = clock.now_ms()
        self._time_left_ms = time_left_ms
        self._stopped = Event()
        self._throttled = Event()
        self._lock = Lock()
        self.errors: Counter[str] = Counter()
        self.reasons: list[str] = []

    def result(self) -> SweepResult:
        """Return the duration and the failures so far."""
        return SweepResult(
            duration_ms=self._clock.now_ms() - self.started,
            errors=dict(self.errors),
            ok=not self.errors,
        )

    def may_continue(self) -> bool:
        """Return whether another step may start."""
        return not self.has_ended and self._time_left_ms() >= _MIN_TIME_LEFT_MS

    @property
    def has_ended(self) -> bool:
        """Whether a failure or throttling has ended the run, or this part of the run."""
        return self._stopped.is_set() or self._throttled.is_set()

    def has_time_to_summarize(self) -> bool:
        """Return whether another read for the statistics may start."""
        return self._time_left_ms() >= _MIN_SUMMARY_MS

    def half(self) -> Self:
        """Return a budget for part of the run, with half of the time in which steps may start.

        If TaskRouter throttles requests of this part, only this part ends. The failures of this
        part are counted for the whole run.
        """
        reserved_ms = max(0, self._time_left_ms() - _MIN_TIME_LEFT_MS) // 2
        part = copy(self)
        part._throttled = Event()  # noqa: SLF001  the part has the same class
        part._time_left_ms = lambda: self._time_left_ms() - reserved_ms  # noqa: SLF001
        return part

    def retry_throttled(self, request: Callable[[], _Response]) -> _Response:
        """Send a request to TaskRouter; if it is throttled, pause and retry.

        Raises:
            TaskRouterThrottled: the request was still throttled when the attempts or the time ran
                out. This ends the run, or the part of the run that has this budget.
        """
        pauses = self.pauses_if_throttled()
        while True:
            try:
                return request()
            except TaskRouterThrottled:
                pause = next(pauses, None)
                if pause is None:
                    raise
                self._clock.sleep(pause)

    def pauses_if_throttled(self) -> Iterator[float]:
        """Yield the pauses (in seconds) before the retries of a throttled request.

        After the last pause, or if no time is left, the run (or the part of the run that has this
        budget) ends.
        """
        for pause in _RETRY_PAUSES_SECONDS:
            if not self.may_continue():
                break
            yield pause
        self._throttled.set()

    @contextmanager
    def counting_failures(self) -> Iterator[None]:
        """Count an error of a step instead of raising it, so that the sweep continues."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  an unexpected error must not end the sweep
            self.count_failure(error)

    def count_failure(self, error: Exception) -> None:
        """Count a failure and end the run if all other steps would fail too.

        Rejected credentials and an unknown Workspace end the run. Callers handle other missing
        resources without counting a failure. Only the type of an unexpected error is recorded,
        because the message may contain personal data.
        """
        code, reason = type(error).__name__, None
        if isinstance(error, AppError):
            code, reason = error.code, error.reason
        with self._lock:
            self.errors[code] += 1
            if reason and reason not in self.reasons and len(self.reasons) < MAX_REASONS:
                self.reasons.append(reason)
        if isinstance(error, (TaskRouterDenied, TaskRouterNotFound)):
            self._stopped.set()
