"""Counts the requests and DynamoDB write units that one Reservation needs.

The whole app runs in this process, with a DynamoDB emulator. The app receives the requests for a
Reservation that is accepted, wrapped up and completed. All results are counts or sizes, so they do
not depend on the machine.

The emulator reports no write units per partition key of an index. Therefore, this module calculates
the units as described in "DynamoDB read and write operations" and "DynamoDB item sizes and formats"
in the DynamoDB Developer Guide.
"""

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import urlencode

from chalice.test import Client
from twilio.request_validator import RequestValidator

from app import app
from benchmarks.inputs import CALLBACK, ENVIRON, EVENT_PATH, PATH, event_form
from benchmarks.tables import emulated_tables
from chalicelib import config, observability, runtime
from chalicelib.domain.auth import Role
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.runtime import SystemClock
from infra.aws import template
from infra.commands.token import ApiKey, create_token
from local.dynamodb import TableNames

TABLE = "table"
ACCEPT_PATH = "/reservations/{sid}/accept"

_SID = CALLBACK["ReservationSid"]
_EVENTS = ("created", "accepted", "wrapup", "completed")
_UNIT_BYTES = 1024
"""A write unit covers 1 KB of an item."""

Item = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Footprint:
    """The requests, units and bytes that one Reservation needs.

    Attributes:
        requests: Number of requests by route.
        writes: Number of DynamoDB writes by route.
        units: DynamoDB write units of ``table`` and of each index. The units of the ``due`` index
            are counted separately for each partition key, such as ``due pending``.
        record_bytes: Size of the record at the end.
        log_bytes: Size of the app's log lines.
        taskrouter: Number of requests to TaskRouter.
    """

    requests: Counter[str]
    writes: Counter[str]
    units: Counter[str]
    record_bytes: int
    log_bytes: int
    taskrouter: int


def measure(*, over_rest: bool) -> Footprint:
    """Send the requests for one Reservation to the app, and return the counts.

    Args:
        over_rest: Whether a request to the API accepts the Reservation. Otherwise, the answer to
            the callback accepts the Reservation.
    """
    tables = TableNames("footprint-reservations", "footprint-state")
    settings = config.load(
        {
            **ENVIRON,
            "RESERVATIONS_TABLE": tables.reservations,
            "STATE_TABLE": tables.state,
            "ASSIGNMENT_INSTRUCTION": "defer" if over_rest else "accept",
        }
    )
    log, taskrouter = io.StringIO(), _TaskRouter()
    requests = Counter(dict.fromkeys((PATH, EVENT_PATH, ACCEPT_PATH), 0))
    writes = Counter[str]()
    with emulated_tables(tables) as client, Client(app) as http:
        meter = _Meter(client)
        service = runtime.Runtime(settings, meter, SystemClock())
        vars(service)["taskrouter"] = taskrouter  # replaces a cached property
        runtime.use(service)
        observability.configure("INFO")
        logging.getLogger("taskrouter-callbacks").handlers[0].setStream(log)  # type: ignore[attr-defined]
        for route, path, headers, body in _requests(settings, over_rest=over_rest):
            before = meter.writes
            response = http.http.post(path, headers=headers, body=body.encode())
            if response.status_code not in (200, 204):
                raise RuntimeError(f"{route}: the app returned {response.body!r}")
            requests[route] += 1
            writes[route] += meter.writes - before
        record = meter.read({"reservation_sid": {"S": _SID}}, tables.reservations)
    runtime.use(None)
    observability.configure("INFO")
    # The duration is the only field whose length varies.
    lines = [json.loads(line) | {"duration_ms": 1.0} for line in log.getvalue().splitlines()]
    log_bytes = sum(len(json.dumps(line)) + 1 for line in lines)
    return Footprint(requests, writes, meter.units, _size(record), log_bytes, taskrouter.requests)


def _requests(
    settings: config.Settings, *, over_rest: bool
) -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Yield the route, path, headers and body of each request, in order."""
    yield _sign_request(PATH, CALLBACK)
    yield _sign_request(EVENT_PATH, event_form(_EVENTS[0]))
    if over_rest:
        key = ApiKey(settings.twilio_api_key_sid, settings.twilio_api_key_secret)
        token = create_token(settings, key, role=Role.SUPERVISOR.value, hours=1)
        yield ACCEPT_PATH, ACCEPT_PATH.format(sid=_SID), {"Authorization": f"Bearer {token}"}, ""
    for name in _EVENTS[1:]:
        yield _sign_request(EVENT_PATH, event_form(name))


def _sign_request(path: str, form: dict[str, str]) -> tuple[str, str, dict[str, str], str]:
    validator = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"])
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": validator.compute_signature(ENVIRON["PUBLIC_BASE_URL"] + path, form),
    }
    return path, path, headers, urlencode(form)


class _TaskRouter:
    """Accepts the Reservation, and counts the requests."""

    requests = 0

    def update_reservation(self, reservation_sid: str, **_arguments: Any) -> RemoteReservation:
        self.requests += 1
        return RemoteReservation(
            reservation_sid=reservation_sid,
            task_sid=CALLBACK["TaskSid"],
            worker_sid=CALLBACK["WorkerSid"],
            worker_name="Alice",
            status=Status.ACCEPTED,
            created_at=0,
        )


class _Meter:
    """A DynamoDB client that counts the units of its writes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.writes = 0
        self.units: Counter[str] = Counter()

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Call UpdateItem, and count its units."""
        key, table = request["Key"], request["TableName"]
        before = self.read(key, table)
        try:
            return self._client.update_item(**request)  # type: ignore[no-any-return]
        finally:  # a write whose condition fails also consumes units
            self.writes += 1
            self.units.update(write_units(before, self.read(key, table)))

    def read(self, key: Item, table: str) -> Item:
        """Return an item, or an empty item if the key does not exist."""
        item: Item = self._client.get_item(TableName=table, Key=key).get("Item", {})
        return item


def write_units(before: Item, after: Item) -> Counter[str]:
    """Return the write units of a change to a record, for the table and for each index."""
    units = Counter({TABLE: _units(before, after)})
    table = template.read()["Resources"]["Reservations"]["Properties"]
    table_keys = [part["AttributeName"] for part in table["KeySchema"]]
    for index in table["GlobalSecondaryIndexes"]:
        keys = [part["AttributeName"] for part in index["KeySchema"]]
        names = [*keys, *table_keys, *index["Projection"]["NonKeyAttributes"]]
        entries = [_project(item, keys, names) for item in (before, after)]
        old, new = ([entry[name] for name in keys] if entry else None for entry in entries)
        if old == new:
            if entries[0] != entries[1]:
                units[_index_name(index, entries[1])] += _units(*entries)
            continue
        # An entry whose key changes is deleted and written again.
        for entry in filter(None, entries):
            units[_index_name(index, entry)] += _units(entry)
    return units


def _project(item: Item, keys: list[str], names: list[str]) -> Item:
    """Return an item's entry in an index, or an empty entry if the item lacks an index key."""
    if any(key not in item for key in keys):
        return {}
    return {name: item[name] for name in names if name in item}


def _index_name(index: Mapping[str, Any], entry: Item) -> str:
    """Return the name of an index, followed by the partition key if the key is a status."""
    name = index["KeySchema"][0]["AttributeName"]
    return f"{index['IndexName']} {entry[name]['S']}" if name == "open_as" else index["IndexName"]


def _units(*items: Item) -> int:
    return ceil(max(map(_size, items)) / _UNIT_BYTES)


def _size(item: Mapping[str, Any]) -> int:
    """Return the size of an item in bytes."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return ceil(len(content) / 2) + 1
        case "M":
            return 3 + len(content) + _size(content)
        case "L":
            return 3 + len(content) + sum(map(_value_size, content))
    return 1
