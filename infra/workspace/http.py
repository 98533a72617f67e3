"""A retrying HTTP client for Twilio's SDK.

A request that TaskRouter throttled was not processed, so it is repeated after the delay that
TaskRouter specifies: https://www.twilio.com/docs/api/errors/20429. A request that failed with a
server error or received no response may have been processed. Such a request is repeated only if a
second execution has no further effect, so that no resource is created twice.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from requests import RequestException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response

TIMEOUT_SECONDS = 10
"""Time limit for a request."""
MAX_WAIT_SECONDS = 120.0
"""Maximum time for which the client keeps retrying a throttled request."""
MAX_ATTEMPTS = 4
"""Maximum attempts for a request that fails."""
_FIRST_DELAY_SECONDS = 0.5
_THROTTLED = 429
_SERVER_ERROR = 500
_COLLECTIONS = (
    "Workspaces",
    "Activities",
    "TaskChannels",
    "TaskQueues",
    "Workers",
    "Workflows",
    "Tasks",
)


class RetryingHttpClient(TwilioHttpClient):  # type: ignore[misc]
    """Sends requests, and repeats them if that is safe.

    Args:
        clock: Returns the seconds since an arbitrary point in time.
        sleep: Waits for a number of seconds.

    Attributes:
        deadline: Time (in the clock's seconds) after which throttled requests are not repeated.
        waited: Seconds that throttled requests have waited in total.
        retry_after: Retry delay, in seconds, of the last throttled request that the client gave up
            on; 0 if there is no such request.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(timeout=TIMEOUT_SECONDS)
        self._clock = clock
        self._sleep = sleep
        self.deadline = math.inf
        self.waited = 0.0
        self.retry_after = 0.0

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        """Send a request like `TwilioHttpClient.request`, and repeat it if necessary and safe."""
        deadline = min(self._clock() + MAX_WAIT_SECONDS, self.deadline)
        delay = _FIRST_DELAY_SECONDS
        attempts = 0
        while True:
            response: Response | None = None
            try:
                response = super().request(method, url, *args, **kwargs)
            except RequestException:
                attempts += 1
                if not (is_idempotent(method, url) and attempts < MAX_ATTEMPTS):
                    raise
            wait = delay
            if response and response.status_code == _THROTTLED:
                wait = _retry_after(response, delay)
                if self._clock() + wait > deadline:
                    self.retry_after = wait
                    return response
                self.waited += wait
            elif response:
                attempts += 1
                has_failed = response.status_code >= _SERVER_ERROR and is_idempotent(method, url)
                if not has_failed or attempts == MAX_ATTEMPTS:
                    return response
            self._sleep(wait)
            delay *= 2


def is_idempotent(method: str, url: str) -> bool:
    """Return whether a second execution of a request has no further effect.

    A POST request creates a resource if its URL ends with the name of a list.
    """
    return method.upper() != "POST" or url.rpartition("/")[2] not in _COLLECTIONS


def _retry_after(response: Response, delay: float) -> float:
    """Return the seconds in the Retry-After header, but at least *delay*."""
    text = (response.headers or {}).get("Retry-After", "")
    return max(float(text), delay) if text.isdecimal() else delay
