"""Calculates what a million Reservations cost on AWS: `python -m benchmarks.costs --help`.

The requests for one Reservation are measured: an assignment callback, an accept over REST, and the
events `created`, `accepted`, `wrapup` and `completed`. The prices are options, and so are the
times, sizes and ratios that the benchmarks do not measure.
"""

import json
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import click
from chalice.test import Client

from app import app as chalice_app
from benchmarks import inputs, programs, stubs
from benchmarks.accepts import InstantTaskRouter, Services
from benchmarks.metering import MeteredClient, Usage
from benchmarks.programs import Program
from benchmarks.tables import BenchmarkTables
from chalicelib import observability, runtime

MEMORY_SIZES = (512, 1_024, 1_769)
"""Memory sizes to compare for the function, in MB."""

_VCPU_MB = 1_769
"""Memory size at which a function has one vCPU. The CPU share is proportional to the memory.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

_MB_PER_GB = 1_024
_MILLION = 1_000_000
_WARM_UP = 10
_ROUNDS = 100
_SUCCESS_STATUSES = {200, 204}
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"


def _option(default: float, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Prices:
    """List prices in us-east-1, in US dollars, excluding free tiers and discounts."""

    lambda_gb_second: float = _option(0.0000166667, f"Lambda, x86, per GB-second. {_LAMBDA}")
    lambda_million: float = _option(0.20, f"Lambda, per million requests. {_LAMBDA}")
    api_million: float = _option(
        3.50, "REST API, per million requests. https://aws.amazon.com/api-gateway/pricing/"
    )
    write_million: float = _option(0.625, f"Per million write request units. {_DYNAMODB}")
    read_million: float = _option(0.125, f"Per million read request units. {_DYNAMODB}")
    storage_gb: float = _option(
        0.45, f"Storage, per GB-month: 0.25 plus 0.20 for point-in-time recovery. {_DYNAMODB}"
    )
    log_gb: float = _option(
        0.50, "CloudWatch Logs, per GB. https://aws.amazon.com/cloudwatch/pricing/"
    )
    transfer_gb: float = _option(
        0.09, "Data transfer out, per GB. https://aws.amazon.com/ec2/pricing/on-demand/"
    )


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Times, sizes and ratios that the benchmarks do not measure."""

    dynamodb_ms: float = _option(5, "Duration of a request to DynamoDB, in ms.")
    taskrouter_ms: float = _option(100, "Duration of a request to TaskRouter, in ms.")
    cold_start_ratio: float = _option(0.01, "Fraction of requests that incur a cold start.")
    platform_log_bytes: float = _option(300, "Size of Lambda's own log lines for a request.")
    header_bytes: float = _option(500, "Size of a response's headers.")
    months: float = _option(1, "Number of months that a record is stored (RETENTION_DAYS).")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A measured request.

    Attributes:
        name: the name of the request, such as ``accept``.
        usage: the DynamoDB requests and units.
        log_bytes: size of the app's log lines.
        response_bytes: size of the response's body.
        function: CPU time and memory used by the function.
    """

    name: str
    usage: Usage
    log_bytes: int
    response_bytes: int
    function: "FunctionUsage"

    def billed_ms(self, memory_mb: int, assumed: Assumptions) -> float:
        """Return the billed duration (ms) of the request with *memory_mb* of memory."""
        slowdown = max(1, _VCPU_MB / memory_mb)
        waits_ms = self.usage.requests.total() * assumed.dynamodb_ms
        if self.name == "accept":
            waits_ms += assumed.taskrouter_ms
        start_ms = assumed.cold_start_ratio * self.function.start_cpu_ms
        return math.ceil(self.function.cpu_ms * slowdown + waits_ms) + start_ms * slowdown


@dataclass(frozen=True)
class FunctionUsage:
    """CPU time and memory used by the function.

    Attributes:
        cpu_ms: CPU time of a request.
        start_cpu_ms: CPU time of a cold start.
        memory_mb: maximum resident set size (MB).
    """

    cpu_ms: float
    start_cpu_ms: float
    memory_mb: float


def report(runtime_folder: Path, app: Program, prices: Prices, assumed: Assumptions) -> str:
    """Measure the requests for a Reservation, and return tables of the requests and the costs."""
    return render(measure(runtime_folder, app), prices, assumed)


def measure(runtime_folder: Path, app: Program, rounds: int = _ROUNDS) -> list[Request]:
    """Measure the requests for a Reservation."""
    with BenchmarkTables.create() as tables:
        measured = [*measure_usage(tables)]
    return [
        Request(
            name=name,
            usage=usage,
            log_bytes=log_bytes,
            response_bytes=response_bytes,
            function=measure_function(runtime_folder, app, name, usage, rounds),
        )
        for name, usage, log_bytes, response_bytes in measured
    ]


def measure_function(
    runtime_folder: Path, app: Program, name: str, usage: Usage, rounds: int
) -> FunctionUsage:
    """Measure the app as a Lambda function, with stubs for all services.

    Args:
        runtime_folder: the folder with the packages that Lambda's runtime provides.
        app: the packaged app (`programs.build_app`).
        name: the name of the request.
        usage: the DynamoDB requests that the app sends for this request.
        rounds: number of invocations.

    Raises:
        RuntimeError: The function refused the request, or did not send the expected number of
            writes.
    """
    services, event = Services(_FAILED_WRITES.get(name, ())), _event(name)
    with stubs.serve(services.respond) as url:
        environ = {"AWS_ENDPOINT_URL": url, "TWILIO_TASKROUTER_URL": url}
        with stubs.function(app, runtime_folder, environ) as function:
            function.await_request()
            start_ms = function.cpu_seconds() * 1000
            cpu_ms = [function.invoke(event).cpu * 1000 for _ in range(_WARM_UP + rounds)]
            # The first invocation is part of the cold start: an accept imports Twilio's SDK.
            start_ms += cpu_ms[0]
            memory_mb = function.memory_mb()
    if json.loads(function.response)["statusCode"] not in _SUCCESS_STATUSES:
        raise RuntimeError(f"{name}: the function returned {function.response!r}")
    writes, expected = services.count(len(cpu_ms))["UpdateItem"], usage.requests["update_item"]
    if writes != expected:
        raise RuntimeError(f"{name}: the function sent {writes:g} writes instead of {expected}.")
    return FunctionUsage(median(cpu_ms[_WARM_UP:]), start_ms, memory_mb)


def _event(name: str) -> bytes:
    kind, _, status = name.partition(" ")
    if kind == "event":
        return inputs.status_event(status)
    return inputs.accept_event() if kind == "accept" else inputs.callback_event()


_FAILED_WRITES: dict[str, list[dict[str, Any]]] = {
    "event created": [{}],  # The record does not exist yet.
    "event wrapup": [{"Item": inputs.RECORD}],  # The record has no live claim.
}
"""Additional fields of DynamoDB's error responses to writes whose conditions fail, by request."""


def measure_usage(tables: BenchmarkTables) -> Iterator[tuple[str, Usage, int, int]]:
    """Send the requests for a Reservation to the app.

    Args:
        tables: the app's tables in the local DynamoDB.

    Yields:
        The name of a request, its usage, and the sizes of its log lines and its response.
    """
    service = tables.make_runtime()
    vars(service)["taskrouter"] = InstantTaskRouter()
    metered: MeteredClient = service.dynamodb
    log = StringIO()
    observability.configure("INFO")
    logging.getLogger("taskrouter-callbacks").handlers[0].setStream(log)  # type: ignore[attr-defined]
    runtime.use(service)
    with Client(chalice_app) as client:
        for name, send in _requests(client.http):
            metered.reset()
            before = log.tell()
            response = send()
            if response.status_code not in _SUCCESS_STATUSES:
                raise RuntimeError(f"{name}: the app returned {response.body!r}")
            yield name, metered.reset(), log.tell() - before, len(response.body)
    runtime.use(None)


def _requests(http: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of each request for a Reservation, and a function that sends the request."""

    def post_form(path: str, form: dict[str, str]) -> Callable[[], Any]:
        headers, body = inputs.sign(path, form)
        return lambda: http.post(path, headers=headers, body=body.encode())

    def accept() -> Any:
        path = inputs.ACCEPT_ROUTE.format(sid=inputs.CALLBACK["ReservationSid"])
        headers = {"Authorization": f"Bearer {inputs.supervisor_token()}"}
        return http.post(path, headers=headers)

    yield "event created", post_form(inputs.EVENT_PATH, inputs.event_form("created"))
    yield "callback", post_form(inputs.PATH, inputs.CALLBACK)
    yield "accept", accept
    for status in ("accepted", "wrapup", "completed"):
        yield f"event {status}", post_form(inputs.EVENT_PATH, inputs.event_form(status))


def calculate(
    requests: Sequence[Request], memory_mb: int, prices: Prices, assumed: Assumptions
) -> dict[str, float]:
    """Return the costs of a million Reservations by service, in US dollars."""
    gb_per_million = _MILLION / 10**9
    billed_ms = sum(request.billed_ms(memory_mb, assumed) for request in requests)
    gb_seconds = billed_ms * _MILLION / 1000 * memory_mb / _MB_PER_GB
    log_bytes = sum(request.log_bytes + assumed.platform_log_bytes for request in requests)
    sent_bytes = sum(request.response_bytes + assumed.header_bytes for request in requests)
    stored_bytes = max(request.usage.item_bytes for request in requests)
    return {
        "API Gateway": len(requests) * prices.api_million,
        "Lambda, requests": len(requests) * prices.lambda_million,
        "Lambda, duration": gb_seconds * prices.lambda_gb_second,
        "DynamoDB, writes": _sum(requests, "write_units") * prices.write_million,
        "DynamoDB, reads": _sum(requests, "read_units") * prices.read_million,
        "DynamoDB, storage": stored_bytes * gb_per_million * prices.storage_gb * assumed.months,
        "CloudWatch Logs": log_bytes * gb_per_million * prices.log_gb,
        "data transfer": sent_bytes * gb_per_million * prices.transfer_gb,
    }


def _sum(requests: Sequence[Request], attribute: str) -> float:
    return sum(float(getattr(request.usage, attribute)) for request in requests)


def render(requests: Sequence[Request], prices: Prices, assumed: Assumptions) -> str:
    """Return tables of the measured requests and of the costs, in Markdown."""
    rows = [("request", "DynamoDB requests", "write units", "read units", "log line", "CPU time",
             "memory", *(f"billed at {size:,} MB" for size in MEMORY_SIZES))]  # fmt: skip
    rows += [
        (
            request.name,
            f"{request.usage.requests.total()}",
            f"{request.usage.write_units:g}",
            f"{request.usage.read_units:g}",
            f"{request.log_bytes} B",
            f"{request.function.cpu_ms:.1f} ms",
            f"{request.function.memory_mb:.0f} MB",
            *(f"{request.billed_ms(size, assumed):.0f} ms" for size in MEMORY_SIZES),
        )
        for request in requests
    ]
    costs = [calculate(requests, size, prices, assumed) for size in MEMORY_SIZES]
    head = ("cost per million Reservations", *(f"{size:,} MB" for size in MEMORY_SIZES))
    lines = [(name, *(f"${cost[name]:.2f}" for cost in costs)) for name in costs[0]]
    total = ("total", *(f"${sum(cost.values()):.2f}" for cost in costs))
    return f"{_table(rows)}\n\n{_table([head, *lines, total])}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_Command = TypeVar("_Command", bound=Callable[..., Any])


def _with_options(command: _Command) -> _Command:
    for each in reversed((*fields(Prices), *fields(Assumptions))):
        name = f"--{each.name.replace('_', '-')}"
        add = click.option(
            name, default=each.default, show_default=True, help=each.metadata["help"]
        )
        command = add(command)
    return command


@click.command()
@_with_options
def main(**options: float) -> None:
    """Measure the requests for a Reservation, and print what a million Reservations cost."""
    prices = Prices(**{each.name: options[each.name] for each in fields(Prices)})
    assumed = Assumptions(**{each.name: options[each.name] for each in fields(Assumptions)})
    with tempfile.TemporaryDirectory() as name:
        runtime_folder = programs.build_runtime(Path(name) / "runtime")
        app = programs.build_app(Path(name) / "this", inputs.lambda_environ())
        click.echo(report(runtime_folder, app, prices, assumed))


if __name__ == "__main__":
    main()
