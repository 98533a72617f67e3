"""Compares the local stack under HTTP load with a bare server that writes with boto3.

Both servers run on this machine, together with the local DynamoDB and the load generator. Lambda
runs concurrent requests in separate execution environments, so these figures do not apply to AWS.
"""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from benchmarks.inputs import CALLBACK, PATH
from benchmarks.report import Figure
from local import network, stack, supervisor

_CONNECTIONS = (1, 8, 64)
_REPETITIONS = 3
"""Number of measurements per server for each number of connections. The servers take turns."""
_PROGRAMS = ("the API", "the local DynamoDB", "the load generator", "all programs")

_BARE_SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import boto3
from botocore.config import Config
client = boto3.client("dynamodb", config=Config(max_pool_connections=64))
class Server(ThreadingHTTPServer):
    request_queue_size = 128
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        self.respond()
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sid = body.partition("ReservationSid=")[2][:34]
        item = {"reservation_sid": {"S": sid}, "body": {"S": body}}
        client.put_item(TableName="reservations", Item=item)
        self.respond()
    def respond(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *args):
        pass
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class _Server(NamedTuple):
    name: str
    port: int


@dataclass
class _Load:
    """Measurements of one server with a given number of connections.

    Attributes:
        times_ms: Times from sending a request to receiving its response.
        rates: Requests per second in each measurement.
        cores: Cores used by the programs in ``_PROGRAMS``, in each measurement.
    """

    times_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cores: list[list[float]] = field(default_factory=list)


def measure(requests: int) -> list[Figure]:
    """Post signed callbacks for distinct Reservations over 1, 8 and 64 connections.

    Args:
        requests: Number of requests in each measurement.
    """
    environ = {**_minimal_environ(), "LOG_LEVEL": "INFO"}
    described = stack.describe(environ)
    programs = (described.program("dynamodb"), described.program("api"))
    local_stack = replace(described, programs=programs)
    callbacks = _callbacks(local_stack)
    loads: dict[tuple[str, int], _Load] = {}
    with supervisor.running(local_stack) as running, _bare_server(local_stack) as bare:
        app = _Server("this app", local_stack.port("API_PORT"))
        groups = [running.processes[name].popen.pid for name in ("api", "dynamodb")]
        for server in (app, bare):
            asyncio.run(_send(server, callbacks, max(_CONNECTIONS), _Load(), requests))
        for connections in _CONNECTIONS * _REPETITIONS:
            for server in (app, bare):
                load = loads.setdefault((server.name, connections), _Load())
                before, started = cpu_seconds(groups), time.perf_counter()
                asyncio.run(_send(server, callbacks, connections, load, requests))
                seconds = time.perf_counter() - started
                load.cores.append(used_cores(before, groups, seconds))
    return [
        figure
        for connections in _CONNECTIONS
        for figure in _figures(
            connections, loads["this app", connections], loads["bare server", connections]
        )
    ]


def _figures(connections: int, app: _Load, bare: _Load) -> list[Figure]:
    prefix = f"load over HTTP, {connections} connection{'s'[: connections - 1]}"
    compared = (
        ("callbacks per second", median(app.rates), median(bare.rates), "/s"),
        ("time (median)", median(app.times_ms), median(bare.times_ms), "ms"),
        ("time (p90)", _percentile(app.times_ms, 90), _percentile(bare.times_ms, 90), "ms"),
        ("time (p99)", _percentile(app.times_ms, 99), _percentile(bare.times_ms, 99), "ms"),
    )
    figures = [
        Figure(
            name=f"{prefix}: {name}", value=value, other="bare server", other_value=other, unit=unit
        )
        for name, value, other, unit in compared
    ]
    cores = (
        Figure(
            name=f"{prefix}: cores used by {program}",
            value=median(used),
            other="cores of the machine",
            other_value=os.cpu_count() or 1,
            unit="",
        )
        for program, used in zip(_PROGRAMS, zip(*app.cores, strict=True), strict=True)
    )
    return [*figures, *cores]


def _percentile(times: list[float], percent: int) -> float:
    return quantiles(times, n=100, method="inclusive")[percent - 1]


def _minimal_environ() -> dict[str, str]:
    names = ("PATH", "HOME", "TMPDIR")
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    ports = map(str, network.find_free_ports(len(stack.PORTS)))
    return inherited | dict(zip(stack.PORTS, ports, strict=True))


def _callbacks(local_stack: stack.Stack) -> Iterator[bytes]:
    """Yield signed callbacks for distinct Reservations."""
    settings = local_stack.settings
    validator = RequestValidator(settings.twilio_auth_token)
    url = settings.public_base_url + PATH
    sids = {
        "AccountSid": settings.twilio_account_sid,
        "WorkspaceSid": settings.twilio_workspace_sid,
        "WorkflowSid": settings.twilio_workflow_sid,
    }
    for number in itertools.count():
        form = {**CALLBACK, **sids, "ReservationSid": f"WR{number:032x}"}
        body = urlencode(form).encode()
        lines = (
            f"POST {PATH} HTTP/1.1",
            f"Host: 127.0.0.1:{local_stack.port('API_PORT')}",
            "Content-Type: application/x-www-form-urlencoded",
            f"X-Twilio-Signature: {validator.compute_signature(url, form)}",
            f"Content-Length: {len(body)}",
        )
        yield "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def _bare_server(local_stack: stack.Stack) -> Iterator[_Server]:
    (port,) = network.find_free_ports(1)
    environ = {**local_stack.resolved, "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-c", _BARE_SERVER, str(port)]
    process = subprocess.Popen(command, env=environ)  # noqa: S603  the program above
    try:
        network.wait_for("The bare server", lambda: network.is_responding(network.url(port)))
        yield _Server("bare server", port)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def _send(
    server: _Server, callbacks: Iterator[bytes], connections: int, load: _Load, requests: int
) -> None:
    """Send requests over keep-alive connections, and add the measurements to *load*.

    Each connection sends one request at a time.
    """
    pending = iter([next(callbacks) for _ in range(requests)])

    async def use_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for request in pending:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.split(b": ", 1) for line in head.lower().splitlines()[1:-1])
            body = await reader.readexactly(int(headers[b"content-length"]))
            load.times_ms.append((time.perf_counter() - started) * 1000)
            if b" 200 " not in head.splitlines()[0]:
                raise RuntimeError(f"{server.name} returned an error: {(head + body).decode()}")
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(use_connection() for _ in range(connections)))
    load.rates.append(requests / (time.perf_counter() - started))


def cpu_seconds(groups: Sequence[int]) -> list[float]:
    """Return the CPU time of process groups, of this process, and of the whole machine."""
    times = Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=9)[1:9]
    user, nice, system, _idle, _waiting, *interrupts = map(int, times)
    machine = user + nice + system + sum(interrupts)
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    by_group = [cpu_ms(group) / 1000 for group in groups]
    return [*by_group, time.process_time(), machine / ticks_per_second]


def used_cores(before: list[float], groups: Sequence[int], seconds: float) -> list[float]:
    """Return the mean numbers of cores used since `cpu_seconds` returned *before*."""
    after = cpu_seconds(groups)
    return [(new - old) / seconds for new, old in zip(after, before, strict=True)]


def cpu_ms(group: int) -> float:
    """Return the total CPU time of the processes in a process group."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command, in parentheses, may contain spaces.
            values = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(values[2]) == group:
            ticks += int(values[11]) + int(values[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")
