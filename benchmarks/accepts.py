"""Measures requests that accept a Reservation.

The limit of the app's own time applies to CPU time. The elapsed time, which pyperf measures, also
depends on other programs on the machine.
"""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
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
"""Number of DynamoDB writes and of requests to TaskRouter that an accept needs."""

OWN_MS = 3
"""Maximum CPU time of an accept, excluding the calls to DynamoDB and TaskRouter."""


def measure(runtime_folder: Path, app: Program, folder: Path, rounds: int) -> list[Figure]:
    """Compare accepts with a handler that only sends the same requests.

    Args:
        runtime_folder: the folder with the packages that Lambda's runtime provides.
        app: this app.
        folder: a folder for the other program.
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
    invocations = 1 + lambda_functions.WARM_UP
    return [
        *_time_figures(durations, app, bare),
        _count_figure("writes", services.requests["UpdateItem"] / invocations, WRITES),
        _count_figure(
            "requests to TaskRouter", services.requests["POST"] / invocations, TASKROUTER_REQUESTS
        ),
        Figure(
            name="accept: own CPU time, without calls (median)",
            value=time_own_ms(rounds),
            other="limit",
            other_value=OWN_MS,
            unit="ms",
            goal=1,
        ),
    ]


class Services:
    """Stubs of DynamoDB, SSM and TaskRouter for accepts of the Reservation in `inputs.RECORD`.

    Attributes:
        requests: number of requests by AWS operation or HTTP method.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()

    def respond(self, target: str, body: bytes) -> stubs.Response:
        """Respond to a request to any of the services."""
        name = (
            target.rpartition(".")[2]
            if target.endswith(_OPERATIONS)
            else target.split(maxsplit=1)[0]
        )
        self.requests[name] += 1
        if name == "GetParameter":
            content: Any = {"Parameter": {"Value": inputs.SECRETS}}
        elif name in _OPERATIONS:
            content = inputs.respond_to_decision(json.loads(body))
        else:
            content = inputs.remote_reservation("accepted")
        return HTTPStatus.OK, json.dumps(content).encode()


_OPERATIONS = ("GetParameter", "UpdateItem")


def time_own_ms(rounds: int) -> float:
    """Return the median CPU time (ms) of an accept in this process, without waits for services."""
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

        times = [_time(accept) for _ in range(1 + rounds)]
    runtime.use(None)
    return median(times[1:]) * 1000


def _time(function: Callable[[], None]) -> float:
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
