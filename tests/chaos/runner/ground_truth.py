"""Reads the ground truth from TaskRouter and the records from the app's table."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from tests.chaos.runner.http_client import HttpClient

_STATUSES = {
    "reservation.created": "pending",
    "reservation.wrapup": "wrapping",
}
_deserialize = TypeDeserializer().deserialize


@dataclass(frozen=True)
class TaskRouterReservation:
    """A Reservation in TaskRouter. The last of its statuses is the current status."""

    sid: str
    task_sid: str
    worker_sid: str
    statuses: tuple[str, ...]


@dataclass(frozen=True)
class GroundTruth:
    """The state of TaskRouter.

    Attributes:
        reservations: The Reservations by SID.
        accepts: Number of times each Task was accepted, by Task SID: the number of events or of
            successful requests, whichever is greater.
        tasks_by_key: Number of Tasks created, by Idempotency-Key (empty for Tasks without a key).
        instructions: Number of instructions executed over REST, by Reservation SID.
    """

    reservations: Mapping[str, TaskRouterReservation]
    accepts: Mapping[str, int] = field(default_factory=dict)
    tasks_by_key: Mapping[str, int] = field(default_factory=dict)
    instructions: Mapping[str, int] = field(default_factory=dict)


async def read_ground_truth(workspace: HttpClient, control: HttpClient) -> GroundTruth:
    """Read TaskRouter's state after all activity has ended.

    Args:
        workspace: Client whose base URL is that of the Workspace in the simulator's REST API.
        control: Client of the simulator's control routes.
    """
    statuses: dict[str, list[str]] = defaultdict(list)
    event_data: dict[str, Mapping[str, str]] = {}
    accepts: Counter[str] = Counter()
    tasks_by_key: Counter[str] = Counter()
    for event in await _list_all(workspace, "/Events?Minutes=1440", "events"):
        data, event_type = event["event_data"], event["event_type"]
        if event_type == "task.created":
            attributes = json.loads(data["task_attributes"])
            tasks_by_key[attributes.get("idempotency_key", "")] += 1
        if event["resource_type"] == "reservation":
            event_data[data["reservation_sid"]] = data
            status = _STATUSES.get(event_type, event_type.removeprefix("reservation."))
            statuses[data["reservation_sid"]].append(status)
            accepts[data["task_sid"]] += status == "accepted"
    requested_accepts, instructions = await _count_requests(control)
    return GroundTruth(
        {
            sid: TaskRouterReservation(sid, data["task_sid"], data["worker_sid"], (*statuses[sid],))
            for sid, data in event_data.items()
        },
        accepts | requested_accepts,
        tasks_by_key,
        instructions,
    )


async def _count_requests(control: HttpClient) -> tuple[Counter[str], Counter[str]]:
    """Count the successful accept requests by Task, and the executed instructions by Reservation.

    The simulator's log also contains requests whose responses were lost. The log omits the bodies
    of old responses, so this function reads only statuses and parameters.
    """
    log = await control.request("GET", "/log?kind=request")
    accepts, instructions = Counter[str](), Counter[str]()
    for entry in log.body["entries"]:
        match entry["path"].split("/")[4:], entry["method"], entry["status"]:
            case ["Tasks", task_sid, "Reservations", sid], "POST", 200:
                accepts[task_sid] += entry["parameters"].get("ReservationStatus") == "accepted"
                instructions[sid] += "Instruction" in entry["parameters"]
    return accepts, instructions


async def _list_all(workspace: HttpClient, path: str, name: str) -> list[dict[str, Any]]:
    """Read all pages of a list. The path must have a query string."""
    items: list[dict[str, Any]] = []
    next_path: str | None = f"{path}&PageSize=1000"
    while next_path:
        page = (await workspace.request("GET", next_path)).body
        items += page[name]
        next_path = page["meta"]["next_page_url"]
        if next_path:
            next_path = f"{path.partition('?')[0]}?{next_path.partition('?')[2]}"
    return items


def read_records(client: Any, table: str) -> dict[str, dict[str, Any]]:
    """Read all records of the app's table, by Reservation SID."""
    pages: Iterable[Mapping[str, Any]] = client.get_paginator("scan").paginate(
        TableName=table, ConsistentRead=True
    )
    items = [
        {name: _deserialize(value) for name, value in item.items()}
        for page in pages
        for item in page["Items"]
    ]
    return {item["reservation_sid"]: item for item in items}
