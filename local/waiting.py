"""Waiting for something that starts, within a time limit."""

import time
import urllib.request
from collections.abc import Callable

POLL_SECONDS = 0.05
# Loopback is never reached through a proxy, whatever the shell says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotReadyError(Exception):
    """Something did not start in time; the message says what."""


def answers(url: str) -> bool:
    """Whether a GET of this URL is answered with a 2xx within a second."""
    try:
        with _DIRECT.open(url, timeout=1):
            return True
    except OSError:
        return False


def wait_for(what: str, ready: Callable[[], bool], timeout: float = 30) -> None:
    """Wait until `ready` says so.

    Args:
        what: Names it in the error.
        ready: Asked again and again; true ends the wait.
        timeout: Seconds.

    Raises:
        NotReadyError: Time is up.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise NotReadyError(f"{what} did not answer within {timeout:g} seconds.")
        time.sleep(POLL_SECONDS)
