"""Ports on loopback: which are taken, and which are free."""

import socket
import time
import urllib.request
from collections.abc import Callable

LOOPBACK = "127.0.0.1"
HIGHEST = 65535


def is_taken(port: int) -> bool:
    """Whether something listens on (or holds) this port of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # What servers do too: a port whose last connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def find_free(count: int) -> list[int]:
    """Free ports of the loopback interface, all different.

    Args:
        count: How many.
    """
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


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
