"""Lambda's limit on concurrent executions, and the resulting limits of a stage.

A function that takes D seconds per request can process C / D requests per second with C concurrent
executions. A new AWS account may be limited to 10 concurrent executions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.usecases.deadlines import REQUEST_LIMIT_MS
from infra import OperatorError
from infra.aws import Aws
from infra.aws.stage_config import API, SWEEP, Stage

QUOTA_CODE = "L-B99A9384"
"""Code of the quota "Concurrent executions" in Service Quotas."""

SUFFICIENT_CONCURRENCY = 100
"""Minimum concurrency at which callbacks and methods with the default throttle have full rates.

The rates of events and of some other methods are still reduced.
"""

_KEPT_UNRESERVED = 100
"""Concurrency that Lambda keeps for functions without reserved concurrency."""

_DESIRED_LIMIT = 1_000
"""The limit to request; Lambda's default for accounts that are not new."""


@dataclass(frozen=True)
class Throttle:
    """An API Gateway throttle.

    Attributes:
        rate: Steady-state limit, in requests per second.
        burst: Maximum number of concurrent requests (the capacity of the token bucket).
    """

    rate: float
    burst: int


# API Gateway's quota for all APIs of an account and region is 10,000 requests per second. In some
# regions, the quota is only 2,500, with a burst of 1,250. Routes that Twilio does not call get a
# small part of these quotas.
MAX_CALLBACK_THROTTLE = Throttle(rate=1_000, burst=1_000)
MAX_DEFAULT_THROTTLE = Throttle(rate=50, burst=100)

CALLBACK_SECONDS = 0.1
"""Assumed mean duration of a request from Twilio, usually with one or two DynamoDB writes."""

WAITING_SECONDS = REQUEST_LIMIT_MS / 1000
"""Maximum time that a request waits for TaskRouter."""

DEFAULT_SECONDS = 0.5
"""Assumed mean duration of a request that waits for DynamoDB, but not for TaskRouter."""

_WAITING_SHARE = 0.6
"""Combined share of the concurrency for all methods that may wait for TaskRouter."""

_DEFAULT_SHARE = 0.25
"""Share of the concurrency that each method with the default throttle may use."""

_PAGE_SHARE = 0.05
"""Share of the concurrency for each method that a console calls only when its page is loaded.

Anyone can call these methods, because they require no token. Lambda accepts at most 10 requests per
second per unit of concurrency. The share is so small that the total rate of all methods that Twilio
does not call stays below Lambda's limit, provided that the concurrency is at least 2.
"""

_SUPERVISOR_SHARE = 0.01
"""Share of the concurrency for each method that reads records for supervisors and services.

Searches of the callback log have a separate share. A share of 0.05 would be too large: with a
concurrency of 2, the total rate of the methods that Twilio does not call would exceed the rate that
Lambda accepts.
"""

_LOG_SHARE = 0.02
"""Share of the concurrency for searches of the callback log, which wait for CloudWatch Logs."""

_EVENT_SHARE = 0.1
"""Share of the concurrency that events may use, except during a burst."""

_EVENT_BURST_SHARE = 0.2
"""Share of the concurrency that a burst of events may use."""

_POLLS_PER_SECOND = 0.5
"""Polls per agent: one every 3 s, plus 50% for additional tabs and for supervisors."""

_PAGE_REQUESTS = 6
"""Number of requests that a console sends to one method at once, to load a new version's files. An
agent's page loads the script, the style sheet, the timer, both icons and, unless the language is
English, the texts."""

_ALARM_SHARE = 0.8
"""Share of the concurrency at which the ConcurrencyHigh alarm is triggered."""


def read_concurrency(aws: Aws, stage: Stage) -> int:
    """Return the concurrency that the API's function can use after a deployment.

    This is the function's reserved concurrency, if configured. Otherwise, it is the account's
    unreserved concurrency, which all functions without a reservation share.

    Raises:
        OperatorError: Lambda would refuse the reserved concurrency of the stage's functions.
    """
    functions = aws.client("lambda")
    limits = functions.get_account_settings()["AccountLimit"]
    # The deployment replaces the current reservations of the stage's functions.
    free = limits["UnreservedConcurrentExecutions"] + sum(
        _read_reservation(functions, stage.function(handler)) for handler in (API, SWEEP)
    )
    configured = {API: stage.reserved_concurrency, SWEEP: stage.reserved_sweep_concurrency}
    reservations = {handler: number for handler, number in configured.items() if number is not None}
    unreserved = int(free) - sum(reservations.values())
    if reservations and unreserved < _KEPT_UNRESERVED:
        limit = limits["ConcurrentExecutions"]
        raise _concurrency_error(aws, stage, reservations, limit=limit, free=free)
    return reservations.get(API, unreserved)


def _read_reservation(functions: Any, name: str) -> int:
    """Return the reserved concurrency of a function; 0 if it has none or does not exist."""
    try:
        response = functions.get_function_concurrency(FunctionName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return 0
    return int(response.get("ReservedConcurrentExecutions", 0))


def _concurrency_error(
    aws: Aws, stage: Stage, reservations: Mapping[str, int], *, limit: int, free: int
) -> OperatorError:
    numbers = " and ".join(f"{number} for {handler}" for handler, number in reservations.items())
    maximum = max(0, free - _KEPT_UNRESERVED)
    remedy = f"Reserve at most {maximum} in total" if maximum else "Remove reserved_concurrency"
    needed = limit + sum(reservations.values()) + _KEPT_UNRESERVED - free
    return OperatorError(
        f"Stage {stage.name} sets reserved_concurrency to {numbers}, but Lambda allows only "
        f"{limit} concurrent executions in account {aws.account}, {aws.region}. Other functions "
        f"have reserved {limit - free} of these, and Lambda requires {_KEPT_UNRESERVED} to remain "
        f"unreserved. {remedy}, or {_describe_request(max(_DESIRED_LIMIT, needed))}"
    )


def _describe_request(concurrency: int) -> str:
    return (
        "request a higher limit: aws service-quotas request-service-quota-increase --service-code "
        f"lambda --quota-code {QUOTA_CODE} --desired-value {concurrency}"
    )


def describe_low_concurrency(
    aws: Aws, stage: Stage, concurrency: int, accept: Throttle
) -> str | None:
    """Return a hint if low unreserved concurrency limits the callback rates; otherwise None.

    Args:
        aws: The account and region.
        stage: The stage to deploy.
        concurrency: See `read_concurrency`.
        accept: The throttle of accept requests. Agents notice this limit first.
    """
    if concurrency >= SUFFICIENT_CONCURRENCY or stage.reserved_concurrency is not None:
        return None
    agents = stage.settings.console_agents
    admitted = int(console_throttle(concurrency, agents).rate / _POLLS_PER_SECOND)
    consoles = (
        f"The consoles of only about {admitted} agents can poll at the same time, although "
        f"CONSOLE_AGENTS is {agents}. "
    )
    # Lambda refuses reservations that would leave less than _KEPT_UNRESERVED unreserved. If less is
    # unreserved, the account's limit is too low, and releasing reservations would not help.
    return (
        f"Functions without reserved concurrency share only {concurrency} concurrent executions in "
        f"account {aws.account}, {aws.region}, so each callback route is limited to "
        f"{callback_throttle(concurrency).rate:g} requests/s, events to "
        f"{event_throttle(concurrency).rate:g}, accept requests to "
        f"{accept.rate:g} with bursts of {accept.burst}, and other methods to at most "
        f"{default_throttle(concurrency).rate:g}. {consoles if admitted < agents else ''}To raise "
        f"these limits, "
        f"{_describe_request(_DESIRED_LIMIT)}"
    )


def callback_throttle(concurrency: int) -> Throttle:
    """Return the throttle of each route that Twilio calls, except events."""
    return _throttle(concurrency, CALLBACK_SECONDS, MAX_CALLBACK_THROTTLE)


def event_throttle(concurrency: int) -> Throttle:
    """Return the throttle of TaskRouter's events.

    TaskRouter posts several events per callback, but a callback is more important. If a callback is
    refused, the Reservation gets no instruction. If an event is refused, the reconciliation later
    records the status that the event reported. Events therefore get a smaller share.
    """
    maximum = MAX_CALLBACK_THROTTLE
    return Throttle(
        rate=min(maximum.rate, round(concurrency * _EVENT_SHARE / CALLBACK_SECONDS)),
        burst=min(maximum.burst, max(1, int(concurrency * _EVENT_BURST_SHARE))),
    )


def console_throttle(concurrency: int, agents: int) -> Throttle:
    """Return the throttle of the method that the consoles of all agents poll.

    Polls use at most 5% of the concurrency, half as much as events. Except during a burst,
    saturating this throttle therefore leaves 95% of the concurrency to other requests.

    Args:
        concurrency: See `read_concurrency`.
        agents: The number of agents whose consoles poll at the same time.
    """
    limit = event_throttle(concurrency)
    return Throttle(rate=min(limit.rate / 2, agents * _POLLS_PER_SECOND), burst=limit.burst)


def waiting_throttle(concurrency: int, share: float) -> Throttle:
    """Return the throttle of a method that may wait for TaskRouter.

    Args:
        concurrency: See `read_concurrency`.
        share: The method's share of the executions of all such methods.
    """
    return _limit_executions(concurrency * _WAITING_SHARE * share)


def log_throttle(concurrency: int) -> Throttle:
    """Return the throttle of the method that searches the callback log.

    A search takes at most as long as a request that waits for TaskRouter.
    """
    return _limit_executions(concurrency * _LOG_SHARE)


def _limit_executions(number: float) -> Throttle:
    """Return the throttle of a method whose requests take up to WAITING_SECONDS.

    In T seconds, a token bucket admits at most burst + rate * T requests. Even if each of them
    takes as long as possible, the method uses at most max(1, int(number)) executions.
    """
    executions = max(1, int(number))
    burst = executions // 2 + 1
    # The highest rate, to two decimal places, that admits fewer than `executions + 1` requests.
    rate = (math.ceil(100 * (executions + 1 - burst) / WAITING_SECONDS) - 1) / 100
    maximum = MAX_DEFAULT_THROTTLE
    return Throttle(rate=min(maximum.rate, rate), burst=min(maximum.burst, burst))


def default_throttle(concurrency: int) -> Throttle:
    """Return the default throttle, for methods that wait for DynamoDB, but not for TaskRouter."""
    return _throttle(concurrency * _DEFAULT_SHARE, DEFAULT_SECONDS, MAX_DEFAULT_THROTTLE)


def page_throttle(concurrency: int, agents: int) -> Throttle:
    """Return the throttle of each method that a console calls only when its page is loaded.

    When a shift starts, the pages of all agents are loaded within a short time. The burst does not
    depend on the concurrency, because these requests wait neither for DynamoDB nor for TaskRouter.

    Args:
        concurrency: See `read_concurrency`.
        agents: See `console_throttle`.
    """
    throttle = _throttle(concurrency * _PAGE_SHARE, DEFAULT_SECONDS, MAX_DEFAULT_THROTTLE)
    burst = min(MAX_DEFAULT_THROTTLE.burst, agents * _PAGE_REQUESTS)
    return Throttle(rate=throttle.rate, burst=burst)


def supervisor_throttle(concurrency: int) -> Throttle:
    """Return the throttle of each method that reads records for supervisors and services.

    Searches of the callback log have a separate throttle, `log_throttle`. A burst may be as large
    as with the default throttle.
    """
    throttle = _throttle(concurrency * _SUPERVISOR_SHARE, DEFAULT_SECONDS, MAX_DEFAULT_THROTTLE)
    return Throttle(rate=throttle.rate, burst=default_throttle(concurrency).burst)


def _throttle(concurrency: float, mean_seconds: float, maximum: Throttle) -> Throttle:
    return Throttle(
        rate=min(maximum.rate, round(concurrency / mean_seconds, 2)),
        burst=min(maximum.burst, max(1, int(concurrency))),
    )


def alarm_threshold(concurrency: int) -> int:
    """Return the number of concurrent executions at which ConcurrencyHigh is triggered."""
    return max(1, round(concurrency * _ALARM_SHARE))
