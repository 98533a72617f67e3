"""A look at a deployed service from outside, as TaskRouter sees it."""

import time
from typing import Any

import requests

from chalicelib import __version__
from infra.errors import OperatorError

CALLBACK = "/assignment_callback/fallback"
"""Not the assignment callback itself: an alarm counts what that refuses."""

_PAUSE_SECONDS = 2
_TIMEOUT_SECONDS = 15


def check(base_url: str, *, patience: float = 60) -> None:
    """Make sure that our version answers, and that an unsigned callback is refused by *us*.

    Args:
        base_url: what comes before the route, stage included.
        patience: seconds; a new deployment takes API Gateway some.

    Raises:
        OperatorError: it does not; the message says what came instead.
    """
    deadline = time.monotonic() + patience
    while complaint := _complaint(base_url):
        if time.monotonic() > deadline:
            raise OperatorError(complaint)
        time.sleep(_PAUSE_SECONDS)


def _complaint(base_url: str) -> str | None:
    try:
        health = requests.get(f"{base_url}/health", timeout=_TIMEOUT_SECONDS)
        if _member(health, "version") != __version__:
            return f"{base_url}/health answers {health.status_code} and not version {__version__}."
        refusal = requests.post(
            f"{base_url}{CALLBACK}", data={"Unsigned": "1"}, timeout=_TIMEOUT_SECONDS
        )
    except requests.RequestException as error:
        return f"{base_url} can't be reached ({type(error).__name__})."
    code = _member(refusal, "Code")
    # API Gateway answers 403 for a route that is not there, too.
    if (refusal.status_code, code) != (403, "InvalidSignature"):
        answer = f"{refusal.status_code} {code}" if code else str(refusal.status_code)
        return (
            f"An unsigned callback is answered {answer} and not our 403 InvalidSignature. "
            "docs/operations.md, 'Callbacks fail', says where to look."
        )
    return None


def _member(response: requests.Response, name: str) -> Any:
    try:
        body = response.json()
    except ValueError:
        return None
    return body.get(name) if isinstance(body, dict) else None
