"""Measures requests that accept a Reservation.

The limit on the app's own time applies to CPU time. pyperf is not used, because it measures the
elapsed time, which also depends on other programs on the machine.
"""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

from chalice.test import Client

from app import app as chalice_app
from benchmarks import inputs, lambda_functions, programs, stubs
from benchmarks.inputs import ENVIRON
from benchmarks.programs import Program
from benchmarks.report import Figure
from chalicelib import config, observability, runtime
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.runtime import SystemClock

WRITES = 2
TASKROUTER_REQUESTS = 1
"""Numbers of DynamoDB writes and of TaskRouter requests that an accept needs."""

OWN_MS = 3
"""Maximum CPU time of an accept, excluding the calls to DynamoDB and TaskRouter."""


def measure(runtime_folder: Path, app: Program, folder: Path, rounds: int) -> list[Figure]:
    """Compare the accept route with a handler that only sends the same requests, and with limits.

    Args:
        runtime_folder: the folder with the packages that Lambda's runtime provides.
        app: the packaged app (`programs.build_app`).
        folder: the folder in which the handler is built.
        rounds: number of invocations per program.
    """
    bare, services = programs.build_accept_handler(folder), Services()
    with stubs.serve(services.respond) as url:
        environ = {"AWS_ENDPOINT_URL": url, "TWILIO_TASKROUTER_URL": url}
        durations = lambda_functions.time_invocations(
            [app, bare], runtime_folder, environ, rounds, event=inputs.accept_event()
        )
        services.requests.clear()
        lambda_functions.time_invocations(
            [app], runtime_folder, environ, 1, event=inputs.accept_event()
        )
    counts = services.count(1 + lambda_functions.WARM_UP)
    return [
        *_time_figures(durations, app, bare),
        _count_figure("writes", counts["UpdateItem"], WRITES),
        _count_figure("requests to TaskRouter", counts["TaskRouter"], TASKROUTER_REQUESTS),
        Figure(
            name="accept: CPU time without requests (median)",
            value=time_own_ms(rounds),
            other="limit",
            other_value=OWN_MS,
            unit="ms",
            goal=1,
        ),
    ]


class Services:
    """Stubs for DynamoDB, SSM and TaskRouter that know only the Reservation in `inputs.RECORD`.

    Args:
        failures: additional fields of the error responses to an invocation's writes, one mapping
            per write whose condition fails. The write after these writes succeeds.

    Attributes:
        requests: number of requests by AWS operation. All requests to TaskRouter are counted
            together.
    """

    def __init__(self, failures: Sequence[Mapping[str, Any]] = ()) -> None:
        self.requests: Counter[str] = Counter()
        self._failures = cycle([*failures, None])

    def respond(self, target: str, body: bytes) -> stubs.Response:
        """Respond to a request to any of the services."""
        # Only requests to TaskRouter are identified by their request lines.
        name = "TaskRouter" if " " in target else target.rpartition(".")[2]
        self.requests[name] += 1
        status, content = self._select_response(name, body)
        return status, json.dumps(content).encode()

    def _select_response(self, name: str, body: bytes) -> tuple[HTTPStatus, Any]:
        if name == "TaskRouter":
            return HTTPStatus.OK, inputs.remote_reservation("accepted")
        if name == "GetParameter":
            return HTTPStatus.OK, {"Parameter": {"Value": inputs.SECRETS}}
        if name != "UpdateItem":
            return HTTPStatus.BAD_REQUEST, {"__type": "UnknownOperationException"}
        failure = next(self._failures)
        if failure is None:
            return HTTPStatus.OK, inputs.respond_to_decision(json.loads(body))
        error = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
        return HTTPStatus.BAD_REQUEST, {"__type": error, **failure}

    def count(self, invocations: int) -> dict[str, float]:
        """Return the numbers of requests per invocation, except requests for secrets.

        Raises:
            RuntimeError: There is no stub for the operation of a request.
        """
        unknown = self.requests.keys() - {"TaskRouter", "GetParameter", "UpdateItem"}
        if unknown:
            raise RuntimeError(f"There are no stubs for these operations: {sorted(unknown)}.")
        return {
            name: number / invocations
            for name, number in self.requests.items()
            if name != "GetParameter"
        }


def time_own_ms(rounds: int) -> float:
    """Return the median CPU time (ms) of an accept, using services that respond immediately."""
    service = runtime.Runtime(config.load({**ENVIRON}), _InstantDynamoDb(), SystemClock())
    vars(service)["taskrouter"] = InstantTaskRouter()
    runtime.use(service)
    path = inputs.ACCEPT_ROUTE.format(sid=inputs.CALLBACK["ReservationSid"])
    headers = {"Authorization": f"Bearer {inputs.supervisor_token()}"}
    with Path(os.devnull).open("w", encoding="utf-8") as null, Client(chalice_app) as client:
        observability.configure("INFO")
        logging.getLogger("taskrouter-callbacks").handlers[0].setStream(null)  # type: ignore[attr-defined]

        def accept() -> None:
            response = client.http.post(path, headers=headers)
            if response.status_code != HTTPStatus.OK:
                raise RuntimeError(f"The app returned {response.body!r}")

        times = [_measure_cpu_seconds(accept) for _ in range(1 + rounds)]
    runtime.use(None)
    return median(times[1:]) * 1000


def _measure_cpu_seconds(function: Callable[[], None]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


class _InstantDynamoDb:
    def update_item(self, **request: Any) -> dict[str, Any]:
        return inputs.respond_to_decision(request)


class InstantTaskRouter:
    """A TaskRouter client without latency that accepts each Reservation."""

    def update_reservation(self, reservation_sid: str, **_options: Any) -> RemoteReservation:
        """Return the accepted Reservation."""
        return RemoteReservation(
            reservation_sid=reservation_sid,
            task_sid=inputs.CALLBACK["TaskSid"],
            worker_sid=inputs.CALLBACK["WorkerSid"],
            worker_name="Alice",
            status=Status.ACCEPTED,
            created_at=1_790_000_000_000,
        )


def _time_figures(
    durations: dict[Program, list[stubs.Duration]], app: Program, bare: Program
) -> Iterable[Figure]:
    for name, attribute in (("time", "wall"), ("CPU time", "cpu")):
        value, other_value = (
            median(getattr(duration, attribute) for duration in durations[program]) * 1000
            for program in (app, bare)
        )
        yield Figure(
            name=f"accept: {name} (median)",
            value=value,
            other=bare.name,
            other_value=other_value,
            unit="ms",
        )


def _count_figure(name: str, value: float, expected: float) -> Figure:
    return Figure(
        name=f"accept: {name}",
        value=value,
        other="necessary",
        other_value=expected,
        unit="",
        goal=1,
    )
