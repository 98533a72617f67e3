"""Simulates the limits of TaskRouter's REST API."""

from collections import Counter
from dataclasses import dataclass, field

from benchmarks.timeline import Timeline

UPDATE = "update"
FETCH = "fetch"
LIST_TASKS = "list Tasks"
LIST_RESERVATIONS = "list Reservations"
LIST_EVENTS = "list Events"


@dataclass(frozen=True, kw_only=True)
class TaskRouterLimits:
    """TaskRouter's limits and latency, which Twilio does not publish, and a limit of the sweep.

    Attributes:
        per_second: Maximum number of requests per second for each operation. Twilio's example of
            a "RateLimit" event shows a default limit of 50 for a list request.
        concurrent: Maximum number of concurrent requests per account. Twilio's error 20429
            mentions this limit without stating its value.
        latency_ms: Duration of a request.
        max_events: Maximum number of Events of one type that a sweep reads at a time.
    """

    per_second: int = 50
    concurrent: int = 100
    latency_ms: int = 100
    max_events: int = 2_000


UNLIMITED = TaskRouterLimits(per_second=10**9, concurrent=10**9)


@dataclass
class TaskRouter:
    """TaskRouter's limits, and the number of requests.

    Attributes:
        limits: The limits.
        requests: Number of requests by operation, including throttled ones.
        throttled: Number of throttled requests (429) by operation.
        max_concurrent: Largest number of concurrent requests.
    """

    limits: TaskRouterLimits
    timeline: Timeline
    requests: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    max_concurrent: int = 0
    _concurrent: int = 0
    _seconds: dict[str, tuple[int, int]] = field(default_factory=dict)

    def start(self, operation: str, number: int = 1) -> int:
        """Start requests for an operation, and return the number that are not throttled.

        The caller calls `end` after `latency_ms`.
        """
        second = self.timeline.now_ms() // 1000
        latest, used = self._seconds.get(operation, (second, 0))
        used = used if latest == second else 0
        free = min(self.limits.per_second - used, self.limits.concurrent - self._concurrent)
        started = min(number, max(free, 0))
        self._seconds[operation] = second, used + started
        self._concurrent += started
        self.max_concurrent = max(self.max_concurrent, self._concurrent)
        self.requests[operation] += number
        self.throttled[operation] += number - started
        return started

    def end(self, number: int) -> None:
        """End requests that `start` did not throttle."""
        self._concurrent -= number
