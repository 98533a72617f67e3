"""Calculates the AWS costs of consoles that poll the overview: `python -m benchmarks.polls`.

The polls of a Worker and of a supervisor are measured like the requests for a Reservation
(`benchmarks.costs`). However, the Lambda function uses the local DynamoDB instead of a stub.
"""

import io
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any

import click
from chalice.test import Client

from app import app as chalice_app
from benchmarks import costs, inputs, programs, stubs
from benchmarks.metering import MeteredClient
from benchmarks.programs import Program
from benchmarks.report import to_table
from benchmarks.tables import emulated_tables
from chalicelib import config, observability, runtime
from chalicelib.adapters.dynamodb.client import to_item, utc_hour
from chalicelib.runtime import SystemClock
from local.dynamodb import TableNames

AGENTS = (10, 100, 1_000)
INTERVALS = (3, 15)
"""Seconds between two polls by a visible page, and between two polls by a hidden page."""

HOURS = 176
"""Hours per month that a console is open: 22 days of 8 hours."""

_MEMORY_MB = 1_024
_MILLION = 1_000_000
_WORKER_RECORDS = 200
"""Number of records of the measured Worker: as many as a poll reads."""

_NOW = 1_790_000_000_000
_WORKER = f"WK{0:032x}"
_WARM_UP, _ROUNDS = 5, 30
_TABLES = TableNames("benchmark-reservations", "benchmark-state")


@dataclass(frozen=True)
class Poll:
    """A kind of poll.

    Attributes:
        name: the name in the tables.
        token: the bearer token of the caller.
        is_unchanged: whether the request contains the overview's current ETag.
    """

    name: str
    token: str
    is_unchanged: bool = True


def _polls(open_reservations: int) -> list[Poll]:
    supervisor = f"supervisor, {open_reservations:,} open Reservations"
    polls = [Poll(f"{supervisor}, unchanged", inputs.supervisor_token())]
    if open_reservations == AGENTS[0]:
        worker_token = inputs.token("worker", _WORKER)
        polls.insert(0, Poll("agent, 1 open Reservation, unchanged", worker_token))
        polls.insert(
            1, Poll("agent, 1 open Reservation, changed", worker_token, is_unchanged=False)
        )
    return polls


def measure(
    runtime_folder: Path, app: Program, *, agents: Sequence[int] = AGENTS, rounds: int = _ROUNDS
) -> list[costs.Request]:
    """Measure an agent's polls and, for each number of open Reservations, a supervisor's poll."""
    requests, added = list[costs.Request](), 0
    with emulated_tables(_TABLES) as client:
        _add_worker(client)
        for number in agents:
            for each in range(added + 1, number):
                _put(client, each, f"WK{each:032x}", "pending")
            added = number - 1
            requests += [
                _measure(client, runtime_folder, app, poll, rounds) for poll in _polls(number)
            ]
    return requests


def _add_worker(client: Any) -> None:
    """Add the records and the Activity of the measured Worker. One record is pending."""
    for number in range(_WORKER_RECORDS):
        _put(client, 10**9 - number, _WORKER, "completed" if number else "pending")
    activity = {
        "id": f"activity#{_WORKER}",
        "worker_name": "Alice",
        "activity_sid": f"WA{0:032x}",
        "activity_name": "Available",
        "changed_at": _NOW,
        "ttl": _NOW // 1000,
    }
    client.put_item(TableName=_TABLES.state, Item=to_item(activity))


def _put(client: Any, number: int, worker_sid: str, status: str) -> None:
    defaults = {name: value for name, value in inputs.RECORD.items() if name not in _OPEN_ONLY}
    keys: dict[str, Any] = {
        "reservation_sid": f"WR{number:032x}",
        "worker_sid": worker_sid,
        "worker_name": "Alice",
        "reserved_at": _NOW + number,
        "hour": utc_hour(_NOW),
        "status": status,
    }
    if status == "pending":
        keys |= {"open_as": status, "due_at": _NOW + 130_000 + number}
    client.put_item(TableName=_TABLES.reservations, Item={**defaults, **to_item(keys)})


_OPEN_ONLY = ("open_as", "due_at")


def _measure(
    client: Any, runtime_folder: Path, app: Program, poll: Poll, rounds: int
) -> costs.Request:
    headers = {"Authorization": f"Bearer {poll.token}"}
    with _serving(client) as (http, metered, log):
        first = http.get(inputs.OVERVIEW_PATH, headers=headers)
        if poll.is_unchanged:
            headers["If-None-Match"] = first.headers["ETag"]
        metered.reset()
        before = log.tell()
        response = http.get(inputs.OVERVIEW_PATH, headers=headers)
        expected = HTTPStatus.NOT_MODIFIED if poll.is_unchanged else HTTPStatus.OK
        if response.status_code != expected:
            raise RuntimeError(f"{poll.name}: the app returned {response.body!r}")
        usage, log_bytes = metered.reset(), log.tell() - before
    return costs.Request(
        name=poll.name,
        usage=usage,
        log_bytes=log_bytes,
        response_bytes=len(response.body),
        function=_measure_function(client, runtime_folder, app, headers, rounds),
    )


@contextmanager
def _serving(client: Any) -> Iterator[tuple[Any, MeteredClient, io.StringIO]]:
    """Run the app in this process; yield its HTTP client, its DynamoDB client and its log."""
    environ = {**inputs.ENVIRON, **_table_environ()}
    metered, log = MeteredClient(client), io.StringIO()
    observability.configure("INFO")
    logging.getLogger("taskrouter-callbacks").handlers[0].setStream(log)  # type: ignore[attr-defined]
    runtime.use(runtime.Runtime(config.load(environ), metered, SystemClock()))
    try:
        with Client(chalice_app) as app_client:
            yield app_client.http, metered, log
    finally:
        runtime.use(None)


def _table_environ() -> dict[str, str]:
    return {"RESERVATIONS_TABLE": _TABLES.reservations, "STATE_TABLE": _TABLES.state}


def _measure_function(
    client: Any, runtime_folder: Path, app: Program, headers: dict[str, str], rounds: int
) -> costs.FunctionUsage:
    """Measure the app as a Lambda function with the local DynamoDB."""
    event = inputs.poll_event(headers)

    def respond(_target: str, _body: bytes) -> stubs.Response:
        return HTTPStatus.OK, json.dumps({"Parameter": {"Value": inputs.SECRETS}}).encode()

    with stubs.serve(respond) as url:
        environ = {
            **_table_environ(),
            "AWS_ENDPOINT_URL_SSM": url,
            "AWS_ENDPOINT_URL_DYNAMODB": client.meta.endpoint_url,
        }
        with stubs.function(app, runtime_folder, environ) as function:
            function.await_request()
            start_ms = function.cpu_seconds() * 1000
            cpu_ms = [function.invoke(event).cpu * 1000 for _ in range(_WARM_UP + rounds)]
            memory_mb = function.memory_mb()
    status = json.loads(function.response)["statusCode"]
    if status not in (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED):
        raise RuntimeError(f"The function returned {function.response!r}")
    return costs.FunctionUsage(median(cpu_ms[_WARM_UP:]), start_ms + cpu_ms[0], memory_mb)


def render(
    requests: Sequence[costs.Request],
    prices: costs.Prices,
    assumed: costs.Assumptions,
    agents: Sequence[int] = AGENTS,
) -> str:
    """Return tables of the polls and of the costs per month, in Markdown."""
    rows: list[tuple[str, ...]] = [
        ("poll", "DynamoDB requests", "read units", "response", "log line", "CPU time", "memory",
         f"billed at {_MEMORY_MB:,} MB", "cost per million polls")
    ]  # fmt: skip
    for request in requests:
        cost = costs.calculate([request], _MEMORY_MB, prices, assumed)
        rows.append(
            (
                request.name,
                f"{request.usage.requests.total()}",
                f"{request.usage.read_units:g}",
                f"{request.response_bytes:,} B",
                f"{request.log_bytes} B",
                f"{request.function.cpu_ms:.1f} ms",
                f"{request.function.memory_mb:.0f} MB",
                f"{request.billed_ms(_MEMORY_MB, assumed):.0f} ms",
                f"${sum(cost.values()):.2f}",
            )
        )
    return f"{to_table(rows)}\n\n{_render_months(requests[0], prices, assumed, agents)}"


def _render_months(
    poll: costs.Request, prices: costs.Prices, assumed: costs.Assumptions, agents: Sequence[int]
) -> str:
    """Return a table of the monthly costs of polls by agents whose overview does not change."""
    costs_per_million = costs.calculate([poll], _MEMORY_MB, prices, assumed)
    columns = [(number, seconds) for seconds in INTERVALS for number in agents]
    million_polls = [number * HOURS * 3_600 / seconds / _MILLION for number, seconds in columns]
    head = [f"{number:,} agents, every {seconds} s" for number, seconds in columns]
    rates = [f"{float(f'{number / seconds:.2g}'):g}" for number, seconds in columns]
    rows: list[tuple[str, ...]] = [
        ("per month", *head),
        ("polls per second", *rates),
        ("million polls", *(f"{number:.2f}" for number in million_polls)),
    ]
    for name, cost in costs_per_million.items():
        if cost:
            rows.append((name, *(f"${cost * number:,.2f}" for number in million_polls)))
    total = sum(costs_per_million.values())
    return to_table([*rows, ("total", *(f"${total * number:,.2f}" for number in million_polls))])


def report(
    runtime_folder: Path, app: Program, prices: costs.Prices, assumed: costs.Assumptions
) -> str:
    """Measure the polls, and return tables of the polls and of the costs."""
    return render(measure(runtime_folder, app), prices, assumed)


@click.command()
def main() -> None:
    """Measure the polls that consoles send, and print the monthly costs."""
    with tempfile.TemporaryDirectory() as name:
        runtime_folder = programs.build_runtime(Path(name) / "runtime")
        app = programs.build_app(Path(name) / "this", inputs.lambda_environ())
        click.echo(report(runtime_folder, app, costs.Prices(), costs.Assumptions()))


if __name__ == "__main__":
    main()
