"""What really happened, as the simulator tells it, and what our table says."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from tests.chaos.client import Client

_STATUS = {
    "reservation.created": "pending",
    "reservation.wrapup": "wrapping",
}
_deserialize = TypeDeserializer().deserialize


@dataclass(frozen=True)
class TrueReservation:
    """A Reservation as TaskRouter has it: its statuses in their order, the last one today's."""

    sid: str
    task_sid: str
    worker_sid: str
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """Everything that TaskRouter knows.

    Attributes:
        reservations: by SID.
        accepts: by Task SID, how many requests or instructions to accept it have taken effect.
        keys: how many Tasks were created by Idempotency-Key.
    """

    reservations: Mapping[str, TrueReservation]
    accepts: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)


async def read_truth(workspace: Client, control: Client) -> Truth:
    """Ask the simulator; nothing may be going on any more.

    Args:
        workspace: its REST API, from the Workspace on.
        control: its control routes.
    """
    statuses: dict[str, list[str]] = defaultdict(list)
    about: dict[str, Mapping[str, str]] = {}
    accepts: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    for event in await _every(workspace, "/Events?Minutes=1440", "events"):
        data, name = event["event_data"], event["event_type"]
        if name == "task.created":
            keys[json.loads(data["task_attributes"]).get("idempotency_key", "")] += 1
        if event["resource_type"] == "reservation":
            about[data["reservation_sid"]] = data
            status = _STATUS.get(name, name.removeprefix("reservation."))
            statuses[data["reservation_sid"]].append(status)
            accepts[data["task_sid"]] += status == "accepted"
    return Truth(
        {
            sid: TrueReservation(
                sid, about[sid]["task_sid"], about[sid]["worker_sid"], tuple(statuses[sid])
            )
            for sid in statuses
        },
        accepts | await _accept_requests(control),
        keys,
    )


async def _accept_requests(control: Client) -> Counter[str]:
    """Count, by Task, the requests to accept that have succeeded, whoever got to see it."""
    log = await control.call("GET", "/log?kind=request")
    return Counter(
        entry["path"].split("/")[5]
        for entry in log.body["entries"]
        if entry["parameters"].get("ReservationStatus") == "accepted"
        and entry["method"] == "POST"
        and isinstance(entry["answer"], dict)
        and entry["answer"].get("reservation_status") == "accepted"
    )


async def _every(workspace: Client, path: str, name: str) -> list[dict[str, Any]]:
    """Read a list whose path has a query, page by page."""
    found: list[dict[str, Any]] = []
    following: str | None = f"{path}&PageSize=1000"
    while following:
        page = (await workspace.call("GET", following)).body
        found += page[name]
        following = page["meta"]["next_page_url"]
        if following:
            following = f"{path.partition('?')[0]}?{following.partition('?')[2]}"
    return found


def read_records(client: Any, table: str) -> dict[str, dict[str, Any]]:
    """Read our whole table, by Reservation SID."""
    pages: Iterable[Mapping[str, Any]] = client.get_paginator("scan").paginate(
        TableName=table, ConsistentRead=True
    )
    items = [
        {name: _deserialize(value) for name, value in item.items()}
        for page in pages
        for item in page["Items"]
    ]
    return {item["reservation_sid"]: item for item in items}
