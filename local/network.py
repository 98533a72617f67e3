"""Loopback ports and readiness checks for servers."""

import socket
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
MAX_PORT = 65535
POLL_SECONDS = 0.05

# Loopback requests bypass any proxy that the shell configures.
DIRECT_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotReadyError(Exception):
    """A server did not start in time; the message names the server."""


class ForeignProgramError(Exception):
    """A program other than the expected one responds."""


def url(port: int) -> str:
    """Return the base URL of a server on a port of the loopback interface."""
    return f"http://{LOOPBACK}:{port}"


def bind_failure(port: int, host: str = LOOPBACK) -> str | None:
    """Return why a server can't listen on an address and port; None if it can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers also set this option, so connections in TIME_WAIT do not block a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def find_free_ports(count: int) -> list[int]:
    """Return the given number of different free ports on the loopback interface."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def is_responding(url: str) -> bool:
    """Return whether a GET request to the URL returns a 2xx status within a second."""
    try:
        with DIRECT_OPENER.open(url, timeout=1):
            return True
    except (OSError, HTTPException):
        return False


def wait_for(name: str, is_ready: Callable[[], bool], timeout: float = 30) -> None:
    """Poll until `is_ready` returns true.

    Args:
        name: Subject of the error message, such as "The local DynamoDB".
        is_ready: The condition to poll.
        timeout: Maximum wait in seconds.

    Raises:
        NotReadyError: The condition is still false after the timeout.
    """
    deadline = time.monotonic() + timeout
    while not is_ready():
        if time.monotonic() > deadline:
            raise NotReadyError(f"{name} did not respond within {timeout:g} seconds.")
        time.sleep(POLL_SECONDS)


def allowed_hosts(public_base_url: str, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the additional host names that local servers accept.

    IP addresses and names without a dot are always accepted.

    Args:
        public_base_url: The PUBLIC_BASE_URL setting, such as the URL of a tunnel.
        environ: The environment. SIMULATOR_ALLOWED_HOSTS is a comma-separated list of host names.
    """
    names = environ.get("SIMULATOR_ALLOWED_HOSTS", "").lower().split(",")
    public_name = urlsplit(public_base_url).hostname or ""
    return frozenset({*(name.strip() for name in names), public_name} - {""})
