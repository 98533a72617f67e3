"""Measures how the simulator's CPU time grows with the numbers of Tasks and Workers.

The CPU time is measured per life cycle: a Task is created, offered to a Worker, accepted and
completed.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from benchmarks.http_load import cpu_ms
from benchmarks.report import Figure
from local import network
from taskrouter_simulator import seed
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.definition.reader import from_value
from taskrouter_simulator.engine import assignments, start, tasks
from taskrouter_simulator.engine.model import Task
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.settings import Settings

_FREE_WORKERS = 100
_MANY_WORKERS = 1_000
_REPETITIONS = 5
"""Number of measurements of each simulator. Simulators take turns.

Only the fastest result is reported. Other programs on the machine can only add time, by displacing
data from the processor's caches.
"""
_MAX_GROWTH = 1.25
"""Maximum growth: the rate of life cycles must be at least 0.8 times the rate without load."""
_STATE_EXPRESSION = "worker.other == task.number AND worker.channel.voice.assigned_tasks == 0"
"""An expression that matches no Worker, and that also tests the state of a TaskChannel."""
_CONNECTIONS = 8
_HIGH_LIMIT = 100_000
_EMPTY_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, kw_only=True)
class Load:
    """The Workers and Tasks in a simulator, besides the measured Tasks.

    Attributes:
        workers: Number of free Workers that match the measured Tasks.
        others: Number of free Workers that match no Task.
        waiting: Number of waiting Tasks. In an `InProcessSimulator`, each of these Tasks has a
            different value of the attribute `number`.
        waiting_target: The target of the waiting Tasks; by default, no Worker matches.
        waiting_channel: TaskChannel of the waiting Tasks. Workers have no capacity on `sms`.
        order_by: How the target of the measured Tasks sorts Workers; "" for the default order.
        closed: Number of completed Tasks.
        assigned: Number of assigned Tasks.
    """

    workers: int = _FREE_WORKERS
    others: int = 0
    waiting: int = 0
    waiting_target: Mapping[str, str] = field(default_factory=lambda: {"queue": "waiting"})
    waiting_channel: str = "default"
    order_by: str = ""
    closed: int = 0
    assigned: int = 0


def describe(load: Load) -> dict[str, Any]:
    """Return a Workspace definition with a TaskQueue per kind of Task, and the load's Workers."""
    numbers = {"measured": load.workers, "other": load.others, "assigned": 1}
    targets = {
        "measured": {"queue": "measured", **({"order_by": load.order_by} if load.order_by else {})},
        "waiting": load.waiting_target,
        "assigned": {"queue": "assigned"},
    }
    return {
        "friendly_name": "Benchmark",
        "multi_task_enabled": True,
        "activities": [{"friendly_name": "Available", "available": True}],
        "workers": [
            {
                "friendly_name": f"{kind} {number}",
                "attributes": {"kind": kind, "number": number},
                "capacity": {"default": _HIGH_LIMIT if kind == "assigned" else 1, "sms": 0},
            }
            for kind, count in numbers.items()
            for number in range(count)
        ],
        "task_queues": [
            {"friendly_name": kind, "target_workers": f"kind == '{kind}'"} for kind in targets
        ],
        "workflows": [
            {
                "friendly_name": "Benchmark",
                "configuration": {
                    "task_routing": {
                        "filters": [
                            {"expression": f"kind == '{kind}'", "targets": [targets[kind]]}
                            for kind in targets
                        ]
                    }
                },
            }
        ],
    }


class InProcessSimulator:
    """A simulator engine without HTTP. Its clock advances by 1 ms after each life cycle."""

    def __init__(self, load: Load) -> None:
        self._clock = Clock(lambda: 1_700_000_000.0)
        settings = Settings(closed_task_seconds=_HIGH_LIMIT, assigned_task_seconds=_HIGH_LIMIT)
        self._engine = start(settings, self._clock, lambda _effect: None)
        self._workspace = seed.load(self._engine, from_value(describe(load)))
        for number in range(load.waiting):
            self._create("waiting", channel=load.waiting_channel, number=number)
        for _ in range(load.assigned):
            self._accept(self._create("assigned"))
        for _ in range(load.closed):
            self.run_life_cycle()

    def run_life_cycle(self) -> None:
        """Create, accept and complete a Task."""
        task = self._create("measured")
        self._accept(task)
        assignments.complete(self._engine, self._workspace, task)
        self._clock.advance(0.001)

    def time_ms(self, number: int) -> float:
        """Run life cycles, and return the CPU time per life cycle."""
        started = time.process_time()
        for _ in range(number):
            self.run_life_cycle()
        return (time.process_time() - started) * 1000 / number

    def _create(self, kind: str, *, channel: str = "default", number: int = 0) -> Task:
        attributes = json.dumps({"kind": kind, "number": number})
        task = tasks.create(self._engine, self._workspace, attributes=attributes, channel=channel)
        self._clock.run_due()
        return task

    def _accept(self, task: Task) -> None:
        assignments.accept(self._engine, self._workspace, task.reservations[-1])
        self._clock.run_due()


class HttpSimulator:
    """A client of a running simulator, and an app that receives the assignment callbacks.

    Each life cycle consists of three REST requests and one callback.

    Args:
        port: The simulator's port.
        app_port: The app's port.
        group: The simulator's process group.
    """

    def __init__(self, port: int, app_port: int, group: int) -> None:
        account = Credentials()
        pair = f"{account.account_sid}:{account.auth_token}".encode()
        self._authorization = f"Basic {base64.b64encode(pair).decode()}"
        self._port = port
        self._group = group
        self._offers: dict[str, asyncio.Future[str]] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(asyncio.start_server(self._serve, network.LOOPBACK, app_port))
        self._path = "/v1/Workspaces"
        (workspace,) = self._loop.run_until_complete(self._list_workspaces())
        self._path += f"/{workspace['sid']}/Tasks"

    def time_ms(self, number: int) -> float:
        """Run life cycles, and return the simulator's CPU time per life cycle."""
        before = cpu_ms(self._group)
        self._loop.run_until_complete(self._run(self._run_life_cycle, number))
        return (cpu_ms(self._group) - before) / number

    def add_waiting(self, number: int) -> None:
        """Create Tasks that no Worker matches."""
        self._loop.run_until_complete(self._run(self._create_waiting, number))

    def close(self) -> None:
        """Close the app and the connections."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _run(self, operation: Callable[[_Connection], Awaitable[Any]], number: int) -> None:
        remaining = iter(range(number))

        async def use_connection() -> None:
            connection = await asyncio.open_connection(network.LOOPBACK, self._port)
            for _ in remaining:
                await operation(connection)
            connection[1].close()

        await asyncio.gather(*(use_connection() for _ in range(_CONNECTIONS)))

    async def _run_life_cycle(self, connection: _Connection) -> None:
        task_sid = (await self._create(connection, "measured"))["sid"]
        offer = self._offers.setdefault(task_sid, self._loop.create_future())
        path = f"{self._path}/{task_sid}"
        reservation = f"{path}/Reservations/{await offer}"
        await self._post(connection, reservation, ReservationStatus="accepted")
        await self._post(connection, path, AssignmentStatus="completed")
        del self._offers[task_sid]

    async def _create_waiting(self, connection: _Connection) -> None:
        await self._create(connection, "waiting")

    async def _create(self, connection: _Connection, kind: str) -> Any:
        return await self._post(connection, self._path, Attributes=json.dumps({"kind": kind}))

    async def _post(self, connection: _Connection, path: str, **form: str) -> Any:
        return await self._request(connection, "POST", path, urlencode(form))

    async def _list_workspaces(self) -> Any:
        connection = await asyncio.open_connection(network.LOOPBACK, self._port)
        listed = await self._request(connection, "GET", self._path, "")
        connection[1].close()
        return listed["workspaces"]

    async def _request(self, connection: _Connection, method: str, path: str, body: str) -> Any:
        reader, writer = connection
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: {self._authorization}",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
        )
        writer.write("\r\n".join([*lines, "", body]).encode())
        status, content = await _read_message(reader)
        if not status.startswith("HTTP/1.1 20"):
            raise RuntimeError(f"{method} {path} failed: {status}, {content.decode()}")
        return json.loads(content)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note each offered Reservation, and answer its callback with an empty object."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                _, content = await _read_message(reader)
                form = parse_qs(content.decode())
                offer = self._offers.setdefault(form["TaskSid"][0], self._loop.create_future())
                offer.set_result(form["ReservationSid"][0])
                writer.write(_EMPTY_RESPONSE)
        writer.close()


async def _read_message(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Return the first line and the body of a request or a response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in head[1:-1])
    return head[0], await reader.readexactly(int(headers.get("content-length", "0")))


@contextmanager
def over_http(load: Load) -> Iterator[HttpSimulator]:
    """Run a simulator with a load in a separate process."""
    port, app_port = network.find_free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "workspace.json"
        file.write_text(json.dumps(describe(load)), encoding="utf-8")
        environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "SIMULATOR_PORT": str(port),
            "SIMULATOR_WORKSPACE_FILE": str(file),
            "SIMULATOR_CALLBACK_BASE_URL": network.url(app_port),
        }
        command = [sys.executable, "-m", "taskrouter_simulator"]
        process = subprocess.Popen(  # noqa: S603
            command, env=environ, start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            network.wait_for("The simulator", lambda: network.is_responding(network.url(port)))
            client = HttpSimulator(port, app_port, process.pid)
            client.add_waiting(load.waiting)
            yield client
            client.close()
        finally:
            process.kill()
            process.wait()


def measure(life_cycles: int, largest: int) -> list[Figure]:
    """Measure the growth of the CPU time per life cycle, and compare the time with the targets.

    Args:
        life_cycles: Number of life cycles in each measurement.
        largest: Maximum number of Tasks of each kind (waiting, closed, assigned), and of Workers
            that match no Task.
    """
    sizes = sorted({max(1, largest // 100), max(1, largest // 10), largest})
    loads = {f"{size:,} waiting Tasks": Load(waiting=size) for size in sizes}
    loads |= {f"{size:,} Workers that do not match": Load(others=size) for size in sizes}
    loads[f"{largest:,} waiting Tasks with different values on a full channel"] = Load(
        waiting=largest,
        waiting_target={"queue": "measured", "expression": "worker.number != task.number"},
        waiting_channel="sms",
    )
    loads[f"{largest:,} waiting Tasks with different values and a condition on the state"] = Load(
        waiting=largest, waiting_target={"queue": "measured", "expression": _STATE_EXPRESSION}
    )
    loads[f"{_MANY_WORKERS:,} free Workers sorted by order_by"] = Load(
        workers=_MANY_WORKERS, order_by="worker.number DESC"
    )
    loads[f"{largest:,} closed and {largest:,} assigned Tasks"] = Load(
        closed=largest, assigned=largest
    )
    empty = InProcessSimulator(Load())
    figures = [
        _compare(f"simulator in process, {name}", empty, InProcessSimulator(load), life_cycles)
        for name, load in loads.items()
    ]
    many = Load(workers=_MANY_WORKERS, waiting=largest)
    name = f"{_MANY_WORKERS:,} Workers and {largest:,} waiting Tasks"
    engine = InProcessSimulator(many)
    in_process = min(engine.time_ms(life_cycles) for _ in range(_REPETITIONS))
    figures.append(_target(f"simulator in process, {name}", in_process, 1_000))
    with over_http(Load()) as empty_http, over_http(many) as loaded_http:
        name = f"simulator over HTTP, {name}"
        figures.append(_compare(name, empty_http, loaded_http, life_cycles))
    return [*figures, _target(name, figures[-1].value, 150)]


def _compare(
    name: str,
    empty: InProcessSimulator | HttpSimulator,
    loaded: InProcessSimulator | HttpSimulator,
    life_cycles: int,
) -> Figure:
    times = [(loaded.time_ms(life_cycles), empty.time_ms(life_cycles)) for _ in range(_REPETITIONS)]
    return Figure(
        name=f"{name}: CPU time per life cycle",
        value=min(loaded_ms for loaded_ms, _ in times),
        other=f"{_FREE_WORKERS} Workers, no waiting Tasks",
        other_value=max(min(empty_ms for _, empty_ms in times), 0.01),
        unit="ms",
        goal=_MAX_GROWTH,
    )


def _target(name: str, value: float, rate: int) -> Figure:
    return Figure(
        name=f"{name}: CPU time per life cycle",
        value=value,
        other=f"{rate:,} life cycles per second",
        other_value=1000 / rate,
        unit="ms",
        goal=1,
    )
