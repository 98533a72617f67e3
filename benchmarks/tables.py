"""Checks whether the costs of sweeps, lists and statistics depend on the number of records.

The app runs sweeps and requests against the local DynamoDB. This module counts read units and
requests.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from itertools import islice
from typing import Any

from benchmarks import inputs, stubs
from benchmarks.metering import MeteredClient, Usage
from benchmarks.report import Figure
from chalicelib import config
from chalicelib.adapters.dynamodb.client import to_item, utc_hour
from chalicelib.domain.reservation_lists import ReservationQuery
from chalicelib.domain.reservations import Status
from chalicelib.domain.statistics import MAX_SWEEPS
from chalicelib.observability import SweepLine
from chalicelib.runtime import Runtime, SystemClock
from chalicelib.usecases.reconcile import JOB
from chalicelib.usecases.sweep import sweep_due_reservations
from local import dynamodb, network

DUE_RECORDS = 1_000
"""Number of due records in each sweep."""

MAX_RATIO = 1.05

_FULL_RECORDS = 1_000
"""Number of newest records that have all attributes. Tables of every size contain these records,
and the smallest table contains no others."""

_PENDING_RECORDS = (999, 1_000, 5_000)
"""Numbers of pending Reservations. If there are at most 999, a list request reads all of them from
the ``due`` index."""

_WORKERS = 10
_RECORDS_PER_HOUR = 500
_HOUR_MS = 3_600_000
_NOW = 1_790_000_000_000 // _HOUR_MS * _HOUR_MS + _HOUR_MS - 1
_BATCH_SIZE = 25
"""Maximum number of items per BatchWriteItem request."""

_IDLE_SWEEP, _STATISTICS = "sweep without due Reservations", "`GET /statistics`"

_TIME_LEFT_MS = 300_000
_FAR_FUTURE = 4_000_000_000_000
_TABLES = dynamodb.TableNames("benchmark-reservations", "benchmark-state")
_WORKER = f"WK{0:032x}"
NEWEST_SID = f"WR{0:032x}"
_LISTS: dict[str, dict[str, Any]] = {
    "all": {},
    "status=pending": {"status": Status.PENDING},
    "status=completed": {"status": Status.COMPLETED},
    "status=rejected, no matches": {"status": Status.REJECTED},
    "worker_sid": {"worker_sid": _WORKER},
    "worker_sid and status=completed": {"worker_sid": _WORKER, "status": Status.COMPLETED},
}
"""Filters of each measured list request, by display name."""


def measure(records: int) -> list[Figure]:
    """Measure list requests, sweeps and statistics in tables of increasing size.

    Args:
        records: number of records in the largest table.
    """
    list_sizes = (_FULL_RECORDS, records // 2)
    sweep_sizes = (_FULL_RECORDS + DUE_RECORDS, records // 10, records)
    lists, sweeps = dict[int, dict[str, Usage]](), dict[int, tuple[Usage, int]]()
    pending, statistics = dict[int, Usage](), dict[int, dict[str, Usage]]()
    with BenchmarkTables.create() as tables:
        for size in sorted({*list_sizes, *sweep_sizes}):
            tables.fill(size - (DUE_RECORDS if size in sweep_sizes else 0))
            if size in list_sizes:
                lists[size] = tables.measure_lists()
            if size in sweep_sizes:
                sweeps[size] = tables.measure_sweep(DUE_RECORDS)
                statistics[size] = tables.measure_statistics()
        for number in (_INITIAL_PENDING_RECORDS, *_PENDING_RECORDS):
            tables.fill_pending(number)
            pending[number] = tables.measure_list("status=pending")
    return [
        *_compare_read_units(lists),
        *_pending_figures(pending),
        *_sweep_figures(sweeps),
        *_compare_read_units(statistics),
    ]


@contextmanager
def emulated_tables(names: dynamodb.TableNames) -> Iterator[Any]:
    """Create empty tables in a local DynamoDB in a thread, and yield a client."""
    server = dynamodb.create_server(0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    network.wait_for("The local DynamoDB", lambda: server.started)
    client = dynamodb.client(network.url(server.servers[0].sockets[0].getsockname()[1]))
    dynamodb.create_tables(client, names)
    try:
        yield client
    finally:
        # All local DynamoDB servers in a process share the same tables.
        for name in (names.reservations, names.state):
            client.delete_table(TableName=name)
        client.close()
        server.should_exit = True
        thread.join()


class BenchmarkTables:
    """The app's tables in the local DynamoDB, with a growing number of records.

    Args:
        client: a client for the local DynamoDB.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._metered = MeteredClient(client)
        self._api = dynamodb.dynamodb_api()
        self._numbers = iter(range(10**9))
        self._size = 0
        self._pending = _INITIAL_PENDING_RECORDS

    @classmethod
    @contextmanager
    def create(cls) -> Iterator["BenchmarkTables"]:
        """Run a local DynamoDB in a thread, with empty tables."""
        with emulated_tables(_TABLES) as client:
            # Skip the reconciliation, whose cost does not depend on the number of records.
            job = to_item({"id": JOB, "due_at": _FAR_FUTURE})
            client.put_item(TableName=_TABLES.state, Item=job)
            yield cls(client)

    def fill(self, size: int) -> None:
        """Add records, newest first, until the table contains *size* records."""
        numbers = islice(self._numbers, max(0, size - self._size))
        self._add(_make_record(number) for number in numbers)

    def fill_pending(self, number: int) -> None:
        """Add pending records until *number* records are pending."""
        self._add(_make_pending_record(each) for each in range(self._pending, number))
        self._pending = max(self._pending, number)

    def measure_lists(self) -> dict[str, Usage]:
        """Request the first page of each list, and return the usage by list."""
        return {f"list ({name})": self.measure_list(name) for name in _LISTS}

    def measure_list(self, name: str) -> Usage:
        """Request the first page of a list, and return the usage."""
        query = ReservationQuery(**{"since": 0, "limit": 50, **_LISTS[name]})
        listing = self.make_runtime().listing
        self._metered.reset()
        listing.fetch_page(query, None, now=_NOW)
        return self._metered.reset()

    def measure_sweep(self, due: int) -> tuple[Usage, int]:
        """Add due records of Reservations that have ended, and measure a sweep.

        Returns:
            The usage, and the number of requests to TaskRouter.
        """
        requests = Counter[str]()

        def respond(target: str, _body: bytes) -> stubs.Response:
            requests["TaskRouter"] += 1
            if inputs.STATISTICS_PATH in target:
                return HTTPStatus.OK, json.dumps(inputs.WORKSPACE_STATISTICS).encode()
            *_, task_sid, _, sid = target.split()[1].split("/")
            ended = inputs.remote_reservation("completed") | {"sid": sid, "task_sid": task_sid}
            return HTTPStatus.OK, json.dumps(ended).encode()

        with stubs.serve(respond) as url:
            service = self.make_runtime(url)
            # The first sweep, which also counts the Reservations of the last 24 hours, is not
            # measured.
            _sweep(service)
            self._add(_make_due_record(number) for number in islice(self._numbers, due))
            self._metered.reset()
            requests.clear()
            line = _sweep(service)
        if line["mirrored"] != due:
            raise RuntimeError(f"The sweep did not record all {due} statuses: {line}")
        return self._metered.reset(), requests["TaskRouter"]

    def measure_statistics(self) -> dict[str, Usage]:
        """Return the usage of a sweep without due Reservations, and of a read of the statistics."""
        body = json.dumps(inputs.WORKSPACE_STATISTICS).encode()
        with stubs.serve(lambda _target, _body: (HTTPStatus.OK, body)) as url:
            service = replace(self.make_runtime(url), clock=FixedClock())
            # These sweeps are not measured: the first one counts the Reservations of the last
            # 24 hours, and the item with the statistics grows until it contains MAX_SWEEPS sweeps.
            for _ in range(MAX_SWEEPS):
                _sweep(service)
            self._metered.reset()
            _sweep(service)
            usages = {_IDLE_SWEEP: self._metered.reset()}
        service.statistics.get_statistics()
        return usages | {_STATISTICS: self._metered.reset()}

    def make_runtime(self, taskrouter_url: str = "") -> Runtime:
        """Return the app's components, with a `MeteredClient` for these tables."""
        environ = {**inputs.ENVIRON, "RESERVATIONS_TABLE": _TABLES.reservations}
        environ |= {"STATE_TABLE": _TABLES.state}
        if taskrouter_url:
            environ["TWILIO_TASKROUTER_URL"] = taskrouter_url
        return Runtime(config.load(environ), self._metered, SystemClock())

    def _add(self, records: Iterable[dict[str, Any]]) -> None:
        """Add records without HTTP. With HTTP, adding records would take twice as long."""
        while batch := list(islice(records, _BATCH_SIZE)):
            puts = [{"PutRequest": {"Item": record}} for record in batch]
            self._call("BatchWriteItem", {"RequestItems": {_TABLES.reservations: puts}})
            self._size += len(batch)

    def _call(self, operation: str, request: Any) -> None:
        target = b"DynamoDB_20120810." + operation.encode()
        messages = list[dict[str, Any]]()

        async def receive() -> dict[str, Any]:
            return {"body": json.dumps(request).encode()}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        scope = {"headers": [(b"host", b"127.0.0.1"), (b"x-amz-target", target)]}
        call: Any = self._api(scope, receive, send)
        with suppress(StopIteration):
            call.send(None)  # The emulator never waits, so no event loop is necessary.
        if messages[0]["status"] != HTTPStatus.OK:
            raise RuntimeError(messages[1]["body"].decode())


class FixedClock(SystemClock):
    """A clock that always returns the creation time of the newest record."""

    def now_ms(self) -> int:
        """Return the creation time of the newest record, in epoch ms."""
        return _NOW


def _sweep(service: Runtime) -> SweepLine:
    """Run a sweep, and return its log line."""
    lines = list[SweepLine]()
    sweep_due_reservations(
        service.collaborators,
        service.sweep_policy,
        service.statistics,
        time_left_ms=lambda: _TIME_LEFT_MS,
        report=lines.append,
    )
    return lines[0]


def _make_record(number: int) -> dict[str, Any]:
    """Return the record of the nth newest Reservation. A third of the newest records are open.

    Older records have only the index keys and the status, because adding full records is slow.
    """
    reserved_at = _NOW - number * (_HOUR_MS // _RECORDS_PER_HOUR)
    keys: dict[str, Any] = {
        "reservation_sid": f"WR{number:032x}",
        # Records are assigned to the Workers in turn, so each has open and completed records.
        "worker_sid": f"WK{number % _WORKERS:032x}",
        "reserved_at": reserved_at,
        "hour": utc_hour(reserved_at),
        "status": "completed",
    }
    if number >= _FULL_RECORDS:
        return to_item(keys)
    if (number // _WORKERS) % 3 == 0:
        status = "pending" if number % 2 else "accepted"
        keys |= {"status": status, "open_as": status, "due_at": _FAR_FUTURE}
    return _with_other_attributes(keys)


_INITIAL_PENDING_RECORDS = sum(
    (number // _WORKERS) % 3 == 0 and number % 2 == 1 for number in range(_FULL_RECORDS)
)
"""Number of pending Reservations among the newest records."""


def _make_pending_record(number: int) -> dict[str, Any]:
    """Return a record of a pending Reservation with the same creation time as the newest record."""
    return _with_other_attributes(
        {
            "reservation_sid": f"WRf{number:031x}",
            "worker_sid": f"WK{number % _WORKERS:032x}",
            "reserved_at": _NOW,
            "hour": utc_hour(_NOW),
            "status": "pending",
            "open_as": "pending",
            "due_at": _FAR_FUTURE,
        }
    )


def _make_due_record(number: int) -> dict[str, Any]:
    status = ("pending", "pending", "accepted", "wrapping")[number % 4]
    reserved_at = _NOW - number * (_HOUR_MS // _RECORDS_PER_HOUR)
    return _with_other_attributes(
        {
            "reservation_sid": f"WR{number:032x}",
            "worker_sid": f"WK{number % _WORKERS:032x}",
            "reserved_at": reserved_at,
            "hour": utc_hour(reserved_at),
            "status": status,
            "open_as": status,
            "due_at": _NOW - number,
        }
    )


def _with_other_attributes(keys: dict[str, Any]) -> dict[str, Any]:
    defaults = {name: value for name, value in inputs.RECORD.items() if name not in _OPEN_ONLY}
    return {**defaults, **to_item(keys)}


_OPEN_ONLY = ("open_as", "due_at")


def _compare_read_units(usages: dict[int, dict[str, Usage]]) -> Iterable[Figure]:
    """Compare the read units for the smallest and the largest number of records."""
    small, *_, large = usages
    for name in usages[small]:
        yield Figure(
            name=f"{name}: read units, {large:,} records",
            value=usages[large][name].read_units,
            other=f"{small:,} records",
            other_value=usages[small][name].read_units,
            unit="",
            goal=MAX_RATIO,
        )


def _pending_figures(usages: dict[int, Usage]) -> Iterable[Figure]:
    """Compare a list's read units for different numbers of pending Reservations."""
    few, fitting, too_many, many = usages
    for number, other, goal in (
        (fitting, few, None),
        (too_many, few, None),
        (many, too_many, MAX_RATIO),
    ):
        yield Figure(
            name=f"list (status=pending): read units, {number:,} pending Reservations",
            value=usages[number].read_units,
            other=f"{other:,} pending Reservations",
            other_value=usages[other].read_units,
            unit="",
            goal=goal,
        )


def _sweep_figures(usages: dict[int, tuple[Usage, int]]) -> Iterable[Figure]:
    small, *larger = usages
    for size in larger:
        for name, value, other_value in (
            ("read units", usages[size][0].read_units, usages[small][0].read_units),
            ("requests to TaskRouter", usages[size][1], usages[small][1]),
        ):
            yield Figure(
                name=f"sweep of {DUE_RECORDS:,} Reservations: {name}, {size:,} records",
                value=value,
                other=f"{small:,} records",
                other_value=other_value,
                unit="",
                goal=MAX_RATIO,
            )
