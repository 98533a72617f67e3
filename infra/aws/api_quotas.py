"""API Gateway's fixed quotas, and the wait after a request that exceeded a quota.

All clients of an account share the quotas, which can't be raised (AWS, "Amazon API Gateway
quotas"). boto3's own retries may end before the longest interval, 30 seconds, has passed.
"""

from typing import Any

import click
from botocore import handlers

_EVENT = "needs-retry.apigateway"

_SECONDS_PER_REQUEST = {
    "CreateDeployment": 5,
    "CreateDomainName": 30,
    "DeleteDomainName": 30,
    "DeleteRestApi": 30,
    "ImportRestApi": 3,
    "PutRestApi": 1,
    "UpdateDomainName": 30,
}
"""Minimum seconds between two requests for an operation in one account, for regional APIs."""

_MAX_WAITS = 10
"""Maximum number of waits per request. Other deployments in the account may use up the quota."""


def wait_for_quotas(events: Any) -> None:
    """Make a botocore client wait before it repeats a request that exceeded a quota.

    Args:
        events: The event emitter of the client.
    """
    events.register_first(_EVENT, _seconds_to_wait)


def wait_for_quotas_in_all_sessions() -> None:
    """Apply `wait_for_quotas` to the clients of all sessions created from now on."""
    handlers.BUILTIN_HANDLERS.append((_EVENT, _seconds_to_wait))


def _seconds_to_wait(
    *, attempts: int, operation: Any, response: tuple[Any, dict[str, Any]] | None, **_: Any
) -> int | None:
    """Return the delay before a request is sent again; None leaves the decision to botocore."""
    seconds = _SECONDS_PER_REQUEST.get(operation.name)
    code = response[1].get("Error", {}).get("Code") if response else None
    if seconds is None or code != "TooManyRequestsException" or attempts > _MAX_WAITS:
        return None
    click.echo(
        f"API Gateway accepts one {operation.name} request every {seconds} s per account. "
        f"Waiting {seconds} s ...",
        err=True,
    )
    return seconds
