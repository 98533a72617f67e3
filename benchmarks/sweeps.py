"""Measures sweeps of many due Reservations in a Lambda function, with stubs for all services."""

import json
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import inputs, stubs
from benchmarks.programs import Program
from benchmarks.report import Figure
from chalicelib.usecases.run_budget import CONCURRENCY

LATENCY_SECONDS = 0.1
"""Time that TaskRouter takes for a request."""

MIN_THROUGHPUT = 0.85
"""Minimum throughput of a sweep, relative to CONCURRENCY requests at a time without pauses."""

_DUE_RESERVATIONS = 400
_BACKLOGS = (1_000, 100_000)
_MAX_CHECKS = 2_500
"""Number of checks after which TaskRouter throttles a sweep, so that the sweep ends. A sweep reads
1,000 due Reservations at a time, so a sweep of the large backlog needs at least three reads."""
_MAX_MEMORY_RATIO = 1.1

_TIMEOUT_SECONDS = 240
"""Time limit for a sweep. The limit is high enough for a busy machine."""

_RETRIED_ERROR = "TaskRouterUnavailable"
"""The first invocation fails with this error if the stub responds too late on a busy machine."""

_PAGE_SIZE = 1_000
_NOW = 1_790_000_000_000
_EVENT = {
    "version": "0",
    "account": "123456789012",
    "region": "us-east-1",
    "detail": {},
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "time": "2026-09-21T14:13:20Z",
    "id": "0",
    "resources": [],
}


def measure(runtime_folder: Path, app: Program) -> list[Figure]:
    """Measure the throughput of a sweep, and its memory with a small and a large backlog.

    Args:
        runtime_folder: the folder with the packages that Lambda's runtime provides.
        app: the packaged app (`programs.build_app`).
    """
    program = replace(app, handler="app.sweep")
    timed = sweep(program, runtime_folder, due=_DUE_RESERVATIONS, latency_seconds=LATENCY_SECONDS)
    small, large = (sweep(program, runtime_folder, due=due) for due in _BACKLOGS)
    return [
        Figure(
            name=f"sweep of {_DUE_RESERVATIONS} Reservations: time, if TaskRouter takes "
            f"{LATENCY_SECONDS} s",
            value=timed.seconds,
            other=f"{CONCURRENCY} requests at a time without pauses",
            other_value=_DUE_RESERVATIONS / CONCURRENCY * LATENCY_SECONDS,
            unit="s",
            goal=math.floor(100 / MIN_THROUGHPUT) / 100,
        ),
        Figure(
            name=f"sweep: memory, {_BACKLOGS[1]:,} due, {large.checked:,} checked",
            value=large.memory_mb,
            other=f"{_BACKLOGS[0]:,} due, {small.checked:,} checked",
            other_value=small.memory_mb,
            unit="MB",
            goal=_MAX_MEMORY_RATIO,
        ),
    ]


class Sweep(NamedTuple):
    """A measured sweep.

    Attributes:
        seconds: the duration.
        memory_mb: the maximum resident set size, in MB.
        checked: the number of checked Reservations.
    """

    seconds: float
    memory_mb: float
    checked: int


def sweep(
    program: Program,
    runtime_folder: Path,
    *,
    due: int,
    latency_seconds: float = 0,
    max_checks: int = _MAX_CHECKS,
) -> Sweep:
    """Measure a sweep of unchanged pending Reservations, after the cold start.

    Args:
        program: the function.
        runtime_folder: the folder with the packages that Lambda's runtime provides.
        due: number of due Reservations.
        latency_seconds: time that TaskRouter takes for a request.
        max_checks: maximum number of checks.

    Raises:
        RuntimeError: the sweep failed, or checked fewer Reservations than expected.
    """
    services = _Services(latency_seconds, max_checks)
    with stubs.serve(services.respond) as url:
        environ = {"AWS_ENDPOINT_URL": url, "TWILIO_TASKROUTER_URL": url}
        with stubs.function(program, runtime_folder, environ) as function:
            function.await_request()
            event = json.dumps(_EVENT).encode()
            try:
                function.invoke(event, seconds=_TIMEOUT_SECONDS)
            except RuntimeError as error:
                if _RETRIED_ERROR not in str(error):
                    raise
                function.invoke(event, seconds=_TIMEOUT_SECONDS)
            services.due, services.checked = due, 0
            duration = function.invoke(event, seconds=_TIMEOUT_SECONDS)
            expected = min(due, max_checks)
            if services.checked < expected:
                raise RuntimeError(
                    f"The sweep checked {services.checked:,} of {expected:,} records."
                )
            return Sweep(duration.wall, function.memory_mb(), services.checked)


class _Services:
    """Stubs for DynamoDB, SSM and TaskRouter with due Reservations that have not changed."""

    def __init__(self, latency_seconds: float, max_checks: int) -> None:
        self._latency_seconds = latency_seconds
        self._max_checks = max_checks
        self._lock = threading.Lock()
        self.due, self.checked = CONCURRENCY, 0

    def respond(self, target: str, body: bytes) -> stubs.Response:
        name = target.rpartition(".")[2]
        if name == "GetParameter":
            return _ok({"Parameter": {"Value": inputs.SECRETS}})
        if name == "Query":
            return _ok(self._page(json.loads(body)))
        if name == "UpdateItem":
            request = json.loads(body)
            if "id" in request["Key"]:
                return _CONDITION_FAILED  # The reconciliation is not due.
            return _ok(inputs.respond_to_decision(request))
        if name in ("GetItem", "PutItem"):
            return _ok({})  # There are no statistics.
        return self._fetch(target)

    def _page(self, request: Mapping[str, Any]) -> dict[str, Any]:
        # A query for the Reservations created in an hour has no status.
        status = request["ExpressionAttributeValues"].get(":status", {"S": ""})
        if status["S"] != "pending":
            return {"Items": [], "Count": 0, "ScannedCount": 0}
        first = int(request.get("ExclusiveStartKey", {}).get("due_at", {"N": _NOW})["N"]) - _NOW
        numbers = range(first, min(first + _PAGE_SIZE, self.due))
        items = [_due_entry(number) for number in numbers]
        page: dict[str, Any] = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        if numbers.stop < self.due:
            page["LastEvaluatedKey"] = {"due_at": {"N": str(_NOW + numbers.stop)}}
        return page

    def _fetch(self, target: str) -> stubs.Response:
        time.sleep(self._latency_seconds)
        if inputs.STATISTICS_PATH in target:
            return _ok(inputs.WORKSPACE_STATISTICS)
        *_, task_sid, _, sid = target.split()[1].split("/")
        with self._lock:
            if self.checked == self._max_checks:
                return _THROTTLED_RESPONSE
            self.checked += 1
        reservation = {**inputs.remote_reservation("pending"), "sid": sid, "task_sid": task_sid}
        return _ok(reservation)


def _due_entry(number: int) -> dict[str, Any]:
    """Return an entry in the ``due`` index, in DynamoDB's format."""
    texts = {
        "reservation_sid": f"WR{number:032x}",
        "task_sid": f"WT{number:032x}",
        "worker_sid": f"WK{number:032x}",
        "open_as": "pending",
    }
    numbers = {"due_at": _NOW + number, "reserved_at": _NOW, "expires_at": _NOW + 120_000}
    return {
        **{name: {"S": text} for name, text in texts.items()},
        **{name: {"N": str(value)} for name, value in numbers.items()},
    }


def _ok(content: Any) -> stubs.Response:
    return HTTPStatus.OK, json.dumps(content).encode()


_THROTTLED_RESPONSE = (
    HTTPStatus.TOO_MANY_REQUESTS,
    json.dumps({"code": 20429, "message": "Too Many Requests", "status": 429}).encode(),
)
_CONDITION_FAILED = (
    HTTPStatus.BAD_REQUEST,
    json.dumps(
        {
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "message": "The conditional request failed",
        }
    ).encode(),
)
